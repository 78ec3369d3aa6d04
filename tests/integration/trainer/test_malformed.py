"""A corpus of bad inputs, each in a whole local run: the exit code, and one message with the cause and its position."""

import gzip
import io
import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
import zstandard

from tests.integration.trainer.tables import regression_csv, sales_csv
from trainyard_trainer.cli.local import local_environment, read_job_file
from trainyard_trainer.job.run import run_job
from trainyard_trainer.progress.log import JsonLines

GOOD = regression_csv(60)
JSON_LINES = b'{"a": 1, "y": 2}\n' * 40


def parquet(frame: pd.DataFrame) -> bytes:
    out = io.BytesIO()
    frame.to_parquet(out)
    return out.getvalue()


def insert_after(number: int, text: bytes, body: bytes = GOOD) -> bytes:
    """Insert a line after the n-th."""
    lines = body.splitlines(keepends=True)
    return b"".join([*lines[:number], text, *lines[number:]])


@dataclass(frozen=True)
class BadInput:
    """The files (name to bytes), the differences to a good specification, and the expected exit code and message."""

    name: str
    code: int
    said: str
    files: dict[str, bytes] = field(default_factory=lambda: {"t.csv": GOOD})
    data: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)
    uri: str = "t.csv"


def table(name: str, body: bytes, code: int, said: str, **data: Any) -> BadInput:
    """A case with one bad file."""
    return BadInput(name, code, said, {name: body}, data, uri=name)


def sales(name: str, code: int, said: str, change: Callable[[pd.DataFrame], Any], **data: Any) -> BadInput:
    """A forecast of sales with an error in the data."""
    frame = pd.read_csv(io.BytesIO(sales_csv(bread=100, rolls=50))).astype({"date": object, "sold": object})
    body = change(frame).to_csv(index=False).encode()
    roles = {"time": "date", "series": "product", "target": "sold", **data}
    forecast = {"framework": "Prophet", "task": "Forecast", "forecast": {"horizon": 14}}
    return BadInput(name, code, said, {"t.csv": body}, roles, forecast)


def set_values(column: str, rows: Any, value: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Return a function that sets some values of a frame."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[rows, column] = value
        return frame

    return change


WEATHER = {"name": "rain", "uri": "rain.csv", "time": "day", "columns": ["mm"], "required": True}


def weather(name: str, body: bytes, code: int, said: str, **changes: Any) -> BadInput:
    """A case with a bad required covariate."""
    files = {"t.csv": b"a,b,y,day\n" + b"".join(b"%d,1,2,2026-01-01\n" % n for n in range(60)), "rain.csv": body}
    return BadInput(name, code, said, files, {"time": "day", "covariates": [{**WEATHER, **changes}]})


CASES = [
    # ---- files
    table("empty.csv", b"", 65, "the file is empty"),
    table("blank.csv", b"\n \n", 65, "the file is empty"),
    table("header.csv", b"a,b,y\n", 65, "no rows"),
    table("wide.csv", insert_after(3, b"1,2,3,4\n"), 65, "line 4 has 4 fields, but the header has 3"),
    table("narrow.csv", insert_after(3, b"1\n"), 65, "line 4 has 1 fields"),
    table("quote.csv", insert_after(3, b'1,"2,3\n'), 65, "opens in line 4"),
    table("latin.csv", insert_after(3, "1,é,3\n".encode("latin-1")), 65, "is not utf-8"),
    table("twice.csv", GOOD.replace(b"a,b,y", b"a,y,y"), 65, "same name: 'y'"),
    table("case.csv", GOOD.replace(b"a,b,y", b"a,b,Y"), 65, "no column 'y' (nearest: 'Y')"),
    table("word.csv", insert_after(3, b"1,2,many\n"), 65, "data row 3: 'many' is not a number"),
    table("comma.csv", b"a;y\n" + b"1;2.5\n" * 40 + b'1;"2,5"\n', 65, "'2,5' is not a number"),
    table("huge.csv", insert_after(3, b"1,2,1e40\n"), 65, "data row 3: 1e+40 is beyond"),
    table("few.csv", b"\n".join(GOOD.splitlines()[:10]), 65, "9 usable rows"),
    table("same.csv", b"a,y\n" + b"1,7\n2,7\n" * 40, 65, "every value of column 'y'"),
    table("none.csv", b"a,y\n" + b"1,\n2,\n" * 40, 65, "column 'y' (data.target) has no numbers"),
    table("ids.csv", b"id,y\n" + b"".join(b"r%d,%d\n" % (n, n % 7) for n in range(60)), 65, "identifier"),
    table("t.csv.gz", gzip.compress(GOOD)[:50], 65, "the compressed file is damaged"),
    table("no.csv.gz", GOOD, 65, "the compressed file is damaged"),
    table("t.csv.zst", zstandard.compress(GOOD)[:50], 65, "t.csv.zst"),
    table("t.parquet", b"PAR1 and no more", 65, "not a readable Parquet file"),
    table("cut.parquet", parquet(pd.DataFrame({"a": [1], "y": [2]}))[:-9], 65, "not a readable Parquet file"),
    table("list.parquet", parquet(pd.DataFrame({"a": [1], "y": [[2]]})), 65, "column 'y' has the type list"),
    table("array.json", b'[{"a": 1, "y": 2}]', 65, "not a JSON object"),
    table("broken.jsonl", JSON_LINES + b'{"a": 1, "y":\n', 65, "line 41 is not a JSON object"),
    table("kinds.jsonl", JSON_LINES + b'{"a": 1, "y": "x"}\n', 65, "'y' is text in line 41"),
    table("nested.jsonl", b'{"a": 1, "y": {"z": 1}}\n' * 40, 65, "column 'y' has the type struct"),
    table("book.xlsx", b"PK\x03\x04 and more", 65, "an Excel workbook"),
    table("page.csv", b"<!DOCTYPE html><html>", 65, "a web page"),
    table("bytes.dat", b"\x00\x01\x02\x03", 64, "set data.format"),
    BadInput("two tables", 65, "2.csv lacks the columns 'b'", {"1.csv": GOOD, "2.csv": b"a,y\n1,2\n"}, uri="*.csv"),
    BadInput("no match", 66, "no file matches", uri="*.parquet"),
    BadInput("deep pattern", 64, "'**'", uri="**/t.csv"),
    BadInput("gone", 66, "does not exist", uri="gone.csv"),
    BadInput("folder", 66, "is a folder", {"folder/t.csv": GOOD}, uri="folder"),
    # ---- options of the data
    BadInput("encoding", 64, "data.csv.encoding 'utf-9'", data={"csv": {"encoding": "utf-9"}}),
    BadInput("separator", 64, "must be one character", data={"csv": {"separator": ";;"}}),
    BadInput("wrong separator", 65, "no column 'y'", data={"csv": {"separator": "|"}}),
    BadInput("wrong format", 65, "not a readable Parquet file", data={"format": "Parquet"}),
    BadInput("no feature", 65, "no column 'c'", data={"features": ["a", "c"]}),
    BadInput("all excluded", 65, "no usable feature", data={"exclude": ["a", "b"]}),
    BadInput("no group", 65, "no column 'engine'", data={"group": "engine"}),
    BadInput("zone", 64, "spec.data.timeZone 'Paris' is not known", data={"timeZone": "Paris"}),
    BadInput("metric", 64, "maee", spec={"objective": {"metric": "maee"}}),
    BadInput("parameter", 64, "num_leafs", spec={"parameters": {"num_leafs": 3}}),
    BadInput(
        "both sources", 64, "exactly one of uri and sql", data={"sql": {"secretRef": {"name": "s"}, "query": "x"}}
    ),
    BadInput("scheme", 64, "uri must start with", uri="ftp://host/t.csv"),
    # ---- series
    sales("time", 65, "'soon' is not a time", set_values("date", 3, "soon")),
    sales("times of all", 65, "'soon' is not a time", set_values("date", slice(None), "soon")),
    sales("target", 65, "'many' is not a number", set_values("sold", 3, "many")),
    sales("duplicates", 65, "DuplicateTimes", set_values("date", [3, 4], "2026-01-01")),
    sales("zeros", 65, "zero", set_values("sold", slice(0, 199), 0)),
    sales("short", 65, "TooFewPoints", lambda frame: frame.drop(index=range(20, 200))),
    sales("far", 65, "9999-01-01 is out of range", set_values("date", 3, "9999-01-01")),
    sales("no number", 65, "no row has both", set_values("sold", slice(None), None)),
    # ---- covariates
    weather("weather without its column", b"day,rain\n2026-01-01,1\n", 65, "no column 'mm'"),
    weather("weather without days", b"day,mm\nsoon,1\n", 65, "'soon' is not a time"),
    weather("empty weather", b"", 65, "the file is empty"),
    weather("no weather", b"", 69, "gone.csv does not exist", uri="gone.csv"),
    BadInput("weather twice", 64, "contains 'rain' twice", data={"time": "a", "covariates": [WEATHER, WEATHER]}),
    BadInput("weather without a time", 64, "spec.data.time", data={"covariates": [WEATHER]}),
]


def job_file(bad: BadInput, folder: Path) -> Path:
    for name, body in bad.files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(body)

    def address(uri: str) -> str:
        return uri if "://" in uri else f"file://{folder}/{uri}"

    data = {"uri": address(bad.uri), "target": "y", **bad.data}
    if "covariates" in data:
        data["covariates"] = [{**one, "uri": address(one["uri"])} for one in data["covariates"]]
    spec = {"framework": "LightGBM", "task": "Regression", "data": data, **bad.spec}
    document = {
        "apiVersion": "trainyard.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": "job"},
        "spec": spec,
    }
    file = folder / "job.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


def completion(file: Path, output: Path, environ: dict[str, str]) -> tuple[int, str]:
    (output / "work").mkdir(parents=True)
    env = local_environment({"TRAINYARD_WORK_DIR": str(output / "work"), **environ}, output)
    code = run_job(lambda: read_job_file(file, output), env, lambda: False, display=JsonLines())
    return code, json.loads((output / "result.json").read_text())["message"]


@pytest.mark.parametrize("bad", CASES, ids=lambda bad: bad.name)
def test_a_bad_input_ends_with_its_exit_code_and_a_message(bad: BadInput, tmp_path: Path) -> None:
    code, message = completion(job_file(bad, tmp_path), tmp_path / "out", {})
    assert (code, bad.said in message) == (bad.code, True), message
    assert "\n" not in message
    assert not list((tmp_path / "out").rglob("manifest.json"))


def test_the_corpus_is_large_and_has_no_duplicate_names() -> None:
    assert len({bad.name for bad in CASES}) == len(CASES) >= 60


def test_a_local_run_trains_on_a_query(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shop.db") as database:
        pd.read_csv(io.BytesIO(GOOD)).to_sql("lines", database, index=False)
    database.close()
    (tmp_path / "url").write_text(f"sqlite:///{tmp_path}/shop.db")
    query = BadInput(
        "query", 0, "version 1 of job", data={"sql": {"secretRef": {"name": "shop"}, "query": "SELECT * FROM lines"}}
    )
    file = job_file(query, tmp_path)
    document = yaml.safe_load(file.read_text())
    del document["spec"]["data"]["uri"]
    file.write_text(yaml.safe_dump(document))
    code, message = completion(file, tmp_path / "out", {"TRAINYARD_DATA_SECRET_DIR": str(tmp_path)})
    assert (code, query.said in message) == (0, True), message
