"""Retention: which objects are deleted. Versions that are in use, pinned or the champion are always kept.

To delete a ModelVersion deletes no file. Its number stays reserved in the storage, and an import restores the object.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from trainyard_api import meta
from trainyard_operator.core import champion
from trainyard_operator.core.champion import ModelObjects, bare, digest_of
from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.core.naming import has_its_name, version_number
from trainyard_operator.core.objects import (
    BatchView,
    ModelDeploymentView,
    ModelVersionView,
    ObjectView,
    TrainingScheduleView,
)
from trainyard_operator.core.times import from_rfc3339

LEAST_AGE: Final = timedelta(hours=1)
"""Minimum age of a deleted version. Before that, its verdict may not be reported yet, or a restore may be running."""

_NOT: Final = frozenset({"", "false", "no", "0"})


@dataclass(frozen=True)
class Policy:
    """How many versions of one model are kept; ``None`` means all.

    Attributes
    ----------
    validated
        Number of newest Validated versions.
    rejected
        Number of newest Rejected or Quarantined versions.
    age
        Maximum age. Older versions are not kept for their number alone.
    """

    validated: int | None
    rejected: int | None
    age: timedelta | None = None

    def keeps_all(self, count: int) -> bool:
        """Return whether the policy keeps everything if there are ``count`` versions."""
        least = min((n for n in (self.validated, self.rejected) if n is not None), default=count)
        return self.age is None and count <= least


@dataclass(frozen=True)
class Expired:
    """An object to delete, and the reason as a message."""

    view: ObjectView[Any]
    why: str


def policy_of(config: OperatorConfig, namespace: str, deployments: Iterable[ModelDeploymentView] = ()) -> Policy:
    """Return the policy of a model: its ModelDeployment overrides its namespace, which overrides the chart.

    If there are several ModelDeployments, the oldest one counts.
    """
    fields = config.retention.model_dump()
    fields |= config.in_namespace(namespace).retention.model_dump(exclude_unset=True)
    oldest = min(deployments, key=lambda each: (each.created, each.name), default=None)
    own = _retention(oldest) if oldest is not None else {}
    for field, name in (("validated", "validated"), ("rejected", "rejected"), ("max_age_days", "maxAgeDays")):
        if isinstance(own.get(name), int):
            fields[field] = own[name]
    age = timedelta(days=fields["max_age_days"])
    return Policy(fields["validated"] or None, fields["rejected"] or None, age or None)


def versions(model_objects: ModelObjects, policy: Policy, now: datetime) -> tuple[Expired, ...]:
    """Return the versions of one model to delete, the oldest first."""
    if any(deployment.unreadable for deployment in model_objects.deployments):
        return ()  # the active version is not known
    own = [view for view in model_objects.versions if not view.deleting and has_its_name(view)]
    chosen = champion.choose(model_objects)
    used = {number for each in model_objects.deployments for number in _used(each)}
    pins = {bare(pin) for each in model_objects.deployments if (pin := _pin(each))}
    if chosen is not None:
        used.add(chosen.version)
    found: list[Expired] = []
    for phases, limit in ((("Validated",), policy.validated), (("Rejected", "Quarantined"), policy.rejected)):
        listed = sorted((v for v in own if v.status.phase in phases), key=version_number, reverse=True)
        for index, view in enumerate(listed):
            number = version_number(view)
            if number in used or pins & {str(number), digest_of(view)} or not _may_go(view, now):
                continue
            if (why := _too_much(view, index, limit, policy, now)) is not None:
                found.append(Expired(view, why))
    return tuple(sorted(found, key=lambda each: (each.view.created, each.view.name)))


def job(view: BatchView[Any], schedule: TrainingScheduleView | None, now: datetime) -> Expired | None:
    """Return a finished batch object whose ``deleteSecondsAfterFinished`` have passed.

    ``schedule`` is the object that created it. A run whose completion or verdict is not counted yet is kept.
    """
    seconds = view.spec.get("deleteSecondsAfterFinished")
    if not isinstance(seconds, int) or not view.finished or view.deleting or is_kept(view):
        return None
    if view.status.completion_time is None or view.awaits_verdict:
        return None
    if schedule is not None and view.uid in _not_counted(schedule):
        return None
    if now < from_rfc3339(view.status.completion_time) + timedelta(seconds=seconds):
        return None
    return Expired(view, f"it ended at least {seconds} s ago (spec.deleteSecondsAfterFinished)")


def is_kept(view: ObjectView[Any]) -> bool:
    """Return whether a label requests that an object is kept."""
    return view.labels.get(meta.KEEP_LABEL, "").lower() not in _NOT


def _may_go(view: ModelVersionView, now: datetime) -> bool:
    return not (view.unreadable or view.recalled_from or is_kept(view)) and now - view.created >= LEAST_AGE


def _too_much(view: ModelVersionView, index: int, limit: int | None, policy: Policy, now: datetime) -> str | None:
    if limit is not None and index >= limit:
        kind = "validated" if view.status.phase == "Validated" else "rejected"
        return f"not in use, and not among the newest {limit} {kind} versions of model {view.model}"
    if policy.age is not None and now - view.created > policy.age:
        return f"not in use, and older than {policy.age.days} days"
    return None


def _used(deployment: ModelDeploymentView) -> set[int]:
    status = deployment.status
    numbers = (status.active_version, status.previous_version, status.candidate_version)
    kept = _retention(deployment).get("keep") or ()
    return {number for number in (*numbers, *kept) if number is not None}


def _retention(deployment: ModelDeploymentView) -> dict[str, Any]:
    return deployment.spec.get("retention") or {}


def _pin(deployment: ModelDeploymentView) -> str:
    version = deployment.spec.get("version")
    return str(version.get("pin") or "") if isinstance(version, dict) else ""


def _not_counted(schedule: TrainingScheduleView) -> set[str]:
    status = schedule.status
    return {run.uid for run in (*(status.active or ()), *(status.awaiting_verdict or ()))}
