"""Saved status: the part of a status that must survive a restore. Backups and Git keep annotations, but no status.

The operator writes it to the annotation ``trainyard.dev/saved-status`` of its own objects, before it stores the status.
Only :func:`recall` reads it, for an object without a status. Therefore every reader of such an object sees the saved
status, whatever the order of reconciles.

A saved status names its object. It is ignored on another object that was created from the same YAML. It is also ignored
on the object with the same uid, because that object never lost a status. If the operator fails between the annotation
and the first status, it decides again.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trainyard_api import meta
from trainyard_api.base import ApiModel, first_problem
from trainyard_api.batch import BatchStatus
from trainyard_operator.core.objects import ModelVersionView, ObjectView
from trainyard_operator.core.plan import EventNote, Plan

StatusT = TypeVar("StatusT", bound=ApiModel)
ViewT = TypeVar("ViewT", bound=ObjectView[Any])

RESTORED: Final = "Restored"
"""Reason of the Event that reports it."""

_HASH_DIGITS: Final = 32


@dataclass(frozen=True)
class Saves(Generic[StatusT]):
    """What is saved of the status of one kind.

    Attributes
    ----------
    kept
        Return the part of a status to save, as JSON (see :func:`dumped`); empty if there is nothing to save.
    identity
        Return a text that identifies an object in addition to its name. After a restore, the object has the same
        identity and another uid.
    """

    kept: Callable[[StatusT], dict[str, Any]]
    identity: Callable[[Any], str] = lambda _: ""


class _Saved(BaseModel):
    """The annotation: the name and uid of its object, and the part of the status."""

    model_config = ConfigDict(extra="ignore")

    of: str
    uid: Annotated[str, Field(min_length=1)]
    status: dict[str, Any]


# ---- write -----------------------------------------------------------------------------------------------------------


def text_of(saves: Saves[Any], view: ObjectView[Any], status: ApiModel) -> str | None:
    """Return the annotation for an object with this new status; ``None`` if there is nothing to save."""
    kept = saves.kept(status)
    if not kept:
        return None
    saved = {"of": _whose(saves, view), "uid": view.recalled_from or view.uid, "status": kept}
    return json.dumps(saved, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def due(saves: Saves[Any], view: ObjectView[Any], status: ApiModel) -> str | None:
    """Return the annotation to write before a status is stored; ``None`` if it is up to date."""
    text = text_of(saves, view, status)
    if view.deleting or text is None or view.annotations.get(meta.SAVED_ANNOTATION) in (text, fingerprint(text)):
        return None
    return text


def fingerprint(text: str) -> str:
    """Return the hash of an annotation. For an object with a status, the hash is all that is kept of it."""
    return hashlib.sha256(text.encode()).hexdigest()


def dumped(status: ApiModel, fields: Iterable[str], without: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return some fields of a status as JSON. ``without`` contains fields to leave out."""
    include, exclude = dict.fromkeys(fields, True), dict(without or {})
    return status.model_dump(mode="json", by_alias=True, exclude_none=True, include=include, exclude=exclude)


def short_digest(fields: Any) -> str:
    """Return a digest of JSON that identifies an object in an annotation."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:_HASH_DIGITS]


def _whose(saves: Saves[Any], view: ObjectView[Any]) -> str:
    return f"{view.namespace}/{view.name}/{saves.identity(view)}"


# ---- read ------------------------------------------------------------------------------------------------------------


def recall(saves: Saves[Any], view: ViewT) -> ViewT:
    """Return the object with its saved status if it has no status of its own.

    If this release cannot read the saved status, the object counts as unreadable, as with a stored status. A decision
    without it could train or serve again.
    """
    text = view.annotations.get(meta.SAVED_ANNOTATION)
    if text is None or view.unreadable or view.status.observed_generation >= 0:
        return view
    where = f"annotation {meta.SAVED_ANNOTATION}"
    try:
        saved = _Saved.model_validate_json(text)
        if saved.of != _whose(saves, view) or saved.uid == view.uid:
            return view
        where += ".status"
        found: Any = type(view.status).model_validate(saved.status, extra="ignore")
        return replace(view, status=found, recalled_from=saved.uid)
    except ValidationError as error:
        return replace(view, unreadable=first_problem(error, where))


def restore(view: ObjectView[BatchStatus] | ModelVersionView) -> Plan:
    """Return the plan for a recalled object. Its status is stored before any decision."""
    status = view.status.model_copy(update={"observed_generation": view.generation})
    return Plan(status=status, events=(restored(),))


def restored() -> EventNote:
    """Return the Event that reports a restored status."""
    message = (
        f"the status was restored from the annotation {meta.SAVED_ANNOTATION}; to start without a status, create the "
        "object without this annotation, or under another name"
    )
    return EventNote("Normal", RESTORED, message, "restored")
