"""TrainingSchedules for tests: an operator that plans only for them, on the in-memory cluster."""

from datetime import UTC, datetime
from typing import Any

from tests.unit.operator.api_server import NAMESPACE, WATCHED
from tests.unit.operator.cluster import Cluster
from tests.unit.operator.operators import Killed, StepOperator, run
from tests.unit.operator.samples import SPEC
from trainyard_api import API_VERSION, meta
from trainyard_operator.core.plan import Body, Kind
from trainyard_operator.core.times import to_rfc3339
from trainyard_operator.kinds.base import Key
from trainyard_operator.kube.errors import ApiError
from trainyard_operator.kube.port import TRAINING_JOBS, TRAINING_SCHEDULES
from trainyard_operator.runtime.controllers.training_schedule import TrainingScheduleController
from trainyard_operator.runtime.reconciler import Outcome, Reconciler
from trainyard_operator.runtime.registry import KINDS
from trainyard_operator.runtime.resync import resync
from trainyard_operator.runtime.store import Store

NAME = "nightly"
TEMPLATE: dict[str, Any] = {"spec": {**SPEC, "parameters": {"num_leaves": 31}}}


class ScheduleOperator(StepOperator):
    """One process that plans for TrainingSchedules. The test decides what happens to the TrainingJobs."""

    def restart(self) -> None:
        clock = lambda: self.cluster.now  # noqa: E731
        self.store = Store(KINDS)
        schedules = TrainingScheduleController(self.store, clock=clock)
        self.reconciler = Reconciler(
            self.cluster, self.store, {schedules.kind: schedules}, instance="test", clock=clock
        )
        run(resync(self.cluster, self.store, ()))
        self.read: dict[Kind, int] = dict.fromkeys(WATCHED.values(), len(self.cluster.log))

    def reconcile(self, name: str = NAME) -> Outcome | ApiError:
        try:
            return run(self.reconciler.reconcile(Key(NAMESPACE, name, "TrainingSchedule")))
        except ApiError as error:
            return error
        except Killed:
            self.restart()
            return Outcome(again=True)

    def settle(self) -> None:
        """Reconcile until nothing is due now, as the queue does."""
        for _ in range(50):
            self.deliver_all()
            outcome = self.reconcile()
            busy = isinstance(outcome, ApiError) or outcome.again
            if not busy and all(self.read[kind] == len(self.cluster.log) for kind in WATCHED.values()):
                return
        raise AssertionError("the operator did not come to rest in 50 turns")


class World:
    """A cluster with one schedule and its operator, and what a user and the TrainingJobs do."""

    def __init__(self, now: str = "2026-11-21T08:00:30", **spec: Any) -> None:
        self.cluster = Cluster(now=at(now))
        self.operator = ScheduleOperator(self.cluster)
        body = {"schedule": "0 * * * *", "template": TEMPLATE, **spec}
        self.submit({key: value for key, value in body.items() if value is not None})
        self.operator.settle()

    def submit(self, spec: dict[str, Any]) -> None:
        metadata = {"name": NAME}
        self.cluster.add(
            TRAINING_SCHEDULES,
            NAMESPACE,
            {"apiVersion": API_VERSION, "kind": "TrainingSchedule", "metadata": metadata, "spec": defaulted(spec)},
        )

    # ---- state -------------------------------------------------------------------------------------------------------

    @property
    def body(self) -> Body:
        return self.cluster.of(TRAINING_SCHEDULES)[NAME]

    @property
    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.body["status"]
        return status

    def condition(self, kind: str = "Ready") -> dict[str, Any]:
        found: dict[str, Any] = next(c for c in self.status["conditions"] if c["type"] == kind)
        return found

    @property
    def jobs(self) -> dict[str, Body]:
        return self.cluster.of(TRAINING_JOBS)

    def times(self) -> list[str]:
        """Return the nominal times (hour and minute) of the existing TrainingJobs, "" for a job without one."""
        annotations = [body["metadata"].get("annotations") or {} for _, body in sorted(self.jobs.items())]
        return [each.get(meta.SCHEDULED_FOR_ANNOTATION, "")[11:16] for each in annotations]

    def created(self) -> list[str]:
        """Return every TrainingJob that was ever created."""
        return [name for plural, name, _ in self.cluster.created if plural == TRAINING_JOBS.plural]

    def unfinished(self) -> list[str]:
        return sorted(name for name, body in self.jobs.items() if "completionTime" not in body["status"])

    # ---- changes -----------------------------------------------------------------------------------------------------

    def edit(self, **fields: Any) -> None:
        """Change fields of the spec; ``None`` removes one."""
        spec = {key: value for key, value in {**self.body["spec"], **fields}.items() if value is not None}
        self.cluster.change(TRAINING_SCHEDULES, NAMESPACE, NAME, spec=spec)

    def annotate(self, token: str) -> None:
        annotations = {**(self.body["metadata"].get("annotations") or {}), meta.RUN_NOW_ANNOTATION: token}
        metadata = {**self.body["metadata"], "annotations": annotations}
        self.cluster.change(TRAINING_SCHEDULES, NAMESPACE, NAME, metadata=metadata)

    def end(self, name: str, phase: str = "Succeeded") -> None:
        """Set a TrainingJob to completed."""
        status = {"observedGeneration": 1, "phase": phase, "completionTime": to_rfc3339(self.cluster.now)}
        self.cluster.change(TRAINING_JOBS, NAMESPACE, name, status=status)

    def end_with_version(self, name: str, version: int) -> None:
        """Complete a TrainingJob with a version that is not judged yet."""
        self.end(name)
        made = {"modelVersion": {"name": f"{NAME}-v{version}", "version": version}}
        status = {**self.jobs[name]["status"], **made, "verdict": {"phase": "Pending", "reason": "Pending"}}
        self.cluster.change(TRAINING_JOBS, NAMESPACE, name, status=status)

    def judge(self, name: str, phase: str) -> None:
        """Set the verdict on the version of a run."""
        time = to_rfc3339(self.cluster.now)
        verdict = {"phase": phase, "reason": "Judged", "message": f"its gates said {phase}", "time": time}
        status = {**self.jobs[name]["status"], "verdict": verdict}
        self.cluster.change(TRAINING_JOBS, NAMESPACE, name, status=status)

    def end_all(self, phase: str = "Succeeded") -> None:
        for name in self.unfinished():
            self.end(name, phase)
        self.operator.settle()

    def go_to(self, moment: str) -> None:
        """Advance the clock to a time of day, and let the operator reconcile."""
        self.cluster.now = at(moment if "T" in moment else f"{self.cluster.now:%Y-%m-%d}T{moment}")
        self.operator.settle()
        self.cluster.collect()
        self.operator.settle()


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def defaulted(spec: dict[str, Any]) -> dict[str, Any]:
    """Return a spec as the API server's defaults complete it."""
    defaults = {"concurrencyPolicy": "Allow", "suspend": False, "runOnChange": False}
    limits = {"successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1}
    return {**defaults, **limits, **spec}


def changed(**parameters: Any) -> dict[str, Any]:
    """Return the template with other parameters."""
    return {"spec": {**TEMPLATE["spec"], "parameters": parameters}}
