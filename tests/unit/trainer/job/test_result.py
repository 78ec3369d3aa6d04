"""The termination message: it always fits, and the objective is removed last."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.trainer.artifacts.runs import manifest
from trainyard_api.batch import Metric
from trainyard_api.modelversion import Signature, SignatureColumn
from trainyard_api.training import Gate
from trainyard_api.trainingjob import Artifact
from trainyard_api.wire import RESULT_MAX_BYTES, RegisteredVersion, TrainingResult, parse_result
from trainyard_trainer.artifacts.folder import FolderStore
from trainyard_trainer.artifacts.runs import FinishedRun
from trainyard_trainer.artifacts.versions import VersionRecord
from trainyard_trainer.job.result import failed, fit, succeeded

ARTIFACT = Artifact(uri="s3://models/shop/demand/runs/uid/1", manifest_sha256="0" * 64, size_bytes=1)
VERSION = RegisteredVersion(version=7, label="v2026-11-21T07-30-00-042Z_abcdef01")


def success(
    columns: int = 0, warnings: tuple[str, ...] = (), metrics: int = 1, message: str = "fine"
) -> TrainingResult:
    return TrainingResult(
        outcome="Succeeded",
        message=message,
        model_version=VERSION,
        artifact=ARTIFACT,
        formats=["lightgbm-text"],
        metrics=[Metric(name=f"metric_{number}", value="0.123457") for number in range(metrics)],
        objective_value="0.123457",
        signature=Signature(
            inputs=[SignatureColumn(name=f"column {number}", type="double") for number in range(columns)],
            outputs=[SignatureColumn(name="prediction", type="double")],
        ),
        warnings=list(warnings) or None,
        report="s3://models/shop/demand/runs/uid/1/report.html",
        forecast="s3://models/shop/demand/runs/uid/1/forecast.parquet",
    )


def test_a_short_result_is_unchanged() -> None:
    result = success(columns=10, warnings=("careful",))
    assert parse_result(fit(result)) == result


def test_the_signature_is_removed_first() -> None:
    parsed = parse_result(fit(success(columns=256, warnings=("careful",), metrics=64)))
    assert isinstance(parsed, TrainingResult)
    assert parsed.signature is None
    assert parsed.warnings == ["careful"]
    assert len(parsed.metrics or []) == 64


def test_warnings_are_removed_before_metrics() -> None:
    parsed = parse_result(fit(success(columns=256, warnings=tuple("w" * 1000 for _ in range(16)), metrics=64)))
    assert isinstance(parsed, TrainingResult)
    assert parsed.warnings is not None
    assert len(parsed.warnings) == 4
    assert parsed.warnings[-1] == "and 13 more: see the report"
    assert len(parsed.metrics or []) == 64


def test_metrics_of_gates_are_kept_longer_than_others(tmp_path: Path) -> None:
    metrics = {"baseline_mae": 2.0, "a": 1.0, "mae": 1.5, "z": 3.0}
    run = FinishedRun(
        "shop/demand/runs/uid/1", manifest("uid", 1, []).model_copy(update={"metrics": metrics}), "0" * 64
    )
    record = VersionRecord(
        version=7, label=VERSION.label, job_uid="u", run="r", manifest_sha256="0" * 64, claimed_at="now"
    )
    gates = [Gate(metric="z", op=">", value=0), Gate(metric="never", op=">", value=0)]
    result = succeeded(FolderStore(tmp_path, "pvc://claim"), record, run, gates)
    assert [metric.name for metric in result.metrics or []] == ["mae", "z", "a", "baseline_mae"]


def test_a_very_long_message_keeps_its_start() -> None:
    result = failed(65, "column 'ä' " + "\N{PILE OF POO}" * 5000)
    assert len(fit(result).encode()) <= RESULT_MAX_BYTES
    parsed = parse_result(fit(result))
    assert isinstance(parsed, TrainingResult)
    assert parsed.reason == "BadData"
    assert (parsed.message or "").startswith("column 'ä' ")


@pytest.mark.parametrize(("code", "reason"), [(1, "Crashed"), (64, "BadConfig"), (75, "Interrupted"), (139, "Crashed")])
def test_reasons(code: int, reason: str) -> None:
    assert failed(code, "x").reason == reason


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 256),
    st.lists(st.text(max_size=1024), max_size=16),
    st.integers(0, 64),
    st.text(max_size=1024),
)
def test_it_always_fits_and_parses(columns: int, warnings: list[str], metrics: int, message: str) -> None:
    text = fit(success(columns, tuple(warnings), metrics, message))
    assert len(text.encode()) <= RESULT_MAX_BYTES
    parsed = parse_result(text)
    assert isinstance(parsed, TrainingResult)
    assert parsed.artifact == ARTIFACT
    assert parsed.model_version == VERSION
