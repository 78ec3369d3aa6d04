"""TrainingSchedules: the schedule and the TrainingJobs that it created."""

from typing import Final

from trainyard_operator.core.schedule.observed import ObservedSchedule
from trainyard_operator.core.schedule.planner import plan
from trainyard_operator.kube.watched import Kind
from trainyard_operator.runtime.clock import Clock
from trainyard_operator.runtime.keys import Key
from trainyard_operator.runtime.store import Store
from trainyard_operator.runtime.turn import Facts, Step


class TrainingScheduleController:
    """Plan for TrainingSchedules."""

    kind: Final[Kind] = "TrainingSchedule"

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def step(self, key: Key, facts: Facts) -> Step | None:
        """Observe and plan."""
        schedule = self._store.training_schedule(key)
        if schedule is None:
            return None
        observed = ObservedSchedule(
            schedule=schedule,
            jobs=self._store.jobs_of_schedule(schedule.namespace, schedule.uid),
            now=self._clock(),
            listed=facts.listed,
            refused=facts.refused,
            orphans=self._store.orphans_of_schedule(schedule.namespace, schedule.name),
        )
        return Step(schedule, plan(observed))
