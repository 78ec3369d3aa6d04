"""A whole training with a small framework: the stored files, and the result of each kind of failure."""

import json
import logging
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.unit.trainer.job.mean import MeanFramework, config, pod, steps
from trainyard_api.wire import TrainerConfig, TrainingResult
from trainyard_trainer.artifacts.manifest import parse_manifest, sha256_of
from trainyard_trainer.data.dataset import Dataset, Table
from trainyard_trainer.errors import DataError
from trainyard_trainer.frameworks.base import Context
from trainyard_trainer.job.run import read_config, run_job
from trainyard_trainer.progress.log import JsonLines


def never() -> bool:
    return False


def run(
    folder: Path,
    framework: MeanFramework | None = None,
    stop: Callable[[], bool] = never,
    **changes: Any,
) -> tuple[int, TrainingResult]:
    env = pod(folder)
    code = run_job(lambda: config(**changes), env, stop, display=JsonLines(), steps=steps(framework or MeanFramework()))
    return code, TrainingResult.model_validate_json(env.termination_log.read_text())


def failing(error: BaseException) -> MeanFramework:
    def fail(_: Context) -> None:
        raise error

    return MeanFramework(during_training=fail)


def test_a_training_is_registered(tmp_path: Path) -> None:
    code, result = run(tmp_path)
    assert code == 0
    assert result.outcome == "Succeeded"
    assert result.message == "version 1 of demand: mae 11"
    assert result.model_version is not None
    assert result.model_version.version == 1
    assert result.objective_value == "11"
    assert result.formats == ["mean-json"]
    assert result.warnings == ["it is only a mean", "only <10> rows"]
    assert result.signature is not None
    assert [(column.name, column.type) for column in result.signature.inputs] == [("a", "double")]


def test_the_files_of_the_run(tmp_path: Path) -> None:
    _, result = run(tmp_path)
    assert result.artifact is not None
    assert result.artifact.uri == "pvc://models/all/shop/demand/runs/uid-1/1"
    folder = tmp_path / "claims/models/all/shop/demand/runs/uid-1/1"
    body = (folder / "manifest.json").read_bytes()
    assert sha256_of(body) == result.artifact.manifest_sha256
    manifest = parse_manifest(body, "manifest")
    assert {entry.path for entry in manifest.files} == {
        "mean.json",
        "report.html",
        "validation.json",
        "metrics.parquet",
        "profile.json",
    }
    assert manifest.encode() == body
    assert manifest.parameters == {"kind": "mean", "rows": 3}
    assert manifest.golden.inputs.rows == [[7.0], [8.0], [9.0]]
    assert "hush" not in body.decode()
    assert "hush" not in (folder / "report.html").read_text()
    assert json.loads((folder / "validation.json").read_text())["findings"][0]["code"] == "Few"
    assert list(pd.read_parquet(folder / "metrics.parquet")["metric"]) == ["mae"]


def test_the_work_folder_is_empty_afterwards(tmp_path: Path) -> None:
    run(tmp_path)
    assert list((tmp_path / "work").iterdir()) == []


def test_a_second_attempt_returns_the_version_of_the_first_without_training(tmp_path: Path) -> None:
    first = run(tmp_path)
    framework = MeanFramework()
    assert run(tmp_path, framework, attempt=2) == first
    assert framework.trainings == []


def test_another_job_of_the_model_gets_the_next_version(tmp_path: Path) -> None:
    run(tmp_path)
    _, result = run(tmp_path, uid="uid-2")
    assert result.model_version is not None
    assert result.model_version.version == 2


def test_a_known_failure_is_reported_with_its_code(tmp_path: Path) -> None:
    code, result = run(tmp_path, failing(DataError("column 'y' of https://u:hush@h/x holds text in row 7")))
    assert code == 65
    assert (result.outcome, result.reason) == ("Failed", "BadData")
    assert result.message == "column 'y' of https://***@h/x holds text in row 7"


def test_a_crash_is_reported_with_type_and_text_and_logged_with_its_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code, result = run(tmp_path, failing(KeyError("lag_7")))
    assert code == 1
    assert (result.reason, result.message) == ("Crashed", "KeyError: 'lag_7'")
    assert any(record.exc_info for record in caplog.records)


def test_out_of_memory_names_the_limit(tmp_path: Path) -> None:
    code, result = run(tmp_path, failing(MemoryError()))
    assert code == 1
    assert result.message is not None
    assert "spec.resources.limits.memory" in result.message


def test_a_stop_between_stages_interrupts(tmp_path: Path) -> None:
    stop_requests: list[bool] = []
    framework = MeanFramework(during_training=lambda _: stop_requests.append(True))
    code, result = run(tmp_path, framework, stop=lambda: bool(stop_requests))
    assert code == 75
    assert result.reason == "Interrupted"
    assert result.message is not None
    assert "in stage train" in result.message
    assert not list((tmp_path / "claims").rglob("manifest.json"))


def test_a_model_that_predicts_differently_after_saving_is_not_registered(tmp_path: Path) -> None:
    code, result = run(tmp_path, MeanFramework(shift=1.0))
    assert code == 1
    assert result.message is not None
    assert "does not reproduce its own predictions" in result.message
    assert not list((tmp_path / "claims").rglob("manifest.json"))


def test_an_objective_without_a_value_is_an_error_with_reason_and_alternatives(tmp_path: Path) -> None:
    code, result = run(tmp_path, objective={"metric": "r2"})
    assert code == 65
    assert result.message is not None
    assert result.message.startswith("spec.objective.metric r2 has no value")
    assert " https://***@host/x.csv?sig=*** " in result.message
    assert result.message.endswith("(r2 was not asked for); choose one of mae")


def test_the_raw_table_is_released_before_the_training(tmp_path: Path) -> None:
    tables: list[weakref.ref[pd.DataFrame]] = []
    alive: list[bool] = []
    framework = MeanFramework(during_training=lambda _: alive.append(tables[0]() is not None))
    plain = steps(framework)

    def remember(table: Table, job: TrainerConfig) -> Dataset:
        tables.append(weakref.ref(table.frame))
        return plain.preprocess(replace(table, frame=table.frame.copy()), job)

    code = run_job(config, pod(tmp_path), never, display=JsonLines(), steps=replace(plain, preprocess=remember))
    assert (code, alive) == (0, [False])


def test_a_missing_storage_setting(tmp_path: Path) -> None:
    code, result = run(tmp_path, storage=None)
    assert code == 64
    assert result.message is not None
    assert "spec.storage" in result.message


def test_a_missing_storage_is_found_before_the_training(tmp_path: Path) -> None:
    framework = MeanFramework()
    code, result = run(tmp_path, framework, storage={"uri": "pvc://elsewhere/x"})
    assert code == 66
    assert framework.trainings == []
    assert result.message is not None
    assert "the claim is not mounted" in result.message


def test_a_full_storage_fails_before_the_training(tmp_path: Path) -> None:
    def vanish(context: Context) -> None:
        runs = tmp_path / "claims/models/all/shop/demand/runs/uid-1"
        (runs / "1/started.json").unlink()
        (runs / "1").rmdir()
        (runs / "1").write_text("a file where the folder was")

    code, result = run(tmp_path, MeanFramework(during_training=vanish))
    assert code == 69
    assert result.outcome == "Failed"
    assert result.message is not None
    assert "writing the model storage pvc://models/all/shop/demand/runs/uid-1/1/mean.json" in result.message


def test_a_result_that_cannot_be_written_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "termination-log").mkdir()
    code = run_job(config, pod(tmp_path), never, display=JsonLines(), steps=steps(MeanFramework()))
    assert code == 1


def test_an_endpoint_that_is_down_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    env = pod(tmp_path)

    def with_url() -> TrainerConfig:
        return config().model_copy(update={"progress_url": "https://127.0.0.1:1/x"})

    with caplog.at_level(logging.WARNING):
        assert run_job(with_url, env, never, display=JsonLines(), steps=steps(MeanFramework())) == 0
    assert caplog.text.count("progress could not be reported") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read: No such file"),
        ("{", "Invalid JSON"),
        ('{"namespace": "n"}', "name: is required; uid: is required"),
    ],
)
def test_an_invalid_configuration(tmp_path: Path, text: str | None, message: str) -> None:
    env = pod(tmp_path)
    if text is not None:
        env.config_dir.mkdir()
        env.config_file.write_text(text)
    assert run_job(lambda: read_config(env), env, never, display=JsonLines()) == 64
    result = TrainingResult.model_validate_json(env.termination_log.read_text())
    assert result.message is not None
    assert message in result.message
