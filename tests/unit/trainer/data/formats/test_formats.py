"""The content of a file determines its format, even if the name shows another one."""

import gzip

import pandas as pd
import pytest
import zstandard

from tests.unit.trainer.data.jobs import job, table_of, write
from trainyard_trainer.errors import ConfigError

CSV = b"a,y\n1,2\n"
LINES = b'{"a": 1, "y": 2}\n'


def parquet():
    return pd.DataFrame({"a": [1], "y": [2]}).to_parquet()


@pytest.mark.parametrize(
    ("name", "body", "note"),
    [
        ("export", CSV, "CSV"),
        ("export", LINES, "JSON lines"),
        ("export", parquet(), "Parquet"),
        ("export", gzip.compress(LINES, mtime=0), "JSON lines"),
        ("export", zstandard.compress(CSV), "CSV"),
        ("export.csv", parquet(), "Parquet"),
        ("export.csv", gzip.compress(CSV, mtime=0), "CSV"),
        ("rows.ndjson.gz", gzip.compress(LINES, mtime=0), "JSON lines"),
        ("rows.json", LINES, "JSON lines"),
        ("rows.parquet.zst", zstandard.compress(parquet()), "Parquet"),
    ],
)
def test_the_content_determines_the_format(tmp_path, name, body, note):
    table = table_of(job(write(tmp_path, body, name)), tmp_path)
    assert table.frame.to_numpy().tolist() == [[1, 2]]
    assert table.origin.notes[0].startswith(note)


def test_binary_content_needs_a_format(tmp_path):
    with pytest.raises(ConfigError, match=r"set data\.format"):
        table_of(job(write(tmp_path, b"\x00\x01\x02", "export")), tmp_path)


def test_large_json_objects(tmp_path):
    rows = "".join(f'{{"y": {number}, "text": "{"x" * 2_000_000}"}}\n' for number in range(3))
    assert table_of(job(write(tmp_path, rows, "t.jsonl")), tmp_path).frame["y"].tolist() == [0, 1, 2]


def test_a_type_change_in_a_late_line_names_the_line(tmp_path):
    rows = '{"y": 1, "a": 1}\n' * 400_000 + '{"y": "many", "a": 1}\n'
    with pytest.raises(Exception, match="'y' is text in line 400001 and a number in line 1"):
        table_of(job(write(tmp_path, rows, "t.jsonl")), tmp_path)
