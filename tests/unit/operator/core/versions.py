"""Versions and deployments of one model, as planners see them."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from trainyard_api.meta import ACTION_ANNOTATION, ACTION_REASON_ANNOTATION
from trainyard_api.modeldeployment import ModelDeploymentStatus
from trainyard_api.modelversion import ModelVersionStatus
from trainyard_operator.core.objects import ModelDeploymentView, ModelVersionView
from trainyard_operator.core.version.state import VersionState

START = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
STAMP = "2026-11-21T09:00:00Z"
ROWS = "a" * 64

BELOW_2 = {"metric": "mae", "op": "<=", "value": 2}
CHAMPION = {"metric": "mae", "compareTo": "Champion"}


def spec(
    number: int, mae: str | None = "1.5", gates: list[dict[str, Any]] | None = None, **more: Any
) -> dict[str, Any]:
    """Return the spec of a ModelVersion of model m."""
    fields = {
        "model": "m",
        "version": number,
        "label": f"v2026-11-21T08-00-00-000Z_{number:08d}",
        "artifact": {"uri": f"s3://models/team/m/runs/{number}/1", "manifestSha256": f"{number:064x}", "sizeBytes": 9},
        "formats": ["lightgbm-text"],
        "metrics": None if mae is None else [{"name": "mae", "value": mae}],
        "holdoutDigest": ROWS,
        "trainingJob": {"name": "j", "uid": f"uid-{number}"},
        "gates": gates,
        **more,
    }
    return {key: value for key, value in fields.items() if value is not None}


def version(
    number: int, status: dict[str, Any] | None = None, *, fields: dict[str, Any] | None = None, **more: Any
) -> ModelVersionView:
    view = ModelVersionView(
        namespace="team",
        name=f"m-v{number}",
        uid=f"uid-v{number}",
        resource_version="7",
        generation=1,
        created=START,
        deleting=False,
        spec=spec(number) if fields is None else fields,
        status=ModelVersionStatus.model_validate({"observedGeneration": -1, "phase": "Pending", **(status or {})}),
    )
    return replace(view, **more)


def judged(number: int, phase: str = "Validated", **more: Any) -> ModelVersionView:
    return version(number, {"observedGeneration": 1, "phase": phase, "judgedTime": STAMP}, **more)


def failed_gate(number: int, **more: Any) -> ModelVersionView:
    """Return a version that its gate rejected."""
    gate = {"metric": "mae", "passed": False, "reason": "NotMet", "message": "mae 2.5: required <= 2"}
    status = {"observedGeneration": 1, "phase": "Rejected", "judgedTime": STAMP, "gates": [gate]}
    return version(number, status, **more)


def with_action(view: ModelVersionView, text: str, reason: str | None = "a new shop") -> ModelVersionView:
    """Return a version with the annotations of an action, as user ``ann`` writes them."""
    annotations = {ACTION_ANNOTATION: text} | ({} if reason is None else {ACTION_REASON_ANNOTATION: reason})
    return replace(view, annotations=annotations, managers=dict.fromkeys(annotations, "ann"))


def deployment(name: str = "shop", **status: Any) -> ModelDeploymentView:
    """Return a ModelDeployment of model m with fields of its status."""
    return ModelDeploymentView(
        namespace="team",
        name=name,
        uid=f"uid-{name}",
        resource_version="7",
        generation=1,
        created=START,
        deleting=False,
        spec={"modelName": "m"},
        status=ModelDeploymentStatus.model_validate(status),
    )


def rejected(number: int, message: str = "its pods were not ready") -> dict[str, Any]:
    return {"version": number, "reason": "NotReady", "message": message, "time": "2026-11-21T08:30:00Z"}


def observed(view: ModelVersionView, *around: ModelVersionView | ModelDeploymentView) -> VersionState:
    return VersionState(
        version=view,
        others=tuple(each for each in around if isinstance(each, ModelVersionView)),
        deployments=tuple(each for each in around if isinstance(each, ModelDeploymentView)),
        now=NOW,
    )
