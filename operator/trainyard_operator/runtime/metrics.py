"""Prometheus metrics: the counters of this process, and the content of the store."""

import asyncio
from importlib.metadata import version

from prometheus_client import REGISTRY, Counter, Gauge, disable_created_metrics, generate_latest

from trainyard_operator.kinds.series import bounded
from trainyard_operator.runtime.store import Store
from trainyard_operator.runtime.survey import survey

disable_created_metrics()  # type: ignore[no-untyped-call]  # they would be a second, unused series of each counter

TRANSITIONS = Counter(
    "trainyard_transitions_total", "Changes of phase or reason, by the new values", ["kind", "phase", "reason"]
)
_BUILD = Gauge("trainyard_build_info", "Always 1; the label contains the release", ["version"])
_BUILD.labels(version("trainyard")).set(1)

_stores: list[Store] = []
_reasons: set[str] = set()


def expose(store: Store | None) -> None:
    """Set the store whose metrics are exposed.

    With ``None``, no store is exposed, so that replicas do not report twice.
    """
    _stores[:] = [store] if store is not None else []


def count_transition(kind: str, phase: str, reason: str) -> None:
    """Count a change of phase or reason. The number of reasons is limited, and so is the number of series."""
    TRANSITIONS.labels(kind, phase, bounded(_reasons, reason)).inc()


async def exposition() -> bytes:
    """Return all metrics in the Prometheus text format. Other tasks run between the slices."""
    own = generate_latest(REGISTRY)
    return b"".join([own, *[await _in_slices(store) for store in _stores]])


async def _in_slices(store: Store) -> bytes:
    steps = survey(store)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            text: bytes = done.value
            return text
        await asyncio.sleep(0)
