"""Random histories of a schedule: each nominal time, each token and each change starts at most one run.

A hypothesis state machine moves the clock (also backwards), users, the runs and the operator. The operator is killed
between any two writes, loses responses, and reads its watches late and in any order.
"""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.unit.operator.api_server import NAMESPACE, no_fault
from tests.unit.operator.machines import FAULTS, machine_settings
from tests.unit.operator.operators import FaultyWrite, Killed
from tests.unit.operator.schedules import NAME, TEMPLATE, World
from trainyard_api.meta import RUN_NOW_ANNOTATION
from trainyard_operator.core.schedule.cron import next_after, parse
from trainyard_operator.core.times import to_rfc3339
from trainyard_operator.kube.errors import ApiError, UnavailableError
from trainyard_operator.kube.port import TRAINING_JOBS, TRAINING_SCHEDULES, Resource

SCHEDULES = ("* * * * *", "*/5 * * * *", "0 * * * *", "30 2 * * *", "0 0 31 2 *")
ZONES = ("UTC", "Europe/Paris", "Australia/Lord_Howe")
PHASES = ("Succeeded", "Failed", "Cancelled")

numbers = st.integers(0, 5)


class ScheduleMachine(RuleBasedStateMachine):
    """One schedule under one concurrency policy."""

    policy: ClassVar[str] = "Allow"

    @initialize(run_on_change=st.booleans(), failures=st.sampled_from((None, 2)), rejections=st.booleans())
    def begin(self, *, run_on_change: bool, failures: int | None, rejections: bool) -> None:
        spec: dict[str, Any] = {"concurrencyPolicy": self.policy, "runOnChange": run_on_change}
        if failures is not None:
            spec["countRejections"] = rejections
        self.world = World(schedule="* * * * *", stopAfterFailures=failures, **spec)
        self.cluster, self.operator = self.world.cluster, self.world.operator
        self.cluster.hook = self.watch
        self.fault: FaultyWrite | None = None
        self.user_deleted: Counter[str] = Counter()
        self.ended_while_replaced: set[str] = set()
        """Runs that ended while they were being deleted, because a newer one replaces them."""
        self.tokens: set[str] = set()
        self.versions = 0
        self.last_verdict = self.cluster.now
        self.templates = 1
        self.clock_runs: dict[datetime, set[str]] = {}

    def watch(self, verb: str, resource: Resource, after: bool) -> None:
        """Check each creation when it happens, before a fault may follow."""
        if after and verb == "create" and resource == TRAINING_JOBS:
            name = self.world.created()[-1]
            if self.policy != "Allow":
                assert len(self.world.unfinished()) == 1, self.world.unfinished()
            if name.removeprefix(f"{NAME}-").isdecimal():
                assert int(name.rpartition("-")[2]) * 60 <= self.cluster.now.timestamp()
                self.clock_runs.setdefault(self.cluster.now, set()).add(name)
        if self.fault is not None:
            self.fault(verb, resource, after)

    # ---- users -----------------------------------------------------------------------------------------------------

    @rule(schedule=st.sampled_from(SCHEDULES), zone=st.sampled_from(ZONES))
    def edit_schedule(self, schedule: str, zone: str) -> None:
        self.world.edit(schedule=schedule, timeZone=zone)

    @rule(suspend=st.booleans(), deadline=st.sampled_from((None, 0, 30, 1000)))
    def edit(self, *, suspend: bool, deadline: int | None) -> None:
        self.world.edit(suspend=suspend, startingDeadlineSeconds=deadline)

    @rule(good=st.integers(0, 2), bad=st.integers(0, 1), run_on_change=st.booleans())
    def edit_history(self, good: int, bad: int, *, run_on_change: bool) -> None:
        limits = {"successfulJobsHistoryLimit": good, "failedJobsHistoryLimit": bad}
        self.world.edit(runOnChange=run_on_change, **limits)

    @rule(leaves=st.integers(2, 4))
    def edit_template(self, leaves: int) -> None:
        self.templates += 1
        self.world.edit(template={"spec": {**TEMPLATE["spec"], "parameters": {"num_leaves": leaves}}})

    @rule()
    def run_now(self) -> None:
        self.tokens.add(token := f"token-{len(self.tokens)}")
        self.world.annotate(token)

    @rule(number=numbers)
    def delete_run(self, number: int) -> None:
        if jobs := sorted(self.world.jobs):
            self.user_deleted[jobs[number % len(jobs)]] += 1
            self.cluster.remove(TRAINING_JOBS, NAMESPACE, jobs[number % len(jobs)])

    # ---- the rest of the cluster -----------------------------------------------------------------------------------

    @rule(number=numbers, phase=st.sampled_from(PHASES))
    def end_run(self, number: int, phase: str) -> None:
        if runs := self.world.unfinished():
            self.world.end(runs[number % len(runs)], phase)

    @rule(number=numbers)
    def end_with_version(self, number: int) -> None:
        if runs := self.world.unfinished():
            self.versions += 1
            run = runs[number % len(runs)]
            if "deletionTimestamp" in self.world.jobs[run]["metadata"]:
                self.ended_while_replaced.add(run)
            self.world.end_with_version(run, self.versions)

    @rule(number=numbers, phase=st.sampled_from(("Validated", "Rejected", "Rejected", "Unknown")))
    def judge(self, number: int, phase: str) -> None:
        """Judge at a distinct time, so that the order of verdicts is known."""
        if runs := self.awaiting():
            self.cluster.now = max(self.cluster.now, self.last_verdict) + timedelta(seconds=1)
            self.last_verdict = self.cluster.now
            self.world.judge(runs[number % len(runs)], phase)

    def awaiting(self) -> list[str]:
        return sorted(
            name
            for name, body in self.world.jobs.items()
            if body["status"].get("verdict", {}).get("phase") == "Pending"
        )

    @rule()
    def reject_a_version(self) -> None:
        """A run makes a version that is rejected: it is counted exactly once."""
        self.operator.settle()
        if not (runs := self.world.unfinished()):
            return
        self.end_with_version(0)
        self.operator.settle()
        before = self.world.status.get("consecutiveRejections", 0)
        listed = {run["name"] for run in self.world.status.get("awaitingVerdict", [])}
        assert runs[0] in listed or len(listed) == 32
        self.cluster.now = max(self.cluster.now, self.last_verdict) + timedelta(seconds=1)
        self.last_verdict = self.cluster.now
        self.world.judge(runs[0], "Rejected")
        self.operator.settle()
        self.operator.restart()
        self.operator.settle()
        assert self.world.status["consecutiveRejections"] == before + 1

    @rule()
    def collect(self) -> None:
        self.cluster.collect()

    @rule(seconds=st.sampled_from((1, 20, 60, 61, 400, 3600, 90_000, -50, -4000)))
    def tick(self, seconds: int) -> None:
        self.cluster.tick(seconds)

    # ---- the operator ----------------------------------------------------------------------------------------------

    @rule(kind=st.sampled_from(("TrainingJob", "TrainingSchedule")), count=st.integers(1, 4))
    def deliver(self, kind: Any, count: int) -> None:
        self.operator.deliver(kind, count)

    @rule()
    def reconcile(self) -> None:
        self.operator.reconcile()

    @rule()
    def keep_up(self) -> None:
        self.operator.settle()

    @rule(seconds=st.sampled_from((60, 3600)), phase=st.sampled_from(PHASES))
    def finish_runs(self, seconds: int, phase: str) -> None:
        """Complete all runs and let time pass, so that later runs are reached."""
        self.operator.settle()
        self.world.end_all(phase)
        self.cluster.collect()
        self.cluster.tick(seconds)
        self.operator.settle()

    @rule(at=st.integers(1, 4), after=st.booleans(), error=st.sampled_from(FAULTS))
    def reconcile_with_fault(self, at: int, error: BaseException, *, after: bool) -> None:
        lost_response = isinstance(error, (Killed, UnavailableError))
        self.fault = FaultyWrite(at, after=after and lost_response, error=error)
        self.operator.reconcile()
        self.fault = None

    @rule()
    def restart(self) -> None:
        self.operator.restart()

    @rule()
    def restore(self) -> None:
        """Restore the schedule from a backup, without its status and without its runs."""
        self.operator.settle()
        created = self.world.created()
        self.cluster.restore(TRAINING_SCHEDULES)
        if not self._has_pending_request():
            self.operator.settle()
            assert self.world.created() == created, "a restore starts no run"

    def _has_pending_request(self) -> bool:
        """Return whether a run may be due for another reason than the clock: a request or a change of the template."""
        spec, annotations = self.world.body["spec"], self.world.body["metadata"].get("annotations") or {}
        return bool(spec.get("runOnChange")) or RUN_NOW_ANNOTATION in annotations

    # ---- invariants ------------------------------------------------------------------------------------------------

    @invariant()
    def every_run_once(self) -> None:
        again = {
            name: count for name, count in Counter(self.world.created()).items() if count > 1 + self.user_deleted[name]
        }
        assert not again

    @invariant()
    def one_catch_up(self) -> None:
        """One run, whatever its name. ``every_run_once`` checks that only a deletion by a user repeats a run."""
        assert all(len(names) == 1 for names in self.clock_runs.values()), self.clock_runs

    @invariant()
    def no_more_runs_than_requests(self) -> None:
        names = {name.removeprefix(f"{NAME}-") for name in self.world.created()}
        assert sum(name.startswith("r") for name in names) <= len(self.tokens)
        assert sum(name.startswith("c") for name in names) <= self.templates

    @invariant()
    def runs_are_kept_until_their_verdict(self) -> None:
        """Only a user removes a run that has ended and whose version is not judged yet."""
        gone = [
            run["name"] for run in self.world.status.get("awaitingVerdict", []) if run["name"] not in self.world.jobs
        ]
        assert all(self.user_deleted[name] or name in self.ended_while_replaced for name in gone), gone

    @invariant()
    def a_suspended_schedule_shows_no_next_time(self) -> None:
        status = self.world.status
        assert (status.get("phase"), "nextScheduleTime" in status) != ("Suspended", True)
        assert not {"nextScheduleTime", "heldScheduleTime"} <= status.keys()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.cluster.hook = no_fault
            self.converge()

    def converge(self) -> None:
        """Nothing fails any more: due runs start, the next time is kept, and then nothing is written."""
        self.world.edit(schedule="*/5 * * * *", timeZone="UTC", suspend=False, startingDeadlineSeconds=None)
        self.world.annotate("last")
        for name in self.awaiting():
            self.world.judge(name, "Validated")
        for _ in range(6):
            self.operator.settle()
            self.world.end_all("Succeeded")
            self.cluster.collect()
            self.operator.settle()
        assert self.world.status["lastHandledRunNow"] == "last"
        assert self.world.status["phase"] == "Active"
        known = [self.world.status.get("lastScheduleTime"), self.world.body["metadata"]["creationTimestamp"]]
        floor = max(self.cluster.now, *(datetime.fromisoformat(text) for text in known if text))
        following = next_after(parse("*/5 * * * *"), floor)
        assert following is not None
        assert self.world.status["nextScheduleTime"] == to_rfc3339(following)
        self.world.go_to(self.world.status["nextScheduleTime"].removesuffix("Z"))
        assert self.world.status["lastScheduleTime"] == to_rfc3339(self.cluster.now)
        self.world.end_all("Succeeded")
        self.cluster.collect()
        self.operator.settle()
        writes = len(self.cluster.writes)
        self.operator.restart()
        self.operator.settle()
        assert self.cluster.writes[writes:] == []


class Forbid(ScheduleMachine):
    """At most one run at a time: a due run waits."""

    policy = "Forbid"


class Replace(ScheduleMachine):
    """At most one run at a time: the active run is deleted."""

    policy = "Replace"


def test_a_failed_reconcile_returns_its_error() -> None:
    world = World()
    world.cluster.hook = FaultyWrite(1, after=False, error=FAULTS[1])
    world.cluster.tick(3600)
    assert isinstance(world.operator.reconcile(), ApiError)


TestScheduleMachine = ScheduleMachine.TestCase
TestScheduleMachine.settings = machine_settings(60)
TestForbid = Forbid.TestCase
TestForbid.settings = machine_settings(60)
TestReplace = Replace.TestCase
TestReplace.settings = machine_settings(60)
