"""What of a status must outlive the status: backups, Git and ``kubectl apply`` keep annotations, and no status.

The operator writes it on its own objects, in the annotation ``trainyard.dev/saved-status``, before it stores the status
that it is part of. It is read in one place only: for an object without a status :func:`recall` gives the saved one. So
whoever looks at such an object sees what was known of it, and it does not matter which object is looked at first.

A saved status names the object that it belongs to. On another object, made from the YAML of this one, it says nothing.
It says nothing on the very object that it was written for, either, by uid: that one has never lost a status. Who died
between the annotation and the first status decides again, with the facts of the object's whole life.
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
"""Reason of the Event that tells of it."""

_HASH_DIGITS: Final = 32


@dataclass(frozen=True)
class Saves(Generic[StatusT]):
    """What is saved of the status of one kind.

    Attributes
    ----------
    kept
        The part of a status that must outlive it, as JSON (see :func:`dumped`); empty where there is nothing yet.
    identity
        What an object is, beside its name: after a restore it has the same one, and another uid.
    """

    kept: Callable[[StatusT], dict[str, Any]]
    identity: Callable[[Any], str] = lambda _: ""


class _Saved(BaseModel):
    """The annotation: whose status it is, by name and by uid, and the part of the status."""

    model_config = ConfigDict(extra="ignore")

    of: str
    uid: Annotated[str, Field(min_length=1)]
    status: dict[str, Any]


# ---- what is written -------------------------------------------------------------------------------------------------


def text_of(saves: Saves[Any], view: ObjectView[Any], status: ApiModel) -> str | None:
    """Return the annotation for an object whose status becomes this one; ``None`` where there is nothing to save."""
    kept = saves.kept(status)
    if not kept:
        return None
    saved = {"of": _whose(saves, view), "uid": view.recalled_from or view.uid, "status": kept}
    return json.dumps(saved, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def due(saves: Saves[Any], view: ObjectView[Any], status: ApiModel) -> str | None:
    """Return the annotation that has to be written before a status is stored; ``None`` where it is there already."""
    text = text_of(saves, view, status)
    if view.deleting or text is None or view.annotations.get(meta.SAVED_ANNOTATION) in (text, fingerprint(text)):
        return None
    return text


def fingerprint(text: str) -> str:
    """Return what tells an annotation from another one: of an object with a status, nobody reads more of it."""
    return hashlib.sha256(text.encode()).hexdigest()


def dumped(status: ApiModel, fields: Iterable[str], without: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return some fields of a status as JSON, ``without`` what of them stands elsewhere."""
    include, exclude = dict.fromkeys(fields, True), dict(without or {})
    return status.model_dump(mode="json", by_alias=True, exclude_none=True, include=include, exclude=exclude)


def short_digest(fields: Any) -> str:
    """Return a digest of JSON that tells one object from another in an annotation."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:_HASH_DIGITS]


def _whose(saves: Saves[Any], view: ObjectView[Any]) -> str:
    return f"{view.namespace}/{view.name}/{saves.identity(view)}"


# ---- what is read ----------------------------------------------------------------------------------------------------


def recall(saves: Saves[Any], view: ViewT) -> ViewT:
    """Return an object as it is known: without a status of its own, with the saved one.

    A saved status that this release cannot read makes the object unreadable, like a stored one: to decide without it
    would train or serve what is over.
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
    """Return the plan for an object that was recalled: its status is stored again before anything is decided."""
    status = view.status.model_copy(update={"observed_generation": view.generation})
    return Plan(status=status, events=(restored(),))


def restored() -> EventNote:
    """Return the Event that tells that a status is the saved one."""
    message = (
        f"the status is restored from the annotation {meta.SAVED_ANNOTATION}; to begin anew, create the object without "
        "this annotation, or under another name"
    )
    return EventNote("Normal", RESTORED, message, "restored")
