"""A version that only lacked room, its image or the storage, and what its pods are made from now.

Such a version was never at fault, so an edit that may have cured it lifts its quarantine as the verb retry does: once
for each edit, since what was tried is remembered. One that crashed, was rolled back or aborted waits for the verb.
"""

from trainyard_api.modeldeployment import ModelDeploymentSpec, ModelDeploymentStatus, VersionPolicy
from trainyard_operator.core.objects import ModelVersionView
from trainyard_operator.core.resolve import InvalidSpecError
from trainyard_operator.core.serving import answers
from trainyard_operator.core.serving.children import hash_of
from trainyard_operator.core.serving.choice import choose, find_pin, leads_to
from trainyard_operator.core.serving.health import are_at_fault
from trainyard_operator.core.serving.observed import Observed
from trainyard_operator.core.serving.render import deployment
from trainyard_operator.core.serving.status import deadline


def tried_with(observed: Observed, spec: ModelDeploymentSpec, number: int) -> str | None:
    """Return what a candidate that is late was tried with; ``None`` where it is late by its own doing."""
    version = observed.version(number)
    if version is None or are_at_fault(observed.pods_of(number)):
        return None
    return _recipe(observed, spec, version)


def mended(observed: Observed, spec: ModelDeploymentSpec) -> ModelVersionView | None:
    """Return a version to try again: the spec asks for it, and its pods would be made from something else now."""
    status = observed.deployment.status
    if status.candidate_reason in answers.EXPLICIT:
        return None
    tried = {entry.version: entry.tried_with for entry in status.rejected_versions or () if entry.tried_with}
    for number in sorted(tried, reverse=True):
        version = observed.version(number)
        if version is None or not (_is_free(observed, version) and _is_wanted(observed, spec, version)):
            continue
        if _recipe(observed, spec, version) not in (None, tried[number]):
            return version
    return None


def _recipe(observed: Observed, spec: ModelDeploymentSpec, version: ModelVersionView) -> str | None:
    """Return what the version's pods are made from, and how long they get, in a short text."""
    try:
        body = deployment(observed.deployment, spec, version, config=observed.config)
    except InvalidSpecError:
        return None
    return f"{hash_of(body)}/{deadline(spec):.0f}"


def _is_free(observed: Observed, version: ModelVersionView) -> bool:
    """Tell whether nobody else holds something against the version."""
    return version.status.phase == "Validated" or answers.was_lifted(observed, version)


def _is_wanted(observed: Observed, spec: ModelDeploymentSpec, version: ModelVersionView) -> bool:
    status: ModelDeploymentStatus = observed.deployment.status
    if answers.is_pinned(spec):
        return find_pin(observed, (spec.version or VersionPolicy()).pin) == version
    better = choose(observed, spec, status).version
    return leads_to(status, version.version) and (better is None or better.version < version.version)
