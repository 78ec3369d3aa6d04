"""What the hypothesis state machines share: the faults of writes, and the settings."""

from hypothesis import HealthCheck, settings

from tests.unit.operator.operators import Killed
from trainyard_operator.kube.errors import ConflictError, ForbiddenError, ThrottledError, UnavailableError

FAULTS: tuple[BaseException, ...] = (
    Killed(),
    UnavailableError(0, "Timeout", "no answer"),
    UnavailableError(500, "InternalError", "etcd"),
    ThrottledError(429, "TooManyRequests", "slow down", 1.0),
    ConflictError(409, "Conflict", "changed"),
    ForbiddenError(403, "Forbidden", "exceeded quota"),
)


def machine_settings(examples: int, steps: int = 30) -> settings:
    """Return settings for ``examples`` runs of at most ``steps`` steps, without a time limit."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
