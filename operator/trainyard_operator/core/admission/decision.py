"""Decisions of admission control: admitted, or waiting with a reason and a position in the queue.

Three limits apply: the operator's, the namespace's, and the model's, which is always one job. A job that waits only for
its model or its namespace does not block the jobs behind it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, takewhile
from typing import Final, Literal

Scope = tuple[str, ...]
"""Scope of a limit: ``()`` is the operator, then ``(namespace,)`` and ``(namespace, model)``."""

OPERATOR: Final[Scope] = ()

WaitReason = Literal["ConcurrencyLimit", "NamespaceLimit", "ModelLocked"]


@dataclass(frozen=True)
class Admitted:
    """The job may start."""


@dataclass(frozen=True)
class Waiting:
    """The job must wait.

    Attributes
    ----------
    position
        Its rounded position among the jobs that wait for the same limit (see :func:`shown_position`).
    """

    position: int
    reason: WaitReason
    message: str


Decision = Admitted | Waiting

ADMITTED: Final = Admitted()


def shown_position(position: int) -> int:
    """Round a queue position up: exact to 10, then 20, 50, 100, 200, 500, and so on.

    Therefore a start does not change the status of thousands of other jobs. From position 15,000 to its own start, a
    job is written 20 times at most.
    """
    return next(last for last in _shown() if last >= position)


def last_positions(length: int) -> Iterator[int]:
    """Return the positions, up to the length of a queue, after which the shown position changes."""
    return takewhile(lambda order: order <= length, _shown())


def _shown() -> Iterator[int]:
    yield from range(1, 11)
    for power in count(1):
        yield from (step * 10**power for step in (2, 5, 10))


def limit_reached(scope: Scope, limit: int, position: int) -> Waiting:
    """Return the decision for a job that waits for the operator's or its namespace's limit."""
    shown = shown_position(position)
    if scope == OPERATOR:
        message = f"waiting for a slot: the limit of the operator is {limit} (admission.maxConcurrentJobs)"
        return Waiting(shown, "ConcurrencyLimit", message)
    setting = "admission.namespaces or admission.maxConcurrentJobsPerNamespace"
    message = f"waiting for a slot: the limit of namespace {scope[0]} is {limit} ({setting})"
    return Waiting(shown, "NamespaceLimit", message)


def model_locked(model: str, blocker: str, position: int) -> Waiting:
    """Return the decision for a job that waits for another job of its model.

    Only the first ten messages name the other job. Its name changes with each completion, so the status of every other
    waiting job would change too.
    """
    other = f"TrainingJob {blocker}" if position <= 10 else "the TrainingJobs ahead in the queue"
    message = f"waiting for {other}: only one TrainingJob of model {model} runs at a time"
    return Waiting(shown_position(position), "ModelLocked", message)
