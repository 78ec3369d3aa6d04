"""The saved part of a TrainingJob's status: how the job ended, and the version that it created."""

from typing import Any, Final

from pydantic import ValidationError

from trainyard_api.batch import TERMINAL_PHASES
from trainyard_api.trainingjob import TrainingJobSpec, TrainingJobStatus
from trainyard_operator.core.objects import TrainingJobView
from trainyard_operator.core.saved import Saves, dumped, short_digest

_FIELDS: Final = (
    "phase",
    "model_name",
    "conditions",
    "active_seconds",
    "objective_metric",
    "objective_value",
    "model_version",
    "verdict",
    "start_time",
    "completion_time",
    "result",
)
_WITHOUT: Final = {"result": {"metrics": True, "warnings": True}}
"""Large fields that are not saved, because the ModelVersion and the report contain them too."""


def job_digest(job: TrainingJobView) -> str:
    """Return a digest of the spec that distinguishes TrainingJobs with the same name.

    Fields with default values do not count, so a release that adds a field with a default does not change the digest.
    Fields that may change after creation do not count either, because they do not define the model.
    """
    try:
        spec = TrainingJobSpec.model_validate(job.spec, extra="ignore")
    except ValidationError:
        return short_digest(job.spec)
    return short_digest(spec.model_dump(mode="json", exclude_defaults=True, exclude=set(TrainingJobSpec.MUTABLE)))


def _kept(status: TrainingJobStatus) -> dict[str, Any]:
    return dumped(status, _FIELDS, _WITHOUT) if status.phase in TERMINAL_PHASES else {}


SAVES: Final = Saves(_kept, identity=job_digest)
