"""How long pods have had the chance to be ready, and when time alone may change the answer."""

from datetime import datetime
from typing import Final

from trainyard_api.modeldeployment import ModelDeploymentSpec
from trainyard_operator.core.objects import DeploymentView
from trainyard_operator.core.serving import children
from trainyard_operator.core.serving.observed import Observed
from trainyard_operator.core.serving.status import deadline, unready_since
from trainyard_operator.core.times import from_rfc3339

FIRST_LOOK_SECONDS: Final = 5.0
"""Pods that are not ready after this long are looked at, then at growing intervals."""
LAST_LOOK_SECONDS: Final = 15.0
UNREADY_SECONDS: Final = 15.0
"""The active version may be without a ready pod for so long; then the one before takes over again, if it is ready."""
RESCHEDULED_SECONDS: Final = 60.0
"""The same while pods start that were created since, as after a drained node: that is no fault of the version."""
REFUSED_SECONDS: Final = 15.0


def candidate_waits(observed: Observed, spec: ModelDeploymentSpec) -> float | None:
    """Return for how long the candidate has had the chance to be ready; none when it is, or has no Deployment."""
    status = observed.deployment.status
    child = observed.child(status.candidate_version)
    if child is None or child.deleting or status.candidate_since is None:
        return None
    if children.is_ready(observed, spec, status):
        return None
    return _seconds_since(observed, max(from_rfc3339(status.candidate_since), child.created))


def active_waits(observed: Observed) -> float | None:
    """Return for how long the active version has been without a ready pod, as far as the status tells."""
    since = unready_since(observed.deployment.status)
    if since is None or observed.ready_pods(observed.deployment.status.active_version) > 0:
        return None
    return _seconds_since(observed, since)


def _seconds_since(observed: Observed, moment: datetime) -> float:
    return max((observed.now - moment).total_seconds(), 0.0)


def next_look(observed: Observed, spec: ModelDeploymentSpec) -> float | None:
    """Return the seconds until time alone may change the answer."""
    status = observed.deployment.status
    due: list[float] = [REFUSED_SECONDS] if observed.refused is not None else []
    candidate, active = candidate_waits(observed, spec), active_waits(observed)
    if candidate is not None:
        due += [_interval(candidate), deadline(spec) - candidate]
    if active is not None:
        due += [_interval(active), *(limit - active for limit in (UNREADY_SECONDS, deadline(spec)))]
    if _leftovers(observed):
        due += [
            children.drain_seconds_left(observed, status),
            children.warm_seconds_left(observed, spec, status),
        ]
    return min((max(seconds, 1.0) for seconds in due if seconds > 0), default=None)


def _interval(waited: float) -> float:
    if waited < FIRST_LOOK_SECONDS:
        return FIRST_LOOK_SECONDS - waited
    return min(max(waited / 2, FIRST_LOOK_SECONDS), LAST_LOOK_SECONDS)


def _leftovers(observed: Observed) -> tuple[DeploymentView, ...]:
    """Return the Deployments that only time keeps."""
    status = observed.deployment.status
    kept = {status.active_version, status.candidate_version}
    return tuple(child for child in observed.children if child.version not in kept and not child.deleting)
