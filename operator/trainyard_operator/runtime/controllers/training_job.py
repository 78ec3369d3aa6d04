"""TrainingJobs: the job, its Jobs and the newest progress report."""

from typing import Final

from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.core.observed import Observed
from trainyard_operator.core.training_job import plan
from trainyard_operator.kube.watched import Kind
from trainyard_operator.runtime.clock import Clock
from trainyard_operator.runtime.keys import Key
from trainyard_operator.runtime.reports import Reports
from trainyard_operator.runtime.store import Store
from trainyard_operator.runtime.turn import Facts, Step


class TrainingJobController:
    """Plan for TrainingJobs."""

    kind: Final[Kind] = "TrainingJob"

    def __init__(self, store: Store, reports: Reports, config: OperatorConfig, *, ca: str, clock: Clock) -> None:
        self._store = store
        self._reports = reports
        self._config = config
        self._ca = ca
        self._clock = clock

    def step(self, key: Key, facts: Facts) -> Step | None:
        """Observe and plan."""
        job = self._store.training_job(key)
        if job is None or job.finished:
            self._reports.forget(key)
        if job is None:
            return None
        children = self._store.children(job.uid)
        attempt = max((child.attempt for child in children), default=0)
        observed = Observed(
            job=job,
            children=children,
            now=self._clock(),
            config=self._config,
            ca=self._ca,
            reported=self._reports.latest(key, job.uid, attempt),
            pods=facts.pods,
            missing=frozenset(facts.missing),
            versions=facts.versions,
            refused=facts.refused,
        )
        return Step(job, plan(observed))
