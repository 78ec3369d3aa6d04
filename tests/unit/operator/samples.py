"""Sample specs, results and views for tests."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tests.unit.operator.api_server import NAMESPACE, START
from trainyard_api.modelversion import ModelVersionStatus
from trainyard_api.trainingjob import TrainingJobSpec, TrainingJobStatus
from trainyard_operator.core.batch.workload import JOB
from trainyard_operator.core.champion import ModelObjects
from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.core.objects import ModelVersionView, Part, PodView, TrainingJobView, WorkloadView
from trainyard_operator.core.training import render
from trainyard_operator.core.training.state import TrainingState

SPEC: dict[str, Any] = {
    "framework": "LightGBM",
    "task": "Regression",
    "data": {"uri": "s3://datasets/diabetes.csv", "target": "target"},
    "storage": {"uri": "s3://models"},
    "retry": {"maxAttempts": 3, "initialSeconds": 10, "factor": 2, "maxSeconds": 300, "memoryGrowth": 1.5},
}
CONFIG = OperatorConfig()
CA = "-----BEGIN CERTIFICATE-----"


def result_text(version: int = 1, **more: Any) -> str:
    """Return a termination message of success."""
    return json.dumps(
        {
            "outcome": "Succeeded",
            "modelVersion": {"version": version, "label": "v2026-11-21T08-00-00-000Z_a1b2c3d4"},
            "artifact": {"uri": "s3://models/team/job/runs/u/1", "manifestSha256": "a" * 64, "sizeBytes": 1234},
            "formats": ["LightGBM"],
            "metrics": [{"name": "mae", "value": "1.5"}, {"name": "r2", "value": "0.4"}],
            **more,
        }
    )


def dataset_text(**more: Any) -> str:
    """Return a termination message of a dataset."""
    return json.dumps(
        {
            "outcome": "Succeeded",
            "made": "Dataset",
            "message": "a dataset of 442 rows and 12 columns, sha256:ab",
            "artifact": {"uri": "s3://models/team/job/datasets/u/1", "manifestSha256": "b" * 64, "sizeBytes": 99},
            "report": "s3://models/team/job/datasets/u/1/profile.html",
            **more,
        }
    )


def failure_text(reason: str, message: str) -> str:
    """Return a termination message of failure."""
    return json.dumps({"outcome": "Failed", "reason": reason, "message": message})


def job_view(
    status: dict[str, Any] | None = None, *, spec: dict[str, Any] | None = None, **more: Any
) -> TrainingJobView:
    view = TrainingJobView(
        namespace=NAMESPACE,
        name="diabetes",
        uid="uid-tj",
        resource_version="7",
        generation=1,
        created=START,
        deleting=False,
        spec=SPEC if spec is None else spec,
        status=TrainingJobStatus.model_validate(status or {}),
    )
    return replace(view, **more)


def version_view(number: int = 1, *, model: str = "diabetes", job_uid: str = "uid-tj", **more: Any) -> ModelVersionView:
    """Return a version of a model; ``spec`` in ``more`` adds to its spec."""
    spec = {
        "model": model,
        "version": number,
        "artifact": {
            "uri": f"s3://models/team/{model}/runs/u/{number}",
            "manifestSha256": f"{number:064x}",
            "sizeBytes": 9,
        },
        "trainingJob": {"name": "diabetes", "uid": job_uid},
        **more.pop("spec", {}),
    }
    view = ModelVersionView(
        namespace=NAMESPACE,
        name=f"{model}-v{number}",
        uid=f"uid-v{number}",
        resource_version="7",
        generation=1,
        created=START + timedelta(minutes=number),
        deleting=False,
        spec=spec,
        status=ModelVersionStatus.model_validate(more.pop("status", {"phase": "Pending"})),
    )
    return replace(view, **more)


def attempt_job(job: TrainingJobView, spec: TrainingJobSpec, attempt: int, **more: Any) -> dict[str, Any]:
    """Return the Job of one attempt."""
    (action,) = JOB.create(render.launch(job, spec, attempt, **more))
    return action.body


def child(attempt: int = 1, **more: Any) -> WorkloadView:
    name, uid = f"diabetes-{attempt}", f"uid-{attempt}"
    base = {"name": name, "uid": uid, "attempt": attempt, "created": START, "parts": (Part("Job", name, uid),)}
    return WorkloadView(**{**base, **more})


def pod(exit_code: int | None = None, **more: Any) -> PodView:
    phase = {None: "Running", 0: "Succeeded"}.get(exit_code, "Failed")
    return PodView(**{"name": "diabetes-pod", "phase": phase, "created": START, "exit_code": exit_code, **more})


def observed(
    job: TrainingJobView | None = None, *workloads: WorkloadView, after: float = 0.0, **more: Any
) -> TrainingState:
    """Return what the planner sees ``after`` seconds after the start."""
    now: datetime = START + timedelta(seconds=after)
    base = {
        "job": job or job_view(),
        "workloads": workloads,
        "now": now,
        "config": CONFIG,
        "ca": CA,
        "model_objects": ModelObjects(),
    }
    return TrainingState(**{**base, **more})
