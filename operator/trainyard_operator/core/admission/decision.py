"""What a job is told that asks to start: that it may, or what it waits for and where it stands in line.

Three rules hold a job back: the operator's limit, its namespace's limit, and the lock of its model, which is a limit of
one. A job that only its model's lock or its namespace's limit holds back is no obstacle to those behind it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, takewhile
from typing import Final, Literal

Scope = tuple[str, ...]
"""Where a limit holds: ``()`` is the operator, ``(namespace,)``, ``(namespace, model)``."""

OPERATOR: Final[Scope] = ()

WaitReason = Literal["ConcurrencyLimit", "NamespaceLimit", "ModelLocked"]


@dataclass(frozen=True)
class Admitted:
    """Nothing holds the job back."""


@dataclass(frozen=True)
class Waiting:
    """The job waits.

    Attributes
    ----------
    position
        Its place among those that wait for the same thing, as it is shown (see :func:`shown_position`).
    """

    position: int
    reason: WaitReason
    message: str


Decision = Admitted | Waiting

ADMITTED: Final = Admitted()


def shown_position(position: int) -> int:
    """Round a place in line up: exact to 10, then 20, 50, 100, 200, 500, and so on.

    So one that starts does not rewrite thousands of others: from place 15,000 to its own start a job is written 20
    times at most.
    """
    return next(last for last in _shown() if last >= position)


def last_positions(length: int) -> Iterator[int]:
    """Return the places, up to a line's length, behind which another position is shown."""
    return takewhile(lambda order: order <= length, _shown())


def _shown() -> Iterator[int]:
    yield from range(1, 11)
    for power in count(1):
        yield from (step * 10**power for step in (2, 5, 10))


def limit_reached(scope: Scope, limit: int, position: int) -> Waiting:
    """Return what a job is told that the operator's or its namespace's limit holds back."""
    shown = shown_position(position)
    if scope == OPERATOR:
        message = f"waiting for a place: the operator has {limit} (admission.maxConcurrentJobs)"
        return Waiting(shown, "ConcurrencyLimit", message)
    setting = "admission.namespaces or admission.maxConcurrentJobsPerNamespace"
    message = f"waiting for a place: namespace {scope[0]} has {limit} ({setting})"
    return Waiting(shown, "NamespaceLimit", message)


def model_locked(model: str, rival: str, position: int) -> Waiting:
    """Return what a job is told that another one of its model keeps back.

    Only the first ten are told which: the name changes with each end, and the others would be rewritten for it.
    """
    other = f"TrainingJob {rival}" if position <= 10 else "the TrainingJobs before it"
    message = f"waiting for {other}: one TrainingJob of model {model} runs at a time"
    return Waiting(shown_position(position), "ModelLocked", message)
