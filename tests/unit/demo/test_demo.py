"""The data and the view of the demo: the tables fit the examples, and the view reads real objects."""

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from rich.console import Console

from cluster.model import ClusterError
from demo.data import PATIENTS, diabetes, machine_readings, tables
from demo.view import follow, job_row

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = [path for path in sorted((ROOT / "examples").rglob("*.yaml")) if "argocd" not in path.parts]

Json = dict[str, Any]


@pytest.fixture(scope="module")
def frames() -> dict[str, pd.DataFrame]:
    return {f"s3://datasets/{key}": pd.read_csv(io.StringIO(text)) for key, text, _ in tables()}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_tables_have_the_columns_of_the_examples(path: Path, frames: dict[str, pd.DataFrame]) -> None:
    for each in yaml.safe_load_all(path.read_text()):
        if each["kind"] not in ("TrainingJob", "TrainingSchedule"):
            continue
        spec = each["spec"].get("template", each)["spec"]
        data = spec["data"]
        roles = {data[role] for role in ("target", "time", "series") if role in data}
        assert roles <= set(frames[data["uri"]].columns)


def test_the_tables_are_the_same_every_time() -> None:
    assert list(tables()) == list(tables())


def test_larger_tables_append_rows() -> None:
    begin, grown = diabetes(PATIENTS), diabetes()
    assert grown.startswith(begin)
    assert len(grown) > len(begin)
    ten, twelve = machine_readings(10), machine_readings(12)
    assert twelve.head(len(ten)).equals(ten)
    assert twelve["reading"].is_unique


def job(phase: str, **status: object) -> Json:
    return {"metadata": {"name": "a"}, "spec": {"framework": "LightGBM"}, "status": {"phase": phase, **status}}


def test_a_job_without_status_is_pending() -> None:
    row = job_row({"metadata": {"name": "a"}, "spec": {"framework": "Prophet"}})
    assert (row.phase, row.progress, row.ended) == ("Pending", 0, False)


def test_follow_prints_each_change_once_until_the_jobs_end() -> None:
    running = job("Running", trainerStatus={"progressPercentage": 40, "stage": "train", "message": "round 10"})
    metrics = [{"name": "mae", "value": "43.21987"}]
    done = job("Succeeded", result={"metrics": metrics}, modelVersion={"name": "a-v1", "version": 1})
    seen = iter([[job("Pending")], [running], [running], [done]])
    out = io.StringIO()
    [last] = follow(lambda: next(seen), Console(file=out), timeout_seconds=60)
    assert last.ended
    printed = out.getvalue().splitlines()
    assert [row.split()[1] for row in printed] == ["Pending", "Running", "Succeeded"]
    assert "40%  train: round 10" in printed[1]
    assert "a-v1, mae 43.2" in printed[2]


def test_follow_names_unfinished_jobs() -> None:
    with pytest.raises(ClusterError, match=r"a \(Running\)"):
        follow(lambda: [job("Running")], Console(file=io.StringIO()), timeout_seconds=0)
