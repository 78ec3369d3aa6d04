"""Times and intervals: how long pods have been unready, and when to check again."""

from datetime import datetime
from typing import Final

from trainyard_api.modeldeployment import ModelDeploymentSpec, ModelDeploymentStatus, Rollout
from trainyard_operator.core.objects import DeploymentView
from trainyard_operator.core.serving import deployments
from trainyard_operator.core.serving.state import ServingState
from trainyard_operator.core.times import from_rfc3339

FIRST_CHECK_SECONDS: Final = 5.0
"""Time before the first check of unready pods. After that, the interval grows."""
LAST_CHECK_SECONDS: Final = 15.0
UNREADY_SECONDS: Final = 15.0
"""Time that the active version may have no ready pod before the previous version takes over, if it is ready."""
RESCHEDULED_SECONDS: Final = 60.0
"""The same limit while replacement pods start, for example after a node drain. The version is not at fault then."""
REFUSED_SECONDS: Final = 10.0
"""Time before a refused request is sent again. After that, the interval grows."""
LONGEST_REFUSED_SECONDS: Final = 60.0
UPDATE_SECONDS: Final = 20.0
"""Interval between requests for permission to replace the pods."""


def deadline(spec: ModelDeploymentSpec) -> float:
    """Return the seconds that pods have to become ready."""
    return (spec.rollout or Rollout()).progress_deadline_seconds


def unready_since(status: ModelDeploymentStatus) -> datetime | None:
    """Return since when the active version has had no ready pod, as far as it is known."""
    ready = next((c for c in status.conditions or () if c.type == "Ready"), None)
    if status.active_version is None or ready is None or ready.status == "True":
        return None
    return from_rfc3339(ready.last_transition_time)


def candidate_unready_seconds(
    state: ServingState, spec: ModelDeploymentSpec, status: ModelDeploymentStatus
) -> float | None:
    """Return for how long the candidate has been unready, ``None`` if it is ready or has no Deployment."""
    child = state.child(status.candidate_version)
    if child is None or child.deleting or status.candidate_since is None:
        return None
    if deployments.is_ready(state, spec, status):
        return None
    return _seconds_since(state, max(from_rfc3339(status.candidate_since), child.created))


def active_unready_seconds(state: ServingState) -> float | None:
    """Return for how long the active version has had no ready pod, as far as the status shows it."""
    since = unready_since(state.deployment.status)
    if since is None or state.ready_pods(state.deployment.status.active_version) > 0:
        return None
    return _seconds_since(state, since)


def short_seconds(state: ServingState, spec: ModelDeploymentSpec) -> float | None:
    """Return for how long the active version has had some ready pods, but fewer than requested."""
    status = state.deployment.status
    child, types = state.child(status.active_version), ("Reconciling", "Stalled")
    if child is None or child.deleting or not 0 < child.ready < deployments.replicas(spec):
        return None
    since = [from_rfc3339(c.last_transition_time) for c in status.conditions or () if c.type in types]
    return _seconds_since(state, min(since)) if since else 0.0


def refused_retry_seconds(state: ServingState) -> float:
    """Return the seconds until a refused request is sent again. They grow while it is refused."""
    conditions = {c.type: c for c in state.deployment.status.conditions or ()}
    since = conditions.get("Reconciling") or conditions.get("Stalled")
    waited = _seconds_since(state, from_rfc3339(since.last_transition_time)) if since is not None else 0.0
    return min(max(waited / 2, REFUSED_SECONDS), LONGEST_REFUSED_SECONDS)


def _seconds_since(state: ServingState, moment: datetime) -> float:
    return max((state.now - moment).total_seconds(), 0.0)


def next_check(state: ServingState, spec: ModelDeploymentSpec) -> float | None:
    """Return the seconds until time alone may change the result."""
    status = state.deployment.status
    due: list[float] = [refused_retry_seconds(state)] if state.refused is not None else []
    candidate, active = candidate_unready_seconds(state, spec, status), active_unready_seconds(state)
    short = short_seconds(state, spec)
    if state.may_update is False:
        due.append(UPDATE_SECONDS)
    if short is not None:
        due.append(_interval(short))
    if candidate is not None:
        due += [_interval(candidate), deadline(spec) - candidate]
    if active is not None:
        due += [_interval(active), *(limit - active for limit in (UNREADY_SECONDS, deadline(spec)))]
    if _leftovers(state):
        due += [
            deployments.drain_seconds_left(state, status),
            deployments.warm_seconds_left(state, spec, status),
        ]
    return min((max(seconds, 1.0) for seconds in due if seconds > 0), default=None)


def _interval(waited: float) -> float:
    if waited < FIRST_CHECK_SECONDS:
        return FIRST_CHECK_SECONDS - waited
    return min(max(waited / 2, FIRST_CHECK_SECONDS), LAST_CHECK_SECONDS)


def _leftovers(state: ServingState) -> tuple[DeploymentView, ...]:
    """Return the Deployments that only a timer keeps."""
    status = state.deployment.status
    kept = {status.active_version, status.candidate_version}
    return tuple(child for child in state.children if child.version not in kept and not child.deleting)
