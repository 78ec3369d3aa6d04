"""One table of several files: found by a pattern, read in order, one digest, the same columns in all."""

import hashlib

import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import dataset_of, environment, job, table_of, write
from tests.unit.trainer.data.sources.test_sources import never, ways
from trainyard_trainer.data.sources.files import fetch
from trainyard_trainer.errors import ConfigError, DataError, InputMissing, NotPermitted

FIRST = b"a,y\n1,2\n3,4\n"
SECOND = b"y;a\n6,5;5\n"


OBJECTS = {"day/1.csv": FIRST, "day/2.csv": SECOND, "day/_SUCCESS": b"", "day/old/3.csv": FIRST, "day/": b""}


class Folder:
    """A boto3 client of a bucket with several objects."""

    def get_paginator(self, _):
        return self

    def paginate(self, Bucket, Prefix):  # noqa: N803, ARG002 - boto3's names
        found = [{"Key": key} for key in OBJECTS if key.startswith(Prefix)]
        return [{"Contents": found[:2]}, {"Contents": found[2:]}, {}]

    def download_file(self, bucket, key, target, Callback):  # noqa: N803, ARG002 - boto3's names
        with open(target, "wb") as file:  # noqa: PTH123 - as boto3 does
            file.write(OBJECTS[key])
        Callback(1)


def three_days(folder):
    write(folder, FIRST, "1.csv")
    write(folder, SECOND, "2.csv")
    write(folder, b"not a table", ".hidden.csv")
    pd.DataFrame({"y": [7.5], "a": [8]}).to_parquet(folder / "3.parquet")
    return folder


def test_files_of_different_formats_are_one_table(tmp_path):
    table = table_of(job(three_days(tmp_path) / "*"), tmp_path)
    assert list(table.frame.columns) == ["a", "y"]
    assert table.frame.to_numpy().tolist() == [[1, 2], [3, 4], [5, 6.5], [8, 7.5]]
    assert table.origin.notes[0].startswith("3 files below file:///")
    assert [file.rows for file in table.origin.files] == [2, 1, 1]


@pytest.mark.parametrize("uri", ["s3://sales/day/*.csv", "pvc://lake/day/*.csv"])
def test_the_digest_is_that_of_a_listing_by_sha256sum(tmp_path, uri):
    env = environment(tmp_path)
    (env.claims_dir / "lake" / "day").mkdir(parents=True)
    three_days(env.claims_dir / "lake" / "day")
    with fetch(job(uri), env, never, ways(env, Folder)) as source:
        assert [file.uri for file in source.files] == [uri.replace("*", name) for name in "12"]
        assert source.size_bytes == len(FIRST + SECOND)
        lines = (f"{hashlib.sha256(body).hexdigest()}  {name}.csv\n" for name, body in (("1", FIRST), ("2", SECOND)))
        assert source.digest == "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()


def test_a_wildcard_in_the_middle(tmp_path):
    for day in ("mon", "tue"):
        (tmp_path / day).mkdir()
        write(tmp_path / day, FIRST, "t[1].csv")
    assert len(table_of(job(tmp_path / "*" / "t[1].csv"), tmp_path).frame) == 4


@pytest.mark.parametrize(
    ("uri", "error", "words"),
    [
        ("s3://sales/day/*.parquet", InputMissing, "no file matches"),
        ("pvc://lake/*.csv", InputMissing, "no file matches"),
        ("s3://sales/**/x.csv", ConfigError, "within one folder"),
        ("pvc://lake/out*/table.csv", NotPermitted, "symbolic link"),
    ],
)
def test_invalid_patterns(tmp_path, uri, error, words):
    env = environment(tmp_path)
    (env.claims_dir / "lake").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    write(tmp_path / "elsewhere", FIRST)
    (env.claims_dir / "lake" / "out").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(error, match=words) as caught, fetch(job(uri), env, never, ways(env, Folder)):
        pass
    assert uri in str(caught.value)


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (b"a,z,y\n1,2,3\n", ["2.csv has the additional columns 'z'", "1.csv"]),
        (b"b,y\n1,2\n", ["2.csv lacks the columns 'a' and has the additional columns 'b'", "1.csv"]),
        (b"a,Y\n1,2\n", ["2.csv: the table has no column 'y'"]),
        (b"a,y\n1,2,3\n", ["2.csv: line 2 has 3 fields"]),
    ],
)
def test_the_file_that_differs_is_named(tmp_path, second, words):
    write(tmp_path, FIRST, "1.csv")
    write(tmp_path, second, "2.csv")
    with pytest.raises(DataError) as caught:
        table_of(job(tmp_path / "*.csv"), tmp_path)
    for word in words:
        assert word in str(caught.value)


def test_a_word_among_numbers_is_found_in_its_file(tmp_path):
    write(tmp_path, FIRST, "1.csv")
    write(tmp_path, b"a,y\n1,2\n3,unknown\n", "2.csv")
    with pytest.raises(DataError, match=r"'unknown' is not a number.*data row 2 of file://.*/2\.csv"):
        dataset_of(job(tmp_path / "*.csv"), tmp_path)


def test_types_of_columns_are_joined(tmp_path):
    write(tmp_path, b"id,whole,when,gap,y\n1,1,2026-01-01,,1\n", "1.csv")
    write(tmp_path, b"id,whole,when,gap,y\nx,1.5,2026-01-02T00:00:00,2,2\n", "2.csv")
    frame = table_of(job(tmp_path / "*.csv"), tmp_path).frame
    assert frame["id"].tolist() == ["1", "x"]
    assert frame["whole"].tolist() == [1, 1.5]
    assert frame["when"].tolist() == [pd.Timestamp("2026-01-01"), pd.Timestamp("2026-01-02")]
    assert frame["gap"].iloc[1] == 2
