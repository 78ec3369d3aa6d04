"""Interface of a kind that runs to completion. The rest of the lifecycle is shared."""

from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from trainyard_api.batch import BatchSpec
from trainyard_operator.core.batch.state import BatchState
from trainyard_operator.core.batch.workload import Launch, Workload
from trainyard_operator.core.facts import Need
from trainyard_operator.core.objects import PodView, WorkloadView
from trainyard_operator.core.plan import EventNote, Plan

StateT = TypeVar("StateT", bound=BatchState)
StateT_contra = TypeVar("StateT_contra", bound=BatchState, contravariant=True)
SpecT = TypeVar("SpecT", bound=BatchSpec)


@dataclass(frozen=True)
class News:
    """Changes to a finished object: status fields and Events."""

    changes: dict[str, Any]
    events: tuple[EventNote, ...] = field(default=())


@dataclass(frozen=True)
class Unmet:
    """What the cluster lacks for an attempt to start, as a reason and a message. The object waits for it."""

    reason: str
    message: str


class BatchKind(Protocol[StateT_contra, SpecT]):
    """Interface of one kind, for example TrainingJob."""

    @property
    def workload(self) -> Workload:
        """Return the workload type of its attempts."""
        ...

    def spec_of(self, state: StateT_contra) -> SpecT:
        """Return the parsed spec.

        Raises
        ------
        InvalidSpecError
            If the spec is invalid.
        """
        ...

    def is_done_already(self, state: StateT_contra, spec: SpecT) -> Plan | None:
        """End an object that has not begun and needs no attempt. Return ``None`` for any other object."""
        ...

    def check(self, state: StateT_contra, spec: SpecT) -> None:
        """Check a spec that waits in the queue.

        Raises
        ------
        InvalidSpecError
            If the spec can never run.
        """
        ...

    def missing(self, state: StateT_contra, spec: SpecT) -> Need | Unmet | None:
        """Return what must be read, or must exist, before an attempt can be created. Return ``None`` if nothing is
        missing.
        """
        ...

    def launch(self, state: StateT_contra, spec: SpecT, attempt: int) -> Launch:
        """Return the attempt to create.

        Raises
        ------
        InvalidSpecError
            If the spec can never run.
        """
        ...

    def describe(self, workload: WorkloadView) -> dict[str, Any]:
        """Return the status fields that the workload of the current attempt determines."""
        ...

    def start_hint(self, spec: SpecT) -> str:
        """Return what pods probably wait for if they report no reason. The result is empty if nothing is known."""
        ...

    def complete(self, state: StateT_contra, spec: SpecT, workload: WorkloadView, pods: tuple[PodView, ...]) -> Plan:
        """Read the result of a completed workload and return the next step."""
        ...

    def follow(self, state: StateT_contra) -> Need | News | None:
        """Return what has changed for a finished object since its completion, ``None`` if nothing has."""
        ...
