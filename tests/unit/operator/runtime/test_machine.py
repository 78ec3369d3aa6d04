"""Whatever happens in whatever order: each TrainingJob ends once, with one Job per attempt and at most one version.

A hypothesis state machine moves users (who suspend, resume, cancel and change deadlines), the Job controller, pods that
find no accelerator, the clock and the operator, which is killed between any two writes, loses answers, reads its two
watches late and in any order, and hears late and wrong reports.
"""

from collections import Counter
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.operator.api_server import NAMESPACE, WATCHED, no_fault, no_list_fault
from tests.unit.operator.cluster import Cluster
from tests.unit.operator.machines import FAULTS, machine_settings
from tests.unit.operator.operators import FaultyList, FaultyWrite, Killed, StepOperator
from tests.unit.operator.runtime import job_page
from tests.unit.operator.samples import SPEC, dataset_text, failure_text, result_text
from trainyard_api.batch import TERMINAL_PHASES
from trainyard_api.wire import ReportedStatus
from trainyard_operator.core.plan import Body
from trainyard_operator.kinds.base import Key
from trainyard_operator.kube.errors import ApiError, ForbiddenError, UnavailableError
from trainyard_operator.kube.port import JOBS, MODEL_VERSIONS, TRAINING_JOBS, Resource

NAMES = ("a", "b")
MAX_ATTEMPTS = 3

ENDINGS = (
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
"""What ``b`` asks for and ``a`` does not."""
NO_NODE = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."

DOCUMENTED = job_page.transitions()

names = st.sampled_from(NAMES)
limits = st.sampled_from((None, 1, 30, 500))


def is_finished(job: Body) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(c["type"] in ("Complete", "Failed") for c in conditions)


def has_ended(status: dict[str, Any]) -> bool:
    return status.get("phase") in TERMINAL_PHASES


class Life(RuleBasedStateMachine):
    """One operator, two TrainingJobs."""

    replicas = 1

    @initialize(prepares=st.booleans())
    def begin(self, *, prepares: bool) -> None:
        self.mode_of_a = "Prepare" if prepares else "Train"
        self.cluster = Cluster()
        self.operators = [StepOperator(self.cluster) for _ in range(self.replicas)]
        self.ends: dict[str, dict[str, Any]] = {}
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
        """Delete a TrainingJob and make it again, before or after the garbage collector came."""
        self.cluster.remove(TRAINING_JOBS, NAMESPACE, name)
        if collected:
            self.cluster.collect()
        self.apply(name)

    @precondition(lambda self: self.replicas == 1)
    @rule(settles=st.booleans())
    def restore(self, *, settles: bool) -> None:
        """All TrainingJobs come back from a backup: what had ended has ended, and trains nothing."""
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

    @rule(number=st.integers(0, 5), end=st.sampled_from(ENDINGS))
    def finish_pod(self, number: int, end: tuple[int, str, str]) -> None:
        if live := self.live():
            code, message, reason = end
            self.cluster.finish_pod(live[number % len(live)], code, message, reason)

    @rule(number=st.integers(0, 5))
    def find_no_node(self, number: int) -> None:
        asking = [name for name in self.live() if name.startswith("b-") and not name.endswith("-cpu")]
        if asking:
            self.cluster.hold_pod(asking[number % len(asking)], NO_NODE)

    @rule(number=st.integers(0, 5), settles=st.booleans())
    def evict(self, number: int, *, settles: bool) -> None:
        """The kubelet evicts a pod that runs; the Job controller makes another one."""
        if live := self.live():
            self.cluster.start_pod(live[number % len(live)])
            if settles:
                self.operators[0].settle()
            self.cluster.evict_pod(live[number % len(live)])

    @rule(number=st.integers(0, 5), end=st.sampled_from(ENDINGS))
    def leave_sidecar(self, number: int, end: tuple[int, str, str]) -> None:
        if live := self.live():
            self.cluster.leave_sidecar(live[number % len(live)], *end[:2])

    @rule(number=st.integers(0, 5))
    def lose_node(self, number: int) -> None:
        if live := self.live():
            self.cluster.start_pod(live[number % len(live)])
            self.cluster.lose_node(live[number % len(live)])

    @rule(number=st.integers(0, 5), completes=st.booleans())
    def stopped_pod_ends(self, number: int, completes: bool) -> None:
        """SIGTERM ended it, or it was just done; whoever deletes its Job takes the pod."""
        if going := sorted(self.unfinished() - set(self.live())):
            code, message = (0, result_text()) if completes else (75, "")
            self.cluster.finish_pod(going[number % len(going)], code, message)

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

    @rule(seconds=st.sampled_from((31.0, 400.0)), number=st.integers(0, 5), end=st.sampled_from(ENDINGS))
    def attempt_ends(self, seconds: float, number: int, end: tuple[int, str, str]) -> None:
        """The usual course, so that later attempts are reached."""
        self.finish_pod(number, end)
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
    def bad_turn(self, which: int, name: str, at: int, after: bool, error: BaseException) -> None:
        lost_answer = isinstance(error, (Killed, UnavailableError))
        self.cluster.hook = FaultyWrite(at, after=after and lost_answer, error=error)
        self.operators[which % self.replicas].reconcile(name)
        self.cluster.hook = no_fault

    @rule(which=st.integers(0, 1))
    def restart(self, which: int) -> None:
        self.operators[which % self.replicas].restart()

    @rule(which=st.integers(0, 1))
    def resync(self, which: int) -> None:
        self.operators[which % self.replicas].resync()

    @rule(which=st.integers(0, 1), fails=st.sampled_from(tuple(WATCHED)), silent=st.booleans())
    def bad_resync(self, which: int, fails: Resource, silent: bool) -> None:
        """One list fails: by itself, or because nobody answers any more."""
        error = UnavailableError(0, "Timeout", "no answer") if silent else ForbiddenError(403, "Forbidden", "no RBAC")
        self.cluster.list_hook = FaultyList(fails, error)
        self.operators[which % self.replicas].resync()
        self.cluster.list_hook = no_list_fault

    @rule(which=st.integers(0, 1))
    def lose_events(self, which: int) -> None:
        """A watch breaks: what happened meanwhile is heard of at the next list."""
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

    # ---- what always holds -----------------------------------------------------------------------------------------

    def live(self) -> list[str]:
        return sorted(
            name
            for name, body in self.cluster.of(JOBS).items()
            if not is_finished(body) and "deletionTimestamp" not in body["metadata"]
        )

    def unfinished(self) -> set[str]:
        """Jobs whose pods may still run: deleted ones, too, until they are gone."""
        return {name for name, body in self.cluster.of(JOBS).items() if not is_finished(body)}

    def owner(self, job: str) -> str:
        uid: str = self.cluster.of(JOBS)[job]["metadata"]["ownerReferences"][0]["uid"]
        return uid

    @invariant()
    def one_live_job_each(self) -> None:
        owners = Counter(self.owner(name) for name in self.unfinished())
        assert all(count == 1 for count in owners.values()), self.unfinished()

    @invariant()
    def suspended_has_no_pods(self) -> None:
        if self.replicas == 1:
            owners = {self.owner(name) for name in self.unfinished()}
            for body in self.cluster.of(TRAINING_JOBS).values():
                assert body["status"].get("phase") != "Suspended" or body["metadata"]["uid"] not in owners

    @invariant()
    def failures_stay_within_what_is_allowed(self) -> None:
        for body in self.cluster.of(TRAINING_JOBS).values():
            attempts = body["status"].get("attempts") or []
            failed = [entry for entry in attempts if entry.get("reason") not in (None, "Suspended", "Completed")]
            assert len(failed) <= MAX_ATTEMPTS

    @invariant()
    def one_job_per_attempt(self) -> None:
        made = Counter((name, owner) for plural, name, owner in self.cluster.created if plural == "jobs")
        # A Job for a TrainingJob that is deleted, which the watch has not told yet, is the garbage collector's.
        present = {body["metadata"]["uid"] for body in self.cluster.of(TRAINING_JOBS).values()}
        again = {
            name: count
            for (name, owner), count in made.items()
            if owner in present and count > 1 + self.user_deleted[name]
        }
        if self.replicas == 1:
            assert not again
        for owner, count in Counter(owner for _, owner in made).items():
            fallback = 1
            assert count <= MAX_ATTEMPTS + self.suspended[owner] + fallback, made

    @invariant()
    def one_version_each(self) -> None:
        versions = Counter(body["spec"]["trainingJob"]["uid"] for body in self.cluster.of(MODEL_VERSIONS).values())
        assert all(count == 1 for count in versions.values())

    @invariant()
    def terminal_absorbs(self) -> None:
        for body in self.cluster.of(TRAINING_JOBS).values():
            uid, status = body["metadata"]["uid"], {**body["status"]}
            status.pop("observedGeneration")
            if uid in self.ends:
                assert status == self.ends[uid]
            elif status.get("phase") in TERMINAL_PHASES:
                self.ends[uid] = status
                if status["phase"] == "Succeeded" and body["spec"].get("mode") == "Prepare":
                    assert "modelVersion" not in status
                    assert status["result"]["artifact"]["uri"] == "s3://models/team/job/datasets/u/1"
                elif status["phase"] == "Succeeded":
                    assert status["modelVersion"]["name"] in self.cluster.of(MODEL_VERSIONS)

    @invariant()
    def what_had_ended_before_a_restore_trains_nothing(self) -> None:
        assert not {owner for plural, _, owner in self.cluster.created if plural == "jobs"} & self.restored.keys()
        for body in self.cluster.of(TRAINING_JOBS).values():
            if body["metadata"]["uid"] in self.restored and has_ended(body["status"]):
                before = self.restored[body["metadata"]["uid"]]
                for field in ("phase", "modelVersion", "verdict", "completionTime"):
                    assert body["status"].get(field) == before.get(field)

    def teardown(self) -> None:
        if hasattr(self, "cluster"):
            self.converge()

    def converge(self) -> None:
        """From here on nothing goes wrong and nobody waits: everything must end, and then be silent."""
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
        self.terminal_absorbs()
        told = {(before, after) for resource, before, after in self.cluster.phases if resource == TRAINING_JOBS}
        assert told <= DOCUMENTED, "docs/trainingjob.md does not know this change of phase"


class TwoReplicas(Life):
    """Two operators at once, as during a rollout that went wrong: wasteful, and harmless."""

    replicas = 2


def test_a_turn_that_fails_says_so() -> None:
    cluster = Cluster()
    operator = StepOperator(cluster)
    cluster.submit("a", SPEC)
    operator.deliver_all()
    cluster.hook = FaultyWrite(1, after=False, error=FAULTS[1])
    assert isinstance(operator.reconcile("a"), ApiError)


TestLife = Life.TestCase
TestLife.settings = machine_settings(250)
TestTwoReplicas = TwoReplicas.TestCase
TestTwoReplicas.settings = machine_settings(80)
