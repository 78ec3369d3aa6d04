"""A run is refused with one sentence and an exit code, or writes its predictions once, and reports them."""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.job.mean import pod
from tests.unit.trainer.job.predict.runs import Outcome, Trained, config_of, predict, train
from trainyard_api.wire import RESULT_MAX_BYTES
from trainyard_trainer.data.dataset import Finding
from trainyard_trainer.frameworks.lightgbm.framework import LightGBMFramework
from trainyard_trainer.job.predict import tables
from trainyard_trainer.job.result import fit


def rows(count: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    size, rooms = random.normal(50, 10, count).round(2), random.integers(1, 6, count)
    return pd.DataFrame({"size": size, "rooms": rooms, "price": (2 * size + 10 * rooms).round(2)})


def table(folder: Path, frame: pd.DataFrame, name: str = "new.csv") -> Path:
    frame.to_csv(folder / name, index=False)
    return folder / name


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("shared")
    return train(folder / "pod", table(folder, rows(150, 1), "old.csv"), target="price")


@pytest.fixture
def trained(shared: Trained, tmp_path: Path) -> Trained:
    """A version that a test can change."""
    shutil.copytree(shared.pod, tmp_path / "pod")
    return replace(shared, pod=tmp_path / "pod")


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return table(tmp_path, rows(25, 2))


def refused(outcome: Outcome, code: int, *parts: str) -> None:
    assert outcome.code == code, outcome.message
    assert outcome.result.outcome == "Failed"
    for part in parts:
        assert part in outcome.message
    assert "\n" not in outcome.message
    assert "Traceback" not in outcome.message
    assert "/work/trainyard-" not in outcome.message
    assert outcome.written == []
    assert not (outcome.output / "_runs" / f"{outcome.uid}.json").exists()


# ---- bad input -------------------------------------------------------------------------------------------------------


def test_a_missing_column(trained: Trained, tmp_path: Path) -> None:
    other = table(tmp_path, rows(5, 2).rename(columns={"rooms": "room"}))
    refused(predict(trained, other), 65, "'rooms' (nearest: 'room')")


def test_a_missing_column_to_keep(trained: Trained, new: Path) -> None:
    refused(predict(trained, new, keep=["identity", "prize"]), 65, "'prize' (nearest: 'price', 'size')", "'identity'")


@pytest.mark.parametrize("name", ["prediction", "model", "version", "run", "predicted_at"])
def test_a_kept_column_with_the_name_of_an_output(trained: Trained, tmp_path: Path, name: str) -> None:
    data = table(tmp_path, rows(5, 2).assign(**{name: 1}))
    refused(predict(trained, data, keep=["size", name]), 64, "spec.data.keep", repr(name))


def test_a_horizon_for_a_table(trained: Trained, new: Path) -> None:
    refused(predict(trained, new, horizon=3), 64, "spec.horizon", "Regression")


def test_data_that_does_not_exist(trained: Trained, tmp_path: Path) -> None:
    refused(predict(trained, tmp_path / "absent.csv"), 66, "absent.csv")


def test_a_version_without_the_roles_of_its_columns(trained: Trained, new: Path) -> None:
    def forget(manifest: dict[str, Any]) -> None:
        del manifest["asked"]["data"]

    refused(predict(trained.with_manifest(forget), new), 78, "version 1", "demand", "train a new version")


def test_a_version_of_an_older_release(trained: Trained, new: Path) -> None:
    def forget(manifest: dict[str, Any]) -> None:
        del manifest["asked"]

    refused(predict(trained.with_manifest(forget), new), 78, "version 1", "train a new version")


@pytest.mark.parametrize("framework", ["Script", "Container"])
def test_a_model_of_own_code(trained: Trained, new: Path, framework: str) -> None:
    def own_code(manifest: dict[str, Any]) -> None:
        manifest["framework"] = framework

    refused(predict(trained.with_manifest(own_code), new), 78, framework)


def test_a_manifest_of_another_digest(trained: Trained, new: Path) -> None:
    changed = trained.with_manifest(lambda manifest: manifest.update(image="other"))
    refused(predict(replace(changed, artifact=trained.artifact), new), 65, "manifest.json", "changed")


def test_a_manifest_that_is_missing(trained: Trained, new: Path) -> None:
    (trained.files / "manifest.json").unlink()
    refused(predict(trained, new), 66, "manifest.json")


def test_a_missing_file_of_the_version(trained: Trained, new: Path) -> None:
    (trained.files / "model.txt").unlink()
    refused(predict(trained, new), 66, "model.txt")


def test_a_changed_file_of_the_version(trained: Trained, new: Path) -> None:
    file = trained.files / "model.txt"
    file.write_text(file.read_text().replace("leaf_value", "leaf_valuE", 1))
    refused(predict(trained, new), 65, "model.txt")


def test_golden_rows_that_are_not_reproduced(trained: Trained, new: Path) -> None:
    def shift(manifest: dict[str, Any]) -> None:
        manifest["golden"]["outputs"]["rows"][0][0] += 1

    refused(predict(trained.with_manifest(shift), new), 65, "version 1 of demand", "golden rows", "lightgbm")


# ---- written once ----------------------------------------------------------------------------------------------------


class Counted:
    """Counts the predictions of the framework, and can request a stop after some of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stop_after: int = 10**9) -> None:
        self.parts, self.stop_after = 0, stop_after
        own = LightGBMFramework.predict

        def predict_part(framework: LightGBMFramework, model: Any, inputs: pd.DataFrame) -> pd.DataFrame:
            self.parts += 1
            return own(framework, model, inputs)

        monkeypatch.setattr(LightGBMFramework, "predict", predict_part)
        monkeypatch.setattr(tables, "_ROWS", 10)

    def stop(self) -> bool:
        return self.parts >= self.stop_after


def test_a_second_attempt_finds_the_result_of_the_first(
    trained: Trained, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = predict(trained, new)
    before = {file: file.read_bytes() for file in first.output.rglob("*") if file.is_file()}
    counted = Counted(monkeypatch)
    new.unlink()  # the data is not read again
    second = predict(trained, new)
    assert second.code == 0, second.message
    assert second.message == first.message
    assert second.result.predictions == first.result.predictions
    assert counted.parts == 0
    assert {file: file.read_bytes() for file in first.output.rglob("*") if file.is_file()} == before


def test_a_second_attempt_with_another_version_names_the_version_of_the_rows(trained: Trained, new: Path) -> None:
    """The other version cannot even be opened. It is not needed, because the rows exist."""
    first = predict(trained, new)
    gone = trained.artifact.model_copy(update={"uri": f"{trained.artifact.uri}-gone"})
    second = predict(replace(trained, artifact=gone), new, version=2)
    assert second.code == 0, second.message
    assert second.result.predictions == first.result.predictions
    assert second.result.predictions is not None
    assert second.result.predictions.version == 1


def test_a_stop_between_two_parts_leaves_nothing_and_the_next_attempt_writes_once(
    trained: Trained, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        counted = Counted(patched, stop_after=3)  # the golden rows, then two of three parts
        stopped = predict(trained, new, stop=counted.stop)
        assert counted.parts == 3
    refused(stopped, 75, "signal")
    second = predict(trained, new)
    assert second.table().num_rows == 25
    assert len(list(second.output.rglob("*.parquet"))) == 1
    assert (second.written[0].parent / "_SUCCESS").exists()


def test_a_stop_before_the_first_part(trained: Trained, new: Path) -> None:
    refused(predict(trained, new, stop=lambda: True), 75, "signal")


def test_two_jobs_write_two_files(trained: Trained, new: Path) -> None:
    one, two = predict(trained, new, uid="one"), predict(trained, new, uid="two")
    assert one.written != two.written
    assert one.frame()["prediction"].tolist() == two.frame()["prediction"].tolist()
    folder = pd.read_parquet(one.output)  # the names with _ are ignored
    assert len(folder) == 50
    assert set(folder["run"]) == {"one", "two"}


def test_csv_files(trained: Trained, new: Path) -> None:
    files = {"uri": "pvc://models/scores", "format": "Csv"}
    outcome = predict(trained, new, keep=["rooms"], output={"files": files})
    (file,) = outcome.written
    assert file.name == "scores-p1.csv"
    frame = pd.read_csv(file)
    assert list(frame.columns) == ["rooms", "prediction", "model", "version", "run", "predicted_at"]
    assert len(frame) == 25
    parquet = predict(trained, new, uid="p2").frame()
    np.testing.assert_allclose(frame["prediction"], parquet["prediction"], rtol=1e-12)


# ---- the result ------------------------------------------------------------------------------------------------------


def test_the_result(trained: Trained, new: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    outcome = predict(trained, new)
    found = outcome.result.predictions
    assert outcome.result.made == "Predictions"
    assert found is not None
    assert found.rows == 25
    day = outcome.written[0].parent.name
    assert found.output == f"pvc://models/scores/{day}"
    assert outcome.message == f"25 rows in {found.output}"
    assert (found.series, found.left_out, found.as_of, found.warnings) == (None, None, None, None)
    assert found.log == "pvc://models/all/demo/demand/logs/p1"
    (log,) = (trained.pod / "claims/models/all/demo/demand/logs/p1").iterdir()
    assert "-attempt-1-predict-" in log.name
    assert outcome.message in log.read_text()
    text = (trained.pod / "termination-log").read_text()
    assert str(trained.pod) not in text
    manifest = json.loads((outcome.output / "_runs/p1.json").read_text())
    assert (manifest["rows"], manifest["model"], manifest["version"]) == (25, "demand", 1)
    assert manifest["key"] == f"{day}/scores-p1.parquet"


def test_secrets_and_folders_of_the_pod_are_not_in_the_result(trained: Trained, tmp_path: Path) -> None:
    secret = "hush"
    folder = trained.pod / "data-secret"
    folder.mkdir()
    (folder / "token").write_text(secret)
    data = {"uri": f"https://user:{secret}@127.0.0.1:9/new.csv?sig={secret}"}
    outcome = predict(trained, data, env=replace(pod(trained.pod), data_secret_dir=folder))
    assert outcome.code in {65, 69}
    text = (trained.pod / "termination-log").read_text()
    assert secret not in text
    assert str(tmp_path) not in text


def test_many_long_warnings_fit_into_the_termination_message(
    trained: Trained, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tables.load

    def with_findings(*given: Any, **named: Any) -> Any:
        table = own(*given, **named)
        text = "https://u:hush@host/x " + "긴 경고 " * 400
        more = tuple(Finding("Long", "warning", f"{number} {text}") for number in range(20))
        return replace(table, findings=(*table.findings, *more))

    monkeypatch.setattr(tables, "load", with_findings)
    outcome = predict(trained, new)
    assert outcome.code == 0, outcome.message
    text = (trained.pod / "termination-log").read_text()
    assert len(text.encode()) <= RESULT_MAX_BYTES
    found = outcome.result.predictions
    assert found is not None
    assert found.rows == 25
    assert found.warnings is not None
    assert found.warnings[0].startswith("0 https://***@host/x")
    assert "more" in found.warnings[-1]
    assert "hush" not in text
    assert fit(outcome.result) == text


def test_the_configuration_survives_the_operator(trained: Trained, new: Path) -> None:
    config = config_of(trained, new, keep=["size"])
    assert type(config).parse(config.to_json()) == config
