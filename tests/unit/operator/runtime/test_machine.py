"""Random histories of TrainingJobs: each ends once, with one Job per attempt and at most one version.

A hypothesis state machine moves users (who suspend, resume, cancel and change deadlines), the Job controller, pods,
the clock and the operator. The operator is killed between any two writes, loses responses, reads its watches late and
in any order, and gets late and wrong progress reports.
"""

from collections import Counter
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from tests.unit.operator.api_server import NAMESPACE, WATCHED, no_fault, no_list_fault
from tests.unit.operator.cluster import Cluster
from tests.unit.operator.machines import FAULTS, machine_settings
from tests.unit.operator.operators import FaultyList, FaultyWrite, Killed, StepOperator
from tests.unit.operator.runtime import job_page
from tests.unit.operator.runtime.training_invariants import MAX_ATTEMPTS, TrainingInvariants, has_ended
from tests.unit.operator.samples import SPEC, dataset_text, failure_text, result_text
from trainyard_api.batch import TERMINAL_PHASES
from trainyard_api.wire import ReportedStatus
from trainyard_operator.kinds.base import Key
from trainyard_operator.kube.errors import ApiError, ForbiddenError, UnavailableError
from trainyard_operator.kube.port import JOBS, TRAINING_JOBS, Resource

NAMES = ("a", "b")

TERMINATIONS = (
    (0, result_text(), ""),
    (0, dataset_text(), ""),
    (0, "", ""),
    (0, "{", ""),
    (0, failure_text("BadData", "says that it failed"), ""),
    (1, "", ""),
    (65, failure_text("BadData", "column 'x' is missing"), ""),
    (69, failure_text("UpstreamUnavailable", "no S3"), ""),
    (75, "", ""),
    (137, "", "OOMKilled"),
    (137, "", ""),
    (255, result_text(), ""),
)

ACCELERATOR = {"resource": "nvidia.com/gpu", "count": 1, "fallback": "CPU", "fallbackAfterSeconds": 20}
"""The accelerator of job ``b``. Job ``a`` has none."""
NO_NODE = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."

DOCUMENTED = job_page.transitions()

names = st.sampled_from(NAMES)
limits = st.sampled_from((None, 1, 30, 500))


class TrainingJobMachine(TrainingInvariants):
    """One operator, two TrainingJobs."""

    @initialize(prepares=st.booleans())
    def begin(self, *, prepares: bool) -> None:
        self.mode_of_a = "Prepare" if prepares else "Train"
        self.cluster = Cluster()
        self.operators = [StepOperator(self.cluster) for _ in range(self.replicas)]
        self.terminal_statuses: dict[str, dict[str, Any]] = {}
        self.user_deleted: Counter[str] = Counter()
        self.suspended: Counter[str] = Counter()
        self.restored: dict[str, dict[str, Any]] = {}
        for name in NAMES:
            self.apply(name)
            self.operators[0].settle()

    # ---- users ---------------------------------------------------------------------------------------------------

    def apply(self, name: str) -> None:
        own = {"accelerator": ACCELERATOR} if name == "b" else {"mode": self.mode_of_a}
        self.cluster.submit(name, {**SPEC, "modelName": name, **own})

    @rule(name=names)
    def cancel(self, name: str) -> None:
        self.cluster.edit(name, cancel=True)

    @rule(name=names, attempts=st.integers(1, MAX_ATTEMPTS))
    def edit_retry(self, name: str, attempts: int) -> None:
        self.cluster.edit(name, retry={**SPEC["retry"], "maxAttempts": attempts})

    @rule(name=names, active=limits, pending=limits, ttl=limits)
    def edit_deadlines(self, name: str, active: int | None, pending: int | None, ttl: int | None) -> None:
        self.cluster.edit(
            name, activeDeadlineSeconds=active, pendingDeadlineSeconds=pending, ttlSecondsAfterFinished=ttl
        )

    @rule(name=names, settles=st.booleans())
    def suspend(self, name: str, settles: bool) -> None:
        body = self.cluster.of(TRAINING_JOBS)[name]
        if not body["spec"].get("suspend"):
            self.suspended[body["metadata"]["uid"]] += 1
        self.cluster.edit(name, suspend=True)
        if settles:
            self.operators[0].settle()

    @rule(name=names)
    def resume(self, name: str) -> None:
        self.cluster.edit(name, suspend=False)

    @precondition(lambda self: self.replicas == 1)
    @rule(number=st.integers(0, 5))
    def delete_child(self, number: int) -> None:
        jobs = sorted(self.cluster.of(JOBS))
        if jobs:
            name = jobs[number % len(jobs)]
            self.user_deleted[name] += 1
            self.cluster.remove(JOBS, NAMESPACE, name)

    @precondition(lambda self: self.replicas == 1)
    @rule(name=names)
    def delete_newest_child(self, name: str) -> None:
        own = [job for job in self.live() if job.startswith(f"{name}-")]
        if own:
            self.user_deleted[own[-1]] += 1
            self.cluster.remove(JOBS, NAMESPACE, own[-1])
            self.operators[0].settle()

    @precondition(lambda self: self.replicas == 1)
    @rule(name=names, collected=st.booleans())
    def recreate(self, name: str, *, collected: bool) -> None:
        """Delete a TrainingJob and create it again, before or after the garbage collection."""
        self.cluster.remove(TRAINING_JOBS, NAMESPACE, name)
        if collected:
            self.cluster.collect()
        self.apply(name)

    @precondition(lambda self: self.replicas == 1)
    @rule(settles=st.booleans())
    def restore(self, *, settles: bool) -> None:
        """Restore all TrainingJobs from a backup. The finished ones stay finished, and train nothing."""
        if settles:
            self.operators[0].settle()
        ended = {
            name: body["status"] for name, body in self.cluster.of(TRAINING_JOBS).items() if has_ended(body["status"])
        }
        self.cluster.restore(TRAINING_JOBS)
        for name, status in ended.items():
            self.restored[self.cluster.of(TRAINING_JOBS)[name]["metadata"]["uid"]] = status

    # ---- the rest of the cluster -----------------------------------------------------------------------------------

    @rule(number=st.integers(0, 5))
    def start_pod(self, number: int) -> None:
        if live := self.live():
            self.cluster.start_pod(live[number % len(live)])

    @rule(number=st.integers(0, 5), termination=st.sampled_from(TERMINATIONS))
    def finish_pod(self, number: int, termination: tuple[int, str, str]) -> None:
        if live := self.live():
            code, message, reason = termination
            self.cluster.finish_pod(live[number % len(live)], code, message, reason)

    @rule(number=st.integers(0, 5))
    def hold_pod(self, number: int) -> None:
        asking = [name for name in self.live() if name.startswith("b-") and not name.endswith("-cpu")]
        if asking:
            self.cluster.hold_pod(asking[number % len(asking)], NO_NODE)

    @rule(number=st.integers(0, 5), settles=st.booleans())
    def evict(self, number: int, *, settles: bool) -> None:
        """Evict a running pod. The Job controller creates another one."""
        if live := self.live():
            self.cluster.start_pod(live[number % len(live)])
            if settles:
                self.operators[0].settle()
            self.cluster.evict_pod(live[number % len(live)])

    @rule(number=st.integers(0, 5), termination=st.sampled_from(TERMINATIONS))
    def leave_sidecar(self, number: int, termination: tuple[int, str, str]) -> None:
        if live := self.live():
            self.cluster.leave_sidecar(live[number % len(live)], *termination[:2])

    @rule(number=st.integers(0, 5))
    def lose_node(self, number: int) -> None:
        if live := self.live():
            self.cluster.start_pod(live[number % len(live)])
            self.cluster.lose_node(live[number % len(live)])

    @rule(number=st.integers(0, 5), completes=st.booleans())
    def finish_stopped_pod(self, number: int, completes: bool) -> None:
        """A pod whose Job is being deleted terminates: by SIGTERM, or because it is just done."""
        if stopping := sorted(self.unfinished() - set(self.live())):
            code, message = (0, result_text()) if completes else (75, "")
            self.cluster.finish_pod(stopping[number % len(stopping)], code, message)

    @rule()
    def collect(self) -> None:
        self.cluster.collect()

    @rule(seconds=st.sampled_from((0.5, 4.0, 31.0, 400.0)))
    def tick(self, seconds: float) -> None:
        self.cluster.tick(seconds)
        self.cluster.enforce_deadlines()

    # ---- the operator ----------------------------------------------------------------------------------------------

    @rule(which=st.integers(0, 1), kind=st.sampled_from(("TrainingJob", "Job")), count=st.integers(1, 6))
    def deliver(self, which: int, kind: Any, count: int) -> None:
        self.operators[which % self.replicas].deliver(kind, count)

    @rule(which=st.integers(0, 1))
    def keep_up(self, which: int) -> None:
        self.operators[which % self.replicas].settle()

    @rule(seconds=st.sampled_from((31.0, 400.0)), number=st.integers(0, 5), termination=st.sampled_from(TERMINATIONS))
    def finish_attempt(self, seconds: float, number: int, termination: tuple[int, str, str]) -> None:
        """Complete an attempt and let the operator reconcile, so that later attempts are reached."""
        self.finish_pod(number, termination)
        self.operators[0].settle()
        self.cluster.tick(seconds)
        self.operators[0].settle()

    @rule(which=st.integers(0, 1), name=names)
    def reconcile(self, which: int, name: str) -> None:
        self.operators[which % self.replicas].reconcile(name)

    @rule(
        which=st.integers(0, 1),
        name=names,
        at=st.integers(1, 4),
        after=st.booleans(),
        error=st.sampled_from(FAULTS),
    )
    def reconcile_with_fault(self, which: int, name: str, at: int, after: bool, error: BaseException) -> None:
        lost_response = isinstance(error, (Killed, UnavailableError))
        self.cluster.hook = FaultyWrite(at, after=after and lost_response, error=error)
        self.operators[which % self.replicas].reconcile(name)
        self.cluster.hook = no_fault

    @rule(which=st.integers(0, 1))
    def restart(self, which: int) -> None:
        self.operators[which % self.replicas].restart()

    @rule(which=st.integers(0, 1))
    def resync(self, which: int) -> None:
        self.operators[which % self.replicas].resync()

    @rule(which=st.integers(0, 1), fails=st.sampled_from(tuple(WATCHED)), silent=st.booleans())
    def resync_with_fault(self, which: int, fails: Resource, silent: bool) -> None:
        """One list fails, or the API server does not respond."""
        error = UnavailableError(0, "Timeout", "no answer") if silent else ForbiddenError(403, "Forbidden", "no RBAC")
        self.cluster.list_hook = FaultyList(fails, error)
        self.operators[which % self.replicas].resync()
        self.cluster.list_hook = no_list_fault

    @rule(which=st.integers(0, 1))
    def lose_events(self, which: int) -> None:
        """A watch breaks: the next list shows the changes."""
        self.operators[which % self.replicas].lose_events()

    @rule(name=names, attempt=st.integers(1, 4), percent=st.integers(0, 100))
    def report(self, name: str, attempt: int, percent: int) -> None:
        self.operators[0].reports.offer(
            Key(NAMESPACE, name),
            self.cluster.of(TRAINING_JOBS)[name]["metadata"]["uid"],
            attempt,
            ReportedStatus(progress_percentage=percent),
            after=0,
            now=self.cluster.now,
        )

    def teardown(self) -> None:
        if hasattr(self, "cluster"):
            self.converge()

    def converge(self) -> None:
        """Nothing fails any more: every job must end, and then nothing is written."""
        for name in self.cluster.of(TRAINING_JOBS):
            self.cluster.edit(name, suspend=False)
        for _ in range(4 * MAX_ATTEMPTS):
            self.cluster.collect()
            for operator in self.operators:
                operator.resync()
                operator.settle()
            for name in self.live():
                owner = name.split("-")[0]
                if owner in self.cluster.of(TRAINING_JOBS):
                    prepares = self.cluster.of(TRAINING_JOBS)[owner]["spec"].get("mode") == "Prepare"
                    self.cluster.finish_pod(name, 0, dataset_text() if prepares else result_text(version=1))
            self.cluster.tick(400)
        phases = {name: body["status"].get("phase") for name, body in self.cluster.of(TRAINING_JOBS).items()}
        assert all(phase in TERMINAL_PHASES for phase in phases.values()), phases
        assert not self.live()
        written = len(self.cluster.writes)
        for operator in self.operators:
            operator.restart()
            operator.settle()
        assert self.cluster.writes[written:] == []
        self.terminal_statuses_never_change()
        changes = {(before, after) for resource, before, after in self.cluster.phases if resource == TRAINING_JOBS}
        assert changes <= DOCUMENTED, "docs/trainingjob.md does not list this change of phase"


class TwoReplicas(TrainingJobMachine):
    """Two active operators, as in a failed rollout: more work, but no wrong result."""

    replicas = 2


def test_a_failed_reconcile_returns_its_error() -> None:
    cluster = Cluster()
    operator = StepOperator(cluster)
    cluster.submit("a", SPEC)
    operator.deliver_all()
    cluster.hook = FaultyWrite(1, after=False, error=FAULTS[1])
    assert isinstance(operator.reconcile("a"), ApiError)


TestTrainingJobMachine = TrainingJobMachine.TestCase
TestTrainingJobMachine.settings = machine_settings(250)
TestTwoReplicas = TwoReplicas.TestCase
TestTwoReplicas.settings = machine_settings(80)
