"""Deterministic names. If a child is created again, it gets the same name."""

from trainyard_api import version_object
from trainyard_api.batch import BatchStatus
from trainyard_operator.core.objects import ModelDeploymentView, ModelVersionView, ObjectView

FALLBACK_SUFFIX = "-cpu"
"""A Job is created once, so an attempt that continues without its accelerator needs another name."""


PREDICTION_PREFIX = "p"
"""It distinguishes the Jobs of a PredictionJob from those of a TrainingJob with the same name."""


def attempt_job_name(job: ObjectView[BatchStatus], attempt: int, *, prefix: str = "", fallback: bool = False) -> str:
    """Return the name of an attempt's Job. ``prefix`` depends on the kind of the object."""
    return f"{job.name}-{prefix}{attempt}{FALLBACK_SUFFIX if fallback else ''}"


def is_fallback(job_name: str) -> bool:
    """Return whether an attempt's Job runs without the accelerator that its owner requests."""
    return job_name.endswith(FALLBACK_SUFFIX)


def version_name(model: str, version: int) -> str:
    """Return the name of a ModelVersion."""
    return version_object.version_name(model, version)


def version_number(view: ModelVersionView) -> int:
    """Return a version's number. It is 0, which no version has, if the spec has no valid number."""
    number = view.spec.get("version")
    return number if isinstance(number, int) else 0


def has_its_name(view: ModelVersionView) -> bool:
    """Return whether a version has the canonical name of its number."""
    return view.name == version_name(str(view.spec.get("model")), version_number(view))


def serving_name(md: ModelDeploymentView, version: int) -> str:
    """Return the name of the Deployment that serves one version."""
    return f"{md.name}-v{version}"
