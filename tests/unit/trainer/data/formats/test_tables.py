"""CSV, Parquet and JSON lines are read as frames. The message about a broken file names the file and the reason."""

import gzip
import io

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.unit.trainer.data.jobs import job, table_of, write
from trainyard_trainer.errors import ConfigError, DataError

SOUND = "id,when,y\n007,2026-01-01,1.5\n008,2026-01-02,2.5\n"


def read(folder, text, name="table.csv", **data):
    task = data.pop("task", "Regression")
    return table_of(job(write(folder, text, name), task=task, data=data), folder)


def parquet(columns, names=None):
    table = pa.table(columns) if names is None else pa.table([pa.array([value]) for value in columns], names=names)
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("t.csv", bytes),
        ("t.csv.gz", gzip.compress),
        ("t.CSV.GZ", gzip.compress),
        ("t.csv.zst", zstandard.compress),
        ("t.txt", bytes),
    ],
)
def test_csv_plain_and_compressed(tmp_path, name, pack):
    table = read(tmp_path, pack(SOUND.encode()), name)
    assert table.frame["y"].tolist() == [1.5, 2.5]
    assert table.origin.digest.startswith("sha256:")


def test_names_of_series_stay_text(tmp_path):
    frame = read(tmp_path, SOUND, task="Forecast", series="id", time="when").frame
    assert frame["id"].astype(str).tolist() == ["007", "008"]
    assert list(frame.columns) == ["id", "when", "y"]


def test_a_forecast_only_reads_columns_with_a_role(tmp_path):
    text = "ds,other,y\n2026-01-01,x,1\n"
    assert list(read(tmp_path, text, task="Forecast").frame.columns) == ["ds", "y"]


def test_excluded_columns_are_not_read(tmp_path):
    assert list(read(tmp_path, SOUND, exclude=["id"]).frame.columns) == ["when", "y"]


def test_european_numbers_and_quoted_line_feeds(tmp_path):
    frame = read(tmp_path, 'a;y\n"one\ntwo";1,5\nthree;-2,25\n').frame
    assert frame["y"].tolist() == [1.5, -2.25]
    assert frame["a"].tolist() == ["one\ntwo", "three"]


def test_another_encoding(tmp_path):
    frame = read(tmp_path, "a,y\ncafé,1\n".encode("latin-1"), csv={"encoding": "latin-1"}).frame
    assert frame["a"].tolist() == ["café"]


def test_parquet_reads_only_needed_columns(tmp_path):
    path = tmp_path / "t.parquet"
    pd.DataFrame({"ds": pd.date_range("2026", periods=3), "y": [1, 2, 3], "wide": ["x"] * 3}).to_parquet(path)
    frame = table_of(job(path, task="Forecast"), tmp_path).frame
    assert list(frame.columns) == ["ds", "y"]
    assert frame["y"].tolist() == [1, 2, 3]


def test_json_lines(tmp_path):
    frame = read(tmp_path, '{"a": 1, "y": 2.5}\n{"a": null, "y": 3}\n', "t.jsonl").frame
    assert frame["y"].tolist() == [2.5, 3.0]


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("", "t.csv", "the file is empty"),
        ("a,y\n", "t.csv", "no rows"),
        ("y,a,y\n1,2,3\n", "t.csv", "same name: 'y'"),
        ("a,Y\n1,2\n", "t.csv", "no column 'y' (nearest: 'Y')"),
        ('a,y\n1,2\n"x,3\n4,5\n', "t.csv", "opens in line 3"),
        ('a,y\n1,2\n3,"4\n5,6\n', "t.csv", "opens in line 3"),
        ("a,y\n1,2\n3,4,5\n", "t.csv", "line 3 has 3 fields"),
        ("a,y\n1,2\n3\n", "t.csv", "line 3 has 1 fields"),
        (b"a,y\n" + b"ok,1\n" * 100_000 + b"caf\xe9,2\n", "t.csv", "byte 0xe9 at offset 500007 (line 100002)"),
        (gzip.compress(SOUND.encode(), mtime=0)[:40], "t.csv.gz", "the compressed file is damaged"),
        (b"no gzip", "t.csv.gz", "the compressed file is damaged"),
        (b"no zstd", "t.csv.zst", "the compressed file is damaged"),
        ("not parquet", "t.parquet", "not a readable Parquet file"),
        (parquet({"y": [[1, 2]], "a": [1]}), "t.parquet", "column 'y' has the type list<"),
        (parquet({"y": [{"b": 2}], "a": [1]}), "t.parquet", "column 'y' has the type struct<"),
        (parquet([1.0, 2.0], ["y", "y"]), "t.parquet", "same name: 'y'"),
        ("not json", "t.jsonl", "line 1 is not a JSON object"),
        ("", "t.jsonl", "the file is empty"),
        ("{}\n{}\n", "t.jsonl", "JSON objects have no fields"),
        ('{"y": 1}\n\n{"y": }\n', "t.jsonl", "line 3 is not a JSON object"),
        ('[\n{"y": 1}\n]\n', "t.json", "one JSON array"),
        ('[{"y": 1}]\n', "t.json", "not a JSON object"),
        ('{"y": 1}\n{"y": "x"}\n', "t.jsonl", "'y' is text in line 2 and a number in line 1"),
        (b"PK\x03\x04rest", "t.csv", "an Excel workbook"),
        ("<!DOCTYPE html><title>Log in</title>", "t", "a web page"),
        (b'{"y": "caf\xe9"}\n', "t.jsonl", "column 'y': "),
        ('{"y": {"a": 1}}\n', "t.jsonl", "column 'y' has the type struct<"),
    ],
)
def test_broken_files_are_explained(tmp_path, text, name, words):
    with pytest.raises(DataError) as caught:
        read(tmp_path, text, name)
    assert words in str(caught.value)
    assert name in str(caught.value)


def test_lists_and_objects_are_not_features(tmp_path):
    table = parquet({"y": [1.0], "list": [[1, 2]], "object": [{"b": 1}]})
    assert list(read(tmp_path, table, "t.parquet").frame.columns) == ["y"]


def test_a_quotation_mark_inside_a_field_is_not_an_error(tmp_path):
    assert read(tmp_path, 'a,y\n5" pipe,1\nplain,2\n').frame["y"].tolist() == [1, 2]


def test_a_separator_is_one_character(tmp_path):
    with pytest.raises(ConfigError, match="one character"):
        read(tmp_path, SOUND, csv={"separator": ";;"})
    assert len(read(tmp_path, "a\ty\n1\t2\n", csv={"separator": "\\t"}).frame.columns) == 2
