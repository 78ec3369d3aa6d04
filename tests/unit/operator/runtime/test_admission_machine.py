"""The life of TrainingJobs once more, four of them that wait for each other: two of one model, and two places in all.

Whatever the users, pods, watches and kills of :mod:`test_machine` do, no model is trained twice at a time and no limit
is exceeded, and in the end nobody has waited in vain.
"""

from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from tests.unit.operator.api_server import NAMESPACE, no_fault
from tests.unit.operator.cluster import Cluster
from tests.unit.operator.machines import machine_settings
from tests.unit.operator.operators import FaultyWrite, StepOperator
from tests.unit.operator.runtime.test_machine import Life
from tests.unit.operator.samples import SPEC
from trainyard_api import meta
from trainyard_operator.core.config import Admission, OperatorConfig
from trainyard_operator.kube.errors import UnavailableError
from trainyard_operator.kube.port import JOBS, TRAINING_JOBS

MODELS = {"a": "m", "b": "m", "c": "n", "d": "o"}
PLACES = 2
CONFIG = OperatorConfig(admission=Admission(max_concurrent_jobs=PLACES))


class Queue(Life):
    """One operator with two places, four TrainingJobs."""

    @initialize()
    def begin(self) -> None:
        self.cluster = Cluster()
        self.operators = [StepOperator(self.cluster, CONFIG)]
        self.ends = {}
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
    def turn_of_any(self, name: str) -> None:
        self.operators[0].reconcile(name)

    @rule(name=st.sampled_from(sorted(MODELS)))
    def answer_is_lost(self, name: str) -> None:
        """What came of the first write is known to nobody when the others ask, and overtake."""
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
        """TrainingJobs with a Job that has not ended; one whose TrainingJob is gone is the garbage collector's."""
        present = {body["metadata"]["uid"] for body in self.cluster.of(TRAINING_JOBS).values()}
        labels = (self.cluster.of(JOBS)[job]["metadata"]["labels"] for job in self.unfinished())
        return {each[meta.JOB_LABEL] for each in labels if each[meta.UID_LABEL] in present}

    @invariant()
    def limits_are_kept(self) -> None:
        assert len(self.holders()) <= PLACES, self.holders()

    @invariant()
    def no_model_twice(self) -> None:
        models = Counter(MODELS[name] for name in self.holders())
        assert all(count == 1 for count in models.values()), self.holders()

    @invariant()
    def who_is_queued_has_a_place_in_line(self) -> None:
        for name, body in self.cluster.of(TRAINING_JOBS).items():
            status = body["status"]
            assert (status.get("phase") == "Queued") == ("queuePosition" in status), (NAMESPACE, name, status)


TestQueue = Queue.TestCase
TestQueue.settings = machine_settings(120)
