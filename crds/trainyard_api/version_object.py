"""The ModelVersion of a result. The operator creates it with this code, and an import restores it with the same
code."""

from collections.abc import Sequence
from typing import Any

from trainyard_api import API_VERSION, meta
from trainyard_api.modelversion import JobRef
from trainyard_api.training import Gate, Objective, Storage
from trainyard_api.wire import TrainingResult


def version_name(model: str, version: int) -> str:
    """Return the only valid name of a version with this number."""
    return f"{model}-v{version}"


def version_object(
    result: TrainingResult,
    *,
    namespace: str,
    model: str,
    job: JobRef,
    objective: Objective | None = None,
    gates: Sequence[Gate] | None = None,
    storage: Storage | None = None,
    image: str = "",
) -> dict[str, Any]:
    """Return the ModelVersion of a successful result. It has no owner, so it stays when its job is deleted.

    So it contains all that is needed to judge it (``gates``, ``objective``) and to read its artifact (``storage``).

    Raises
    ------
    ValueError
        If the result has no version: the training failed, or it created something else.
    """
    registered, artifact = result.model_version, result.artifact
    if registered is None or artifact is None:
        raise ValueError("only a successful result of a training has a version")
    spec: dict[str, Any] = {
        "model": model,
        "version": registered.version,
        "label": registered.label,
        "artifact": artifact.wire(),
        "formats": result.formats,
        "signature": result.signature and result.signature.wire(),
        "metrics": result.metrics and [metric.wire() for metric in result.metrics],
        "holdoutDigest": result.holdout_digest,
        "dataDigest": result.data_digest,
        "comparison": result.comparison and result.comparison.wire(),
        "objective": objective and objective.wire(),
        "objectiveMetric": objective_metric(objective, result),
        "objectiveValue": objective_value(objective, result),
        "gates": [gate.wire() for gate in gates] if gates else None,
        "storage": storage and storage.wire(),
        "trainingJob": job.wire(),
        "image": image or None,
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelVersion",
        "metadata": {
            "name": version_name(model, registered.version),
            "namespace": namespace,
            "labels": {
                meta.MANAGED_BY_LABEL: meta.MANAGED_BY,
                meta.MODEL_LABEL: model,
                meta.VERSION_LABEL: str(registered.version),
                meta.JOB_LABEL: job.name,
                meta.UID_LABEL: job.uid,
            },
        },
        "spec": {key: value for key, value in spec.items() if value is not None},
    }


def objective_value(objective: Objective | None, result: TrainingResult) -> str | None:
    """Return the value that ranks the model, from ``objective_value`` of the result or from its metrics."""
    if result.objective_value is not None or objective is None:
        return result.objective_value
    return next((metric.value for metric in result.metrics or () if metric.name == objective.metric), None)


def objective_metric(objective: Objective | None, result: TrainingResult) -> str | None:
    """Return the name of the metric that ranks the model, from the result or from the objective."""
    return result.objective_metric or (objective.metric if objective is not None else None)
