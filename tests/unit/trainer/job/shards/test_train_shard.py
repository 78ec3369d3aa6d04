"""Pods that share a job: the last one registers one version, which equals that of a single pod."""

import itertools
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.unit.trainer.job.mean import pod
from tests.unit.trainer.job.shards.means import Means, SharedSteps, config
from trainyard_api.wire import TrainingResult
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.errors import Interrupted
from trainyard_trainer.job.run import run_job
from trainyard_trainer.job.shards.share import Share
from trainyard_trainer.progress.log import JsonLines

NAMES = tuple(f"product_{number}" for number in range(12))
ORDERS = list(itertools.permutations(range(3)))


class Cluster:
    """Pods of jobs on one volume."""

    def __init__(self, folder: Path, names: tuple[str, ...] = NAMES) -> None:
        self.folder = folder
        self.shared_steps = SharedSteps(names)
        self.framework = Means()

    def run(self, index: int | None, *, uid: str = "uid", shards: int = 3, attempt: int = 1) -> tuple[int, Any]:
        """Run one pod to its end."""
        env = pod(self.folder)
        env = replace(
            env,
            completion_index="" if index is None else str(index),
            termination_log=self.folder / f"result-{uid}-{attempt}-{index}",
        )
        job = config(uid, shards, attempt)
        code = run_job(
            lambda: job, env, lambda: False, display=JsonLines(), steps=self.shared_steps.steps(self.framework)
        )
        return code, TrainingResult.model_validate_json(env.termination_log.read_bytes())

    def manifests(self, uid: str = "uid") -> list[dict[str, Any]]:
        runs = self.folder / "claims/models/all/shop/demand/runs" / uid
        return [json.loads(file.read_text()) for file in sorted(runs.glob("*/manifest.json"))]

    def files(self, uid: str = "uid") -> dict[str, str]:
        """Return the files of the only run, except the report and the forecast, which differ between runs."""
        (manifest,) = self.manifests(uid)
        other = {"report.html", "forecast.parquet", "forecast.csv"}
        return {file["path"]: file["sha256"] for file in manifest["files"] if file["path"] not in other}

    def forecast(self, uid: str = "uid") -> pd.DataFrame:
        """Return the forecast of the only run."""
        (file,) = (self.folder / "claims/models/all/shop/demand/runs" / uid).glob("*/forecast.parquet")
        return pd.read_parquet(file)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


@pytest.mark.parametrize("order", ORDERS)
def test_the_last_pod_registers_the_version_of_a_single_pod(cluster: Cluster, order: tuple[int, ...]) -> None:
    *first, last = order
    for index in first:
        code, result = cluster.run(index)
        assert (code, result.outcome, result.made, result.model_version) == (0, "Succeeded", "Shard", None)
        assert result.message.startswith(f"shard {index + 1} of 3: ")
        assert cluster.manifests() == []
    code, result = cluster.run(last)
    assert (code, result.made, result.model_version.version) == (0, "Version", 1)
    assert (result.series.total, result.series.trained) == (12, 12)
    assert sorted(cluster.framework.fitted) == sorted(NAMES), "each series once"

    code, alone = cluster.run(None, uid="alone", shards=1)
    assert (code, alone.model_version.version) == (0, 2)
    assert cluster.files() == cluster.files("alone")
    merged, whole = cluster.forecast(), cluster.forecast("alone")
    assert merged["series"].tolist() == list(NAMES)
    own = [frame[["version", "run"]].drop_duplicates().to_numpy().tolist() for frame in (merged, whole)]
    assert own == [[[1, "uid"]], [[2, "alone"]]]
    pd.testing.assert_frame_equal(merged.drop(columns=["version", "run"]), whole.drop(columns=["version", "run"]))
    assert [one["contentSha256"] for one in cluster.manifests()] == [
        one["contentSha256"] for one in cluster.manifests("alone")
    ]


def test_without_an_index_one_process_trains_all_series(cluster: Cluster) -> None:
    code, result = cluster.run(None)
    assert (code, result.made) == (0, "Version")
    assert cluster.framework.fitted == list(NAMES)


def test_a_killed_pod_continues_from_its_checkpoints(cluster: Cluster) -> None:
    mine = [name for name in NAMES if Share(1, 3).takes(name)]

    def kill(name: str) -> None:
        if name == mine[2]:
            raise Interrupted("the pod is asked to end")

    assert cluster.run(0)[1].made == "Shard"
    cluster.framework.on_fit = kill
    assert cluster.run(1)[0] == 75
    cluster.framework.on_fit = lambda _: None
    results = [cluster.run(index, attempt=2)[1] for index in range(3)]
    assert [result.made for result in results] == ["Shard", "Shard", "Version"]
    assert sorted(cluster.framework.fitted) == sorted(NAMES), "no series twice"


def test_an_attempt_after_the_version_finds_it(cluster: Cluster) -> None:
    first = [cluster.run(index)[1] for index in range(3)]
    again = [cluster.run(index, attempt=2)[1] for index in range(3)]
    assert [result.model_version for result in again] == [first[-1].model_version] * 3
    assert len(cluster.manifests()) == 1


def test_two_concurrent_merges_register_one_version(cluster: Cluster) -> None:
    other: list[Any] = []

    def meanwhile(dataset: Dataset) -> None:
        if len(dataset.series) == len(NAMES) and not other:
            other.append(None)
            other[0] = cluster.run(1)

    cluster.run(0)
    cluster.run(1)
    cluster.framework.on_train = meanwhile
    code, result = cluster.run(2)
    assert (code, other[0][0]) == (0, 0)
    assert result == other[0][1]
    assert result.model_version.version == 1
    assert len({one["contentSha256"] for one in cluster.manifests()}) == 1


def test_pods_without_a_series(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, NAMES[:2])
    results = [cluster.run(index, shards=7)[1] for index in range(7)]
    assert [result.made for result in results] == ["Shard"] * 6 + ["Version"]
    assert sorted(cluster.framework.fitted) == sorted(NAMES[:2])


def test_errors_in_a_share_are_decided_by_the_training_of_all_series(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """If all series fail, this is an error. If few of all series fail, it is not."""
    cluster.shared_steps.below = -1.0
    results = [cluster.run(index) for index in range(3)]
    assert [code for code, _ in results] == [0, 0, 65], "all series fail, and the last pod reports the error"
    assert "shard 1 of 3: no series could be fitted;" in caplog.text
    assert "no series could be fitted" in results[-1][1].message


def test_pods_that_read_different_data_do_not_merge(cluster: Cluster) -> None:
    results = []
    for index in range(3):
        cluster.shared_steps.digest = "sha256:" + f"{int(index > 0)}" * 64
        results.append(cluster.run(index)[1].made)
    assert results == ["Shard", "Shard", "Shard"], "no pod merges, and the operator retries"
    results = [cluster.run(index, attempt=2)[1].made for index in range(3)]
    assert results[0] == "Version", "the first one is the last to read this data"


def test_an_invalid_index(cluster: Cluster) -> None:
    code, result = cluster.run(3)
    assert (code, result.reason) == (64, "BadConfig")


@pytest.mark.parametrize(("index", "reports"), [(0, True), (1, False)])
def test_only_the_first_pod_reports(
    cluster: Cluster, index: int, *, reports: bool, caplog: pytest.LogCaptureFixture
) -> None:
    env = replace(pod(cluster.folder), completion_index=str(index), termination_log=cluster.folder / "result")
    job = config("uid", 3).model_copy(update={"progress_url": "https://127.0.0.1:1/status"})
    with caplog.at_level(logging.WARNING):
        run_job(
            lambda: job, env, lambda: False, display=JsonLines(), steps=cluster.shared_steps.steps(cluster.framework)
        )
    assert ("progress could not be reported" in caplog.text) is reports
