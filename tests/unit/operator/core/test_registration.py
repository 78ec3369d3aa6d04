"""From a complete Job to its ModelVersion, which must keep all that judging and serving need."""

from typing import Any

import pytest

from tests.unit.operator.samples import SPEC, child, job_view, observed, pod, result_text, version_view
from trainyard_api.modelversion import ModelVersionSpec
from trainyard_api.trainingjob import TrainingJobStatus
from trainyard_operator.core.config import OperatorConfig, StorageDefaults
from trainyard_operator.core.plan import Create
from trainyard_operator.core.training.planner import plan

DEFAULTS = StorageDefaults(uri="s3://models/", endpoint="http://s3:9000", region="eu", secret_name="s3-access")


def registered(spec: dict[str, Any], defaults: StorageDefaults = DEFAULTS, **result: Any) -> ModelVersionSpec:
    """Return the spec of the version that is created from a job's result."""
    job = job_view({"phase": "Running"}, spec=spec)
    pods = {"diabetes-1": (pod(0, termination_message=result_text(**result)),)}
    versions = {"diabetes-v1": None}
    config = OperatorConfig(storage=defaults)
    (create,) = plan(observed(job, child(complete=True), pods=pods, versions=versions, config=config)).actions
    assert isinstance(create, Create)
    return ModelVersionSpec.model_validate(create.body["spec"])


def without_storage(**more: Any) -> dict[str, Any]:
    return {key: value for key, value in SPEC.items() if key != "storage"} | more


def test_a_version_has_the_gates_and_the_objective_of_its_job() -> None:
    gates = [{"metric": "mae", "op": "<=", "value": 2}, {"metric": "mae", "compareTo": "Champion"}]
    version = registered({**SPEC, "gates": gates, "objective": {"metric": "r2"}})
    assert version.gates is not None
    assert [gate.wire() for gate in version.gates] == gates
    assert version.objective is not None
    assert (version.objective.metric, version.objective.goal, version.objective_value) == ("r2", None, "0.4")


def test_a_job_may_have_neither_gates_nor_objective() -> None:
    version = registered({**SPEC, "gates": []})
    assert (version.gates, version.objective, version.objective_value) == (None, None, None)
    assert registered(SPEC, objectiveValue="1.5").objective_value == "1.5"


def test_a_version_has_the_storage_of_its_job() -> None:
    storage = registered(without_storage()).storage
    assert storage is not None
    assert storage.wire() == {
        "uri": "s3://models/",
        "endpoint": "http://s3:9000",
        "region": "eu",
        "secretRef": {"name": "s3-access"},
        "checksumMode": "WhenRequired",
    }
    own = registered({**SPEC, "storage": {"uri": "s3://models", "endpoint": "http://own:9000"}}).storage
    assert own is not None
    assert own.endpoint == "http://own:9000"


@pytest.mark.parametrize("uri", ["", "s3://elsewhere", "s3://model", "ftp://nowhere"])
def test_changed_storage_defaults_are_not_recorded(uri: str) -> None:
    changed = StorageDefaults(uri=uri, endpoint="http://other:9000")
    assert registered(without_storage(), changed).storage is None


def test_the_status_has_the_forecast_of_the_run() -> None:
    file = "s3://models/team/diabetes/runs/u/1/forecast.parquet"
    pods = {"diabetes-1": (pod(0, termination_message=result_text(forecast=file)),)}
    versions = {"diabetes-v1": version_view()}
    step = plan(observed(job_view({"phase": "Running"}), child(complete=True), pods=pods, versions=versions))
    assert step.status is not None
    assert step.status.result is not None
    assert step.status.result.forecast == file


def result_of(spec: dict[str, Any], **result: Any) -> TrainingJobStatus | None:
    """Return the status that follows from a job's result, ``None`` if a version is created."""
    pods = {"diabetes-1": (pod(0, termination_message=result_text(**result)),)}
    step = plan(observed(job_view({"phase": "Running"}, spec=spec), child(complete=True), pods=pods))
    assert step.status is None or isinstance(step.status, TrainingJobStatus)
    return step.status


def artifact(uri: str) -> dict[str, Any]:
    return {"artifact": {"uri": uri, "manifestSha256": "a" * 64, "sizeBytes": 1}}


FOREIGN = (
    artifact("s3://models/victim/demand/runs/u/1"),
    artifact("s3://elsewhere/team/diabetes/runs/u/1"),
    artifact("s3://models/team/../victim/demand/runs/u/1"),
    artifact("s3://models/teams/diabetes/runs/u/1"),
    {"report": "s3://models/victim/demand/runs/u/1/report.html"},
    {"forecast": "https://example.com/forecast.parquet"},
)


@pytest.mark.parametrize("result", FOREIGN)
def test_a_result_with_files_of_another_tenant_is_refused(result: dict[str, Any]) -> None:
    status = result_of(SPEC, **result)
    assert status is not None
    assert status.phase == "Failed"
    ready = next(each for each in status.conditions or () if each.type == "Ready")
    assert ready.reason == "ResultRefused"
    assert "which is outside s3://models/team/: " in ready.message


def test_after_a_change_of_the_default_storage_the_namespace_is_still_checked() -> None:
    assert registered(without_storage(), StorageDefaults(uri="s3://another")).artifact.uri.startswith(
        "s3://models/team/"
    )
    status = result_of(without_storage(), **artifact("s3://another/victim/demand/runs/u/1"))
    assert status is not None
    assert "which is outside the folder team/ of the storage" in next(each.message for each in status.conditions or ())


def test_a_version_number_above_the_limit_is_refused() -> None:
    status = result_of(SPEC, modelVersion={"version": 100_000_000, "label": "v"})
    assert status is not None
    assert "modelVersion.version" in next(each.message for each in status.conditions or ())
