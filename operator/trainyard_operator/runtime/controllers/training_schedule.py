"""TrainingSchedules: the schedule and the TrainingJobs that it created."""

from typing import Final

from trainyard_operator.core.plan import Kind
from trainyard_operator.core.schedule.planner import plan
from trainyard_operator.core.schedule.state import ScheduleState
from trainyard_operator.kinds.base import Key
from trainyard_operator.kinds.training_job import TRAINING_JOB, orphan_term
from trainyard_operator.kinds.training_schedule import TRAINING_SCHEDULE
from trainyard_operator.runtime.clock import Clock
from trainyard_operator.runtime.controller import Facts, Parts, Step
from trainyard_operator.runtime.store import Store


class TrainingScheduleController:
    """Controller for TrainingSchedules."""

    kind: Final[Kind] = TRAINING_SCHEDULE.name

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    @classmethod
    def of(cls, parts: Parts) -> "TrainingScheduleController":
        """Create the controller from the parts of an operator."""
        return cls(parts.store, clock=parts.clock)

    def step(self, key: Key, facts: Facts) -> Step | None:
        """Observe and plan."""
        schedule = self._store.get(TRAINING_SCHEDULE, key.namespace, key.name)
        if schedule is None:
            return None
        observed = ScheduleState(
            schedule=schedule,
            jobs=self._store.children(TRAINING_JOB, schedule.namespace, schedule.uid),
            now=self._clock(),
            listed=facts.listed,
            refused=facts.refused,
            orphans=self._store.find(TRAINING_JOB, orphan_term(schedule.namespace, schedule.name)),
        )
        return Step(schedule, plan(observed))
