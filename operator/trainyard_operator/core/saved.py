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
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trainyard_api import meta
from trainyard_api.base import ApiModel, first_problem
from trainyard_api.batch import TERMINAL_PHASES, BatchStatus
from trainyard_api.modeldeployment import ModelDeploymentStatus
from trainyard_api.modelversion import ModelVersionStatus
from trainyard_api.trainingjob import TrainingJobSpec, TrainingJobStatus
from trainyard_api.trainingschedule import TrainingScheduleStatus
from trainyard_operator.core.champion import digest_of
from trainyard_operator.core.objects import (
    ModelDeploymentView,
    ModelVersionView,
    ObjectView,
    TrainingJobView,
    TrainingScheduleView,
)
from trainyard_operator.core.plan import EventNote, Plan

V = TypeVar("V", TrainingJobView, TrainingScheduleView, ModelVersionView, ModelDeploymentView)

RESTORED: Final = "Restored"
"""Reason of the Event that tells of it."""

_HASH_DIGITS: Final = 32
_SHORT: Final = 256
"""Characters of a sentence in the history of a ModelDeployment: all annotations together may have 256 KiB."""

_JOB: Final[Mapping[str, Any]] = dict.fromkeys(
    (
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
    ),
    True,
)
_VERSION: Final[Mapping[str, Any]] = dict.fromkeys(
    (
        "phase",
        "conditions",
        "gates",
        "judged_time",
        "overruled",
        "last_handled_action",
        "last_action_message",
        "used_tokens",
        "quarantined_by",
    ),
    True,
)
_DEPLOYMENT: Final[Mapping[str, Any]] = dict.fromkeys(
    (
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
    ),
    True,
)
_SCHEDULE: Final[Mapping[str, Any]] = dict.fromkeys(
    (
        "last_schedule_time",
        "last_successful_time",
        "missed",
        "consecutive_failures",
        "last_accepted_version",
        "last_accepted_time",
        "consecutive_rejections",
        "last_template_hash",
        "last_handled_run_now",
        "last_run",
        "conditions",
    ),
    True,
)
"""Without ``nextScheduleTime``: the line begins anew from the restore, so that no missed run is caught up with."""

_WITHOUT: Final[Mapping[str, Any]] = {"result": {"metrics": True, "warnings": True}}
"""What fills an annotation and stands elsewhere: in the ModelVersion, and in the report."""

_OF_SCHEDULE: Final = frozenset({"ModelAccepted"})
"""Conditions that follow from nothing else."""


class _Saved(BaseModel):
    """The annotation: whose status it is, by name and by uid, and the part of the status."""

    model_config = ConfigDict(extra="ignore")

    of: str
    uid: Annotated[str, Field(min_length=1)]
    status: dict[str, Any]


# ---- what is written -------------------------------------------------------------------------------------------------


def text_of(view: ObjectView[ApiModel], status: ApiModel) -> str | None:
    """Return the annotation for an object whose status becomes this one; ``None`` where there is nothing to save."""
    kept = _kept(status)
    if not kept:
        return None
    saved = {"of": _identity(view), "uid": view.recalled_from or view.uid, "status": kept}
    return json.dumps(saved, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def due(view: ObjectView[ApiModel], status: ApiModel) -> str | None:
    """Return the annotation that has to be written before a status is stored; ``None`` where it is there already."""
    text = text_of(view, status)
    if view.deleting or text is None or view.annotations.get(meta.SAVED_ANNOTATION) in (text, fingerprint(text)):
        return None
    return text


def fingerprint(text: str) -> str:
    """Return what tells an annotation from another one: of an object with a status, nobody reads more of it."""
    return hashlib.sha256(text.encode()).hexdigest()


def _kept(status: ApiModel) -> dict[str, Any]:
    match status:
        case TrainingJobStatus(phase=phase):
            return _dumped(status, _JOB) if phase in TERMINAL_PHASES else {}
        case ModelVersionStatus(phase=phase):
            return {} if phase in (None, "Pending") else _dumped(status, _VERSION)
        case ModelDeploymentStatus():
            kept = _dumped(status, _DEPLOYMENT)
            _shorten(kept.get("history") or (), "reason")
            _shorten(kept.get("rejectedVersions") or (), "message")
            return kept
        case TrainingScheduleStatus():
            own = [each for each in status.conditions or () if each.type in _OF_SCHEDULE]
            return _dumped(status.model_copy(update={"conditions": own or None}), _SCHEDULE)
        case _:
            raise TypeError(f"{type(status).__name__} is no status of ours")


def _dumped(status: ApiModel, fields: Mapping[str, Any]) -> dict[str, Any]:
    include, exclude = dict(fields), dict(_WITHOUT)
    return status.model_dump(mode="json", by_alias=True, exclude_none=True, include=include, exclude=exclude)


def _shorten(entries: Any, key: str) -> None:
    for entry in entries:
        if key in entry:
            entry[key] = entry[key][:_SHORT]


# ---- whose it is -----------------------------------------------------------------------------------------------------


def job_digest(job: TrainingJobView) -> str:
    """Return what tells what one TrainingJob trains from what another one of its name did.

    Fields at their defaults do not count: a release that adds a field with a default changes nothing. Fields that may
    change after creation do not define the model.
    """
    try:
        spec = TrainingJobSpec.model_validate(job.spec, extra="ignore")
    except ValidationError:
        fields: Any = job.spec
    else:
        fields = spec.model_dump(mode="json", exclude_defaults=True, exclude=set(TrainingJobSpec.MUTABLE))
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:_HASH_DIGITS]


def _identity(view: ObjectView[ApiModel]) -> str:
    """Return which object a status belongs to: its name, and what it is. A uid is another one after a restore."""
    match view:
        case TrainingJobView():
            what = job_digest(view)
        case ModelVersionView():
            what = digest_of(view)
        case ModelDeploymentView():
            what = str(view.spec.get("modelName"))
        case _:
            what = ""
    return f"{view.namespace}/{view.name}/{what}"


# ---- what is read ----------------------------------------------------------------------------------------------------


def recall(view: V) -> V:
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
        if saved.of != _identity(view) or saved.uid == view.uid:
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
