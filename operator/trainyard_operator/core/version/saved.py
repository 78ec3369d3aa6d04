"""The saved part of a ModelVersion's status: the results of its gates, and the decision of a person."""

from typing import Any, Final

from trainyard_api.modelversion import ModelVersionStatus
from trainyard_operator.core.champion import digest_of
from trainyard_operator.core.saved import Saves, dumped

_FIELDS: Final = (
    "phase",
    "conditions",
    "gates",
    "judged_time",
    "overruled",
    "last_handled_action",
    "last_action_message",
    "used_tokens",
    "quarantined_by",
)


def _kept(status: ModelVersionStatus) -> dict[str, Any]:
    return {} if status.phase in (None, "Pending") else dumped(status, _FIELDS)


SAVES: Final = Saves(_kept, identity=digest_of)
