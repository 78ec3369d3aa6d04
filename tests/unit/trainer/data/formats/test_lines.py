"""A file is hashed while it is read. The digest is that of its bytes, and reading can be stopped."""

import gzip
import hashlib
import io
import itertools

import pandas as pd
import pyarrow as pa
import pytest

from tests.unit.trainer.data.jobs import environment, job, write
from trainyard_trainer.data import loading
from trainyard_trainer.data.formats.lines import Lines
from trainyard_trainer.errors import Interrupted

BLOCK = 1 << 20
ROWS = "a,y\n" + "plain words,1.5\n" * (BLOCK // 8)


def load(config, folder, stop=lambda: False):
    return loading.load(config, environment(folder), lambda *_: None, stop)


def parquet():
    file = io.BytesIO()
    pd.DataFrame({"a": ["x"], "y": [1.5]}).to_parquet(file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", ROWS.encode()),
        ("t.csv", ROWS.encode("utf-16")),
        ("t.csv", (ROWS + '"one\ntwo",2.5\n').encode()),
        ("t.csv", (ROWS + "NA,2.5\n").encode()),
        ("t.csv", b"a,y\n1,2"),
        ("t.csv.gz", gzip.compress(ROWS.encode())),
        ("t.jsonl", b'{"a": 1, "y": 2}\n'),
        ("t.parquet", parquet()),
    ],
    ids=["lines", "wide", "a line feed", "a missing word", "no final line feed", "gzip", "JSON lines", "Parquet"],
)
def test_the_digest_is_that_of_the_bytes(tmp_path, name, content):
    encoding = "utf-16" if content.startswith(b"\xff\xfe") else "utf-8"
    table = load(job(write(tmp_path, content, name), data={"csv": {"encoding": encoding}}), tmp_path)
    assert table.origin.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.mark.parametrize("blocks", [0, 1, 2])
def test_reading_ends_between_two_blocks(tmp_path, blocks):
    calls = itertools.count()
    with pytest.raises(Interrupted, match="stopped by a signal while reading"):
        load(job(write(tmp_path, ROWS)), tmp_path, lambda: next(calls) >= blocks)


@pytest.mark.parametrize("text", ["", "a", "a\n", "a\nb", 'a\n"b', 'a"\nb\n', "x" * 5000, "\n" + "x" * 5000, '"' * 9])
@pytest.mark.parametrize("size", [1, 3, 8192])
def test_lines_and_quotation_marks_are_counted_for_any_block_size(text, size):
    lines = Lines(io.BytesIO(text.encode()), pa.default_memory_pool(), lambda: None)
    assert b"".join(iter(lambda: lines.read(size), b"")).decode() == text
    assert lines.count == len(text.splitlines())
    assert lines.quotes_in_last == text.rsplit("\n", 1)[-1].count('"')
    assert lines.sha256 == hashlib.sha256(text.encode()).hexdigest()
