"""Who may start: the limits, the order, one live job of a model, and what a job that waits is told.

A TrainingJob makes a :class:`Claim`: it holds a place, or it waits for one. Three rules hold it back: the operator's
limit, its namespace's limit, and the lock of its model, which is a limit of one. A job that only its model's lock or
its namespace's limit holds back is no obstacle to those behind it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Final, Literal

from trainyard_api.trainingjob import Phase
from trainyard_operator.core.naming import model_name
from trainyard_operator.core.objects import TrainingJobView
from trainyard_operator.core.observed import JobView

HOLDING_PHASES: Final[frozenset[Phase]] = frozenset({"Starting", "Running", "Retrying"})
"""A job keeps its place from its first attempt until it ends or is suspended, between two attempts too: whoever was
admitted is never put back into the line by its own failure."""

RANKS: Final = {"Urgent": 0, "High": 1, "Normal": 2, "Low": 3}

Place = tuple[int, datetime, str, str, str]
"""What jobs are ordered by: rank of the priority, creation, name, namespace, and the uid."""

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


Verdict = Admitted | Waiting

ADMITTED: Final = Admitted()


@dataclass(frozen=True)
class Claim:
    """What one TrainingJob asks for: the place that it holds, or waits for."""

    uid: str
    namespace: str
    name: str
    model: str
    rank: int
    created: datetime
    holds: bool

    @property
    def place(self) -> Place:
        """Where it stands in every line: smaller is earlier."""
        return (self.rank, self.created, self.name, self.namespace, self.uid)

    @property
    def in_namespace(self) -> Scope:
        """Where its namespace's limit holds."""
        return (self.namespace,)

    @property
    def in_model(self) -> Scope:
        """Where its model's lock holds."""
        return (self.namespace, self.model)


def claim_of(job: TrainingJobView, children: Iterable[JobView], *, reserved: bool) -> Claim | None:
    """Return what a TrainingJob asks for, ``None`` for one that has ended or must not start.

    ``reserved`` says that the creation of its Job is under way, or that its answer was lost. A Job that has not ended
    holds its place whatever became of the TrainingJob, for its pods may still run.
    """
    over = job.finished or job.deleting
    holds = any(not child.finished for child in children)
    holds = holds or (not over and (reserved or job.status.phase in HOLDING_PHASES))
    if not holds and (over or job.spec.get("suspend") or job.spec.get("cancel")):
        return None
    rank = RANKS.get(str(job.spec.get("priority")), RANKS["Normal"])
    return Claim(job.uid, job.namespace, job.name, model_name(job), rank, job.created, holds)


def shown_position(position: int) -> int:
    """Round a place in line up, the farther from its head the more.

    Exact to 10, then tens to 100, then hundreds: from place 1,000 to its start a job's status is written 28 times, and
    an end does not rewrite a thousand of them.
    """
    if position <= 10:
        return position
    step = 10 if position <= 100 else 100
    return -(-position // step) * step


def last_places(length: int) -> Iterator[int]:
    """Return the places, up to a line's length, behind which another position is shown."""
    return chain(range(1, min(10, length + 1)), range(10, min(100, length + 1), 10), range(100, length + 1, 100))


def limit_reached(scope: Scope, limit: int, position: int) -> Waiting:
    """Return what a job is told that the operator's or its namespace's limit holds back."""
    shown = shown_position(position)
    if scope == OPERATOR:
        message = f"waiting for a place: at most {limit} TrainingJobs run at a time (admission.maxConcurrentJobs)"
        return Waiting(shown, "ConcurrencyLimit", message)
    message = f"waiting for a place: at most {limit} TrainingJobs of namespace {scope[0]} run at a time (admission)"
    return Waiting(shown, "NamespaceLimit", message)


def model_locked(model: str, rival: str, position: int) -> Waiting:
    """Return what a job is told that another one of its model keeps back.

    Only the first ten are told which: the name changes with each end, and the others would be rewritten for it.
    """
    other = f"TrainingJob {rival}" if position <= 10 else "the TrainingJobs before it"
    message = f"waiting for {other}: one TrainingJob of model {model} runs at a time"
    return Waiting(shown_position(position), "ModelLocked", message)
