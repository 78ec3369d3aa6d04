"""What of a TrainingJob's status outlives it: how it ended, and the version that it made."""

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
"""What fills an annotation and stands elsewhere: in the ModelVersion, and in the report."""


def job_digest(job: TrainingJobView) -> str:
    """Return what tells what one TrainingJob trains from what another one of its name did.

    Fields at their defaults do not count: a release that adds a field with a default changes nothing. Fields that may
    change after creation do not define the model.
    """
    try:
        spec = TrainingJobSpec.model_validate(job.spec, extra="ignore")
    except ValidationError:
        return short_digest(job.spec)
    return short_digest(spec.model_dump(mode="json", exclude_defaults=True, exclude=set(TrainingJobSpec.MUTABLE)))


def _kept(status: TrainingJobStatus) -> dict[str, Any]:
    return dumped(status, _FIELDS, _WITHOUT) if status.phase in TERMINAL_PHASES else {}


SAVES: Final = Saves(_kept, identity=job_digest)
