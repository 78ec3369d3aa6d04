"""The saved part of a ModelDeployment's status: the active version, the rejected versions, and the history.

Its conditions are not saved, because they describe the current pods.
"""

from collections.abc import Iterable
from typing import Any, Final

from trainyard_api.modeldeployment import ModelDeploymentStatus
from trainyard_operator.core.objects import ModelDeploymentView
from trainyard_operator.core.saved import Saves, dumped

_SHORT: Final = 256
"""Maximum length of a saved message. All annotations of an object together may have 256 KiB."""

_FIELDS: Final = (
    "active_version",
    "active_digest",
    "previous_version",
    "candidate_version",
    "candidate_since",
    "candidate_reason",
    "candidate_by",
    "active_trained_time",
    "promoted_time",
    "rejected_versions",
    "hold",
    "last_handled_action",
    "last_action_message",
    "used_tokens",
    "history",
)


def _kept(status: ModelDeploymentStatus) -> dict[str, Any]:
    kept = dumped(status, _FIELDS)
    _shorten(kept.get("history") or (), "reason")
    _shorten(kept.get("rejectedVersions") or (), "message")
    return kept


def _shorten(entries: Iterable[dict[str, Any]], key: str) -> None:
    for entry in entries:
        if key in entry:
            entry[key] = entry[key][:_SHORT]


def _identity(view: ModelDeploymentView) -> str:
    return str(view.spec.get("modelName"))


SAVES: Final = Saves(_kept, identity=_identity)
