"""Runs of a TrainingSchedule, and their TrainingJobs.

A run's name follows from the nominal time, from the token of a request, or from the change of the template. If a run is
created twice, the second request fails because the name exists. After a crash, the names show which runs were created.
Unlike a label or an annotation, a name cannot be edited.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from trainyard_api import API_VERSION, meta
from trainyard_api.trainingschedule import TrainingScheduleSpec
from trainyard_operator.core.objects import TrainingJobView, TrainingScheduleView
from trainyard_operator.core.times import to_rfc3339

TOKEN_LENGTH: Final = 256
"""Maximum length of a token in the status. Characters beyond it are ignored."""
NAME_DIGITS: Final = 9
HASH_DIGITS: Final = 16


@dataclass(frozen=True)
class Run:
    """A TrainingJob to create.

    Attributes
    ----------
    cause
        A short text for messages: why the run is due.
    scheduled_for
        The nominal time; ``None`` for a run that the cron expression did not cause.
    """

    name: str
    cause: str
    scheduled_for: datetime | None = None


def due_run(view: TrainingScheduleView, due: datetime) -> Run:
    """Return the run of a nominal time."""
    return Run(f"{view.name}-{int(due.timestamp()) // 60}", f"due at {to_rfc3339(due)}", due)


def nominal_time(view: TrainingScheduleView, job_name: str) -> datetime | None:
    """Return the nominal time of a run, ``None`` if the cron expression did not cause it."""
    found = re.fullmatch(r"-([1-9][0-9]{0,8})", job_name.removeprefix(view.name))
    return datetime.fromtimestamp(int(found[1]) * 60, UTC) if found else None


def is_restored(view: TrainingScheduleView, job: TrainingJobView) -> bool:
    """Return whether a TrainingJob without an owner is a run of this schedule from before a restore.

    Both have new uids after a restore. The label of a restored run contains the old uid of the schedule. The label of a
    copy contains the current one.
    """
    of = job.labels.get(meta.SCHEDULE_UID_LABEL, view.uid)
    suffix = job.name.removeprefix(view.name)
    named = re.fullmatch(rf"-([1-9][0-9]{{0,8}}|[rc][0-9a-f]{{{NAME_DIGITS}}})", suffix) is not None
    return named and of != view.uid and not job.recalled_from


def token_of(view: TrainingScheduleView) -> str:
    """Return the token of the newest request to run at once, or an empty string."""
    return view.annotations.get(meta.RUN_NOW_ANNOTATION, "").strip()[:TOKEN_LENGTH]


def requested_run(view: TrainingScheduleView, handled: str | None) -> Run | None:
    """Return the requested run, unless its token was handled already."""
    token = token_of(view)
    if not token or token == handled:
        return None
    return Run(f"{view.name}-r{_digest(view.uid, token)}", f"requested by {meta.RUN_NOW_ANNOTATION}={token}")


def change_run(view: TrainingScheduleView, template: str, known: str | None, last_run: str | None) -> Run | None:
    """Return the run of a changed template. Its name depends on the last run, so a change back gives a new name."""
    if template == known:
        return None
    return Run(f"{view.name}-c{_digest(view.uid, template, last_run or '')}", "due because the template changed")


def template_hash(spec: TrainingScheduleSpec) -> str:
    """Return a hash of the template.

    Fields with default values do not count. Therefore a release that adds a field with a default changes no hash.
    """
    text = json.dumps(spec.template.model_dump(mode="json", exclude_defaults=True), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_DIGITS]


def body(view: TrainingScheduleView, run: Run) -> dict[str, Any]:
    """Return the TrainingJob: the user's template, with the schedule's name as the default model."""
    template = view.spec["template"]
    metadata = template.get("metadata") or {}
    ours = {} if run.scheduled_for is None else {meta.SCHEDULED_FOR_ANNOTATION: to_rfc3339(run.scheduled_for)}
    return {
        "apiVersion": API_VERSION,
        "kind": "TrainingJob",
        "metadata": {
            "name": run.name,
            "labels": {
                **(metadata.get("labels") or {}),
                meta.MANAGED_BY_LABEL: meta.MANAGED_BY,
                meta.SCHEDULE_LABEL: view.name,
                meta.SCHEDULE_UID_LABEL: view.uid,
            },
            "annotations": {**(metadata.get("annotations") or {}), **ours},
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": "TrainingSchedule",
                    "name": view.name,
                    "uid": view.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {"modelName": view.name, **template["spec"]},
    }


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:NAME_DIGITS]
