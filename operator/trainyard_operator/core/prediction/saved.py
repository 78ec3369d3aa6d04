"""What of a PredictionJob's status outlives it: how it ended, and what it wrote."""

from typing import Any, Final

from pydantic.alias_generators import to_camel

from trainyard_api.batch import TERMINAL_PHASES
from trainyard_api.predictionjob import PredictionJobSpec, PredictionJobStatus
from trainyard_operator.core.objects import PredictionJobView
from trainyard_operator.core.saved import Saves, dumped, short_digest

_FIELDS: Final = (
    "phase",
    "model_name",
    "conditions",
    "active_seconds",
    "version",
    "start_time",
    "completion_time",
    "result",
)
_MUTABLE: Final = frozenset(to_camel(name) for name in PredictionJobSpec.MUTABLE)


def _identity(job: PredictionJobView) -> str:
    """Return a digest of the part of the spec that never changes."""
    return short_digest({key: value for key, value in job.spec.items() if key not in _MUTABLE})


def _kept(status: PredictionJobStatus) -> dict[str, Any]:
    return dumped(status, _FIELDS, {"result": {"warnings": True}}) if status.phase in TERMINAL_PHASES else {}


SAVES: Final = Saves(_kept, identity=_identity)
