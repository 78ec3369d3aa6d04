"""A state machine of four TrainingJobs that wait for each other: two of one model, and a limit of two jobs.

It has all rules of :mod:`test_machine`. No model is trained twice at a time, the limit is never exceeded, and every
job ends.
"""

from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from tests.unit.operator.api_server import NAMESPACE, no_fault
from tests.unit.operator.cluster import Cluster
from tests.unit.operator.machines import machine_settings
from tests.unit.operator.operators import FaultyWrite, StepOperator
from tests.unit.operator.runtime.test_machine import TrainingJobMachine
from tests.unit.operator.samples import SPEC
from trainyard_api import meta
from trainyard_operator.core.config import Admission, OperatorConfig
from trainyard_operator.kube.errors import UnavailableError
from trainyard_operator.kube.port import JOBS, TRAINING_JOBS

MODELS = {"a": "m", "b": "m", "c": "n", "d": "o"}
MAX_JOBS = 2
CONFIG = OperatorConfig(admission=Admission(max_concurrent_jobs=MAX_JOBS))


class QueueMachine(TrainingJobMachine):
    """One operator with a limit of two jobs, and four TrainingJobs."""

    @initialize()
    def begin(self) -> None:
        self.cluster = Cluster()
        self.operators = [StepOperator(self.cluster, CONFIG)]
        self.terminal_statuses = {}
        self.user_deleted = Counter()
        self.suspended = Counter()
        self.restored = {}
        for name in MODELS:
            self.apply(name)
        self.operators[0].deliver_all()

    def apply(self, name: str) -> None:
        self.cluster.submit(name, {**SPEC, "modelName": MODELS[name]})

    @rule(name=st.sampled_from(sorted(MODELS)), priority=st.sampled_from(("Urgent", "Normal", "Low")))
    def edit_priority(self, name: str, priority: str) -> None:
        self.cluster.edit(name, priority=priority)

    @rule(name=st.sampled_from(sorted(MODELS)))
    def reconcile_any(self, name: str) -> None:
        self.operators[0].reconcile(name)

    @rule(name=st.sampled_from(sorted(MODELS)))
    def lose_response(self, name: str) -> None:
        """Lose the response to the first write of a job. Meanwhile the other jobs get a higher priority and ask."""
        self.cluster.hook = FaultyWrite(1, after=True, error=UnavailableError(0, "Timeout", "no answer"))
        self.operators[0].reconcile(name)
        self.cluster.hook = no_fault
        others = sorted(MODELS.keys() - {name})
        for other in others:
            self.cluster.edit(other, priority="Urgent")
        self.operators[0].deliver("TrainingJob")
        for other in others:
            self.operators[0].reconcile(other)

    def holders(self) -> set[str]:
        """Return the TrainingJobs with an unfinished Job. A Job whose TrainingJob is deleted does not count."""
        present = {body["metadata"]["uid"] for body in self.cluster.of(TRAINING_JOBS).values()}
        labels = (self.cluster.of(JOBS)[job]["metadata"]["labels"] for job in self.unfinished())
        return {each[meta.JOB_LABEL] for each in labels if each[meta.UID_LABEL] in present}

    @invariant()
    def limits_are_kept(self) -> None:
        assert len(self.holders()) <= MAX_JOBS, self.holders()

    @invariant()
    def no_model_twice(self) -> None:
        models = Counter(MODELS[name] for name in self.holders())
        assert all(count == 1 for count in models.values()), self.holders()

    @invariant()
    def queued_jobs_have_a_position(self) -> None:
        for name, body in self.cluster.of(TRAINING_JOBS).items():
            status = body["status"]
            assert (status.get("phase") == "Queued") == ("queuePosition" in status), (NAMESPACE, name, status)


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = machine_settings(120)
