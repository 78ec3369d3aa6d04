"""What a kind that runs to an end says of itself; all else of its life is the same for all of them."""

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
    """What a finished object still has to tell: fields of its status that change, and Events."""

    changes: dict[str, Any]
    events: tuple[EventNote, ...] = field(default=())


class BatchKind(Protocol[StateT_contra, SpecT]):
    """One kind: TrainingJob, say."""

    @property
    def workload(self) -> Workload:
        """What its attempts run as."""
        ...

    def spec_of(self, state: StateT_contra) -> SpecT:
        """Read the spec. Raises :class:`~trainyard_operator.core.resolve.InvalidSpecError` with a sentence."""
        ...

    def is_done_already(self, state: StateT_contra, spec: SpecT) -> Plan | None:
        """End an object that has not begun and has nothing left to do; ``None`` for any other one."""
        ...

    def missing_fact(self, state: StateT_contra, spec: SpecT) -> Need | None:
        """Return what must be read before an attempt can be made; ``None`` where all is known."""
        ...

    def launch(self, state: StateT_contra, spec: SpecT, attempt: int) -> Launch:
        """Return an attempt as it is to be made.

        Raises
        ------
        InvalidSpecError
            With a sentence, for what can never run.
        """
        ...

    def start_hint(self, spec: SpecT) -> str:
        """Return what pods wait for that say nothing themselves; empty where nothing is known."""
        ...

    def complete(self, state: StateT_contra, spec: SpecT, workload: WorkloadView, pods: tuple[PodView, ...]) -> Plan:
        """Read what a workload that ended well has left, and say what follows from it."""
        ...

    def follow(self, state: StateT_contra) -> Need | News | None:
        """Return what has become known of a finished object since its end; ``None`` where nothing has."""
        ...
