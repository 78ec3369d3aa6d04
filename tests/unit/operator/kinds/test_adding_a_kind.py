"""The worked example for CONTRIBUTING: a new kind, added in the steps that CONTRIBUTING lists.

An Echo runs one pod that says a word, and stores the word in its status. Only this file knows the kind.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import pytest

from tests.unit.operator import api_server
from tests.unit.operator.api_server import NAMESPACE, START
from tests.unit.operator.bodies import pod_of
from tests.unit.operator.cluster import Cluster
from tests.unit.operator.operators import run
from tests.unit.operator.samples import CA, CONFIG, result_text
from trainyard_api import API_VERSION, GROUP, VERSION, meta
from trainyard_api.batch import BatchSpec, BatchStatus
from trainyard_api.kinds import KindDefinition
from trainyard_api.wire import TrainingResult
from trainyard_operator.core.batch import completion, outcome
from trainyard_operator.core.batch.kind import News
from trainyard_operator.core.batch.planner import BatchPlanner
from trainyard_operator.core.batch.state import BatchState
from trainyard_operator.core.batch.workload import JOB, Launch, Workload
from trainyard_operator.core.config import Admission
from trainyard_operator.core.facts import Need
from trainyard_operator.core.naming import attempt_job_name
from trainyard_operator.core.objects import BatchView, PodView, WorkloadView
from trainyard_operator.core.plan import Body, Plan
from trainyard_operator.core.saved import Saves, dumped
from trainyard_operator.core.times import to_rfc3339
from trainyard_operator.kinds.base import BatchWatchedKind, Key, Kinds
from trainyard_operator.kinds.children import CHILDREN
from trainyard_operator.kinds.model_deployment import MODEL_DEPLOYMENT
from trainyard_operator.kinds.model_version import MODEL_VERSION
from trainyard_operator.kube import views
from trainyard_operator.kube.port import JOBS, PODS, Resource
from trainyard_operator.runtime.admission import AdmissionControl
from trainyard_operator.runtime.controller import Facts, Parts
from trainyard_operator.runtime.controllers.batch import BatchController
from trainyard_operator.runtime.directory import Directory
from trainyard_operator.runtime.reconciler import Reconciler
from trainyard_operator.runtime.reports import Reports
from trainyard_operator.runtime.resync import resync
from trainyard_operator.runtime.retention import Retention
from trainyard_operator.runtime.store import Store

ECHOES: Final = Resource(GROUP, VERSION, "echoes")

# ---- 1. API ----------------------------------------------------------------------------------------------------------


class EchoSpec(BatchSpec):
    """What to say."""

    word: str
    """The word."""


class EchoStatus(BatchStatus):
    """What was said."""

    said: str | None = None
    """The word, after it was said."""


API_KIND: Final = KindDefinition(
    kind="Echo",
    plural="echoes",
    short="eo",
    description="One pod that says a word.",
    spec=EchoSpec,
    status=EchoStatus,
    first_status={"phase": "Pending"},
    columns=(),
)


@pytest.fixture(autouse=True)
def known_to_the_api_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the kind at the in-memory API server."""
    monkeypatch.setitem(api_server.OURS, ECHOES, API_KIND)
    monkeypatch.setitem(api_server.WATCHED, ECHOES, ECHO.name)


# ---- 2. decisions ----------------------------------------------------------------------------------------------------


class EchoView(BatchView[EchoStatus]):
    """An Echo."""


class Echoing:
    """What differs for an Echo from the common life cycle of batch kinds."""

    workload: Final[Workload] = JOB

    def spec_of(self, state: BatchState) -> EchoSpec:
        return EchoSpec.model_validate(state.job.spec)

    def is_done_already(self, state: BatchState, spec: EchoSpec) -> Plan | None:  # noqa: ARG002
        return None

    def check(self, state: BatchState, spec: EchoSpec) -> None:
        pass

    def missing(self, state: BatchState, spec: EchoSpec) -> None:
        pass

    def launch(self, state: BatchState, spec: EchoSpec, attempt: int) -> Launch:
        job = state.job
        labels = {meta.MANAGED_BY_LABEL: meta.MANAGED_BY}
        owner = {"apiVersion": API_VERSION, "kind": "Echo", "name": job.name, "uid": job.uid, "controller": True}
        container = {"name": meta.CONTAINER, "image": "echo:1", "args": [spec.word]}
        return Launch(
            name=attempt_job_name(job, attempt),
            namespace=job.namespace,
            owner=owner,
            labels=labels,
            annotations={},
            template={"metadata": {"labels": labels}, "spec": {"containers": [container], "restartPolicy": "Never"}},
            containers=(meta.CONTAINER,),
        )

    def describe(self, workload: WorkloadView) -> dict[str, Any]:  # noqa: ARG002
        return {}

    def start_hint(self, spec: EchoSpec) -> str:  # noqa: ARG002
        return ""

    def complete(self, state: BatchState, spec: EchoSpec, workload: WorkloadView, pods: tuple[PodView, ...]) -> Plan:
        result = outcome.success_of(workload, pods)
        if not isinstance(result, TrainingResult):
            return completion.after_failure(state, spec, workload.attempt, workload, result)
        return completion.succeeded(state, spec, workload, result, f"said {spec.word}", {"said": spec.word})

    def follow(self, state: BatchState) -> Need | News | None:  # noqa: ARG002
        return None


# ---- 3. description --------------------------------------------------------------------------------------------------


def read_echo(body: Body) -> EchoView:
    return EchoView(**views._object(body), **views._status(body, EchoStatus))


ECHO: Final[BatchWatchedKind[EchoView]] = BatchWatchedKind(
    name="Echo",
    resource=ECHOES,
    read=read_echo,
    owns=JOB.kinds,
    workload=JOB,
    saves=Saves(lambda status: dumped(status, ("phase", "said")) if status.phase == "Succeeded" else {}),
)

# ---- 4. runtime ------------------------------------------------------------------------------------------------------


class EchoController(BatchController[EchoView, BatchState]):
    """Plan for Echoes."""

    def plan(self, state: BatchState) -> Plan:
        return BatchPlanner(Echoing()).plan(state)

    def observe(self, key: Key, job: EchoView, facts: Facts) -> BatchState:
        return BatchState(**self.common(key, job, facts))


KINDS: Final = Kinds(ECHO, *CHILDREN)


@dataclass
class World:
    """An in-memory cluster, and an operator that plans only for Echoes."""

    cluster: Cluster
    reconciler: Reconciler
    store: Store
    due: set[Key]

    def settle(self) -> None:
        run(resync(self.cluster, self.store, ()))
        for _ in range(20):
            if not self.due:
                return
            key = self.due.pop()
            if run(self.reconciler.reconcile(key)).again:
                self.due.add(key)
        raise AssertionError("the operator does not come to rest")

    def status(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.cluster.of(ECHOES)[name].get("status") or {}
        return found

    def say(self, name: str, word: str, **spec: Any) -> None:
        body = {"apiVersion": API_VERSION, "kind": "Echo", "metadata": {"name": name}, "spec": {"word": word, **spec}}
        self.cluster.add(ECHOES, NAMESPACE, body)

    def end(self, job: str, code: int, message: str) -> None:
        """Terminate the pod of a Job, and complete or fail the Job."""
        pod = pod_of(self.cluster.of(JOBS)[job], f"{job}-pod")
        ended = {"exitCode": code, "message": message, "finishedAt": to_rfc3339(self.cluster.now)}
        states = [{"name": meta.CONTAINER, "state": {"terminated": ended}}]
        pod["status"] = {"phase": "Failed" if code else "Succeeded", "containerStatuses": states}
        self.cluster.add(PODS, NAMESPACE, pod)
        kind = {"type": "Failed" if code else "Complete", "status": "True", "reason": "x"}
        kind["lastTransitionTime"] = to_rfc3339(self.cluster.now)
        self.cluster.change(JOBS, NAMESPACE, job, status={"conditions": [kind]})


def new_world(**limits: Any) -> World:
    cluster, due = Cluster(), set[Key]()
    config = CONFIG.model_copy(update={"admission": Admission(**limits)})
    admission = AdmissionControl(KINDS, config.admission, due.add)
    store = Store(KINDS, admission.changed, wake=due.add)
    parts = Parts(store, admission, Reports(due.add), config, CA, lambda: cluster.now)
    controllers = {ECHO.name: EchoController(ECHO, parts)}
    reconciler = Reconciler(cluster, store, controllers, instance="test", clock=lambda: cluster.now)
    return World(cluster, reconciler, store, due)


def test_an_echo_runs_and_succeeds() -> None:
    world = new_world()
    world.say("hello", "hi")
    world.settle()
    assert world.status("hello")["phase"] == "Starting"
    assert world.cluster.of(JOBS)["hello-1"]["metadata"]["ownerReferences"][0]["kind"] == "Echo"
    world.end("hello-1", 0, result_text())
    world.settle()
    assert (world.status("hello")["phase"], world.status("hello")["said"]) == ("Succeeded", "hi")


def test_an_echo_is_retried() -> None:
    world = new_world()
    world.say("hello", "hi", retry={"maxAttempts": 2, "initialSeconds": 0})
    world.settle()
    world.end("hello-1", 1, "no voice")
    world.settle()
    assert world.status("hello")["attempts"][0]["exitCode"] == 1
    world.settle()
    assert "hello-2" in world.cluster.of(JOBS)


def test_an_echo_waits_in_the_queue_and_is_cancelled() -> None:
    world = new_world(max_concurrent_jobs=1)
    world.say("first", "a")
    world.settle()
    world.say("second", "b")
    world.settle()
    assert [world.status(name)["phase"] for name in ("first", "second")] == ["Starting", "Queued"]
    world.cluster.change(ECHOES, NAMESPACE, "second", spec={"word": "b", "cancel": True})
    world.settle()
    assert world.status("second")["phase"] == "Cancelled"


def test_a_restored_echo_keeps_its_status() -> None:
    world = new_world()
    world.say("hello", "hi")
    world.settle()
    world.end("hello-1", 0, result_text())
    world.settle()
    old = world.cluster.of(ECHOES)["hello"]
    world.cluster.remove(ECHOES, NAMESPACE, "hello")
    world.cluster.add(ECHOES, NAMESPACE, {**old, "metadata": {**old["metadata"], "uid": "uid-new"}, "status": {}})
    world.settle()
    assert world.status("hello")["said"] == "hi"
    assert world.cluster.now == START, "nothing ran again"


def test_its_pods_can_report_progress() -> None:
    world = new_world()
    world.say("hello", "hi")
    world.settle()
    uid = world.cluster.of(JOBS)["hello-1"]["metadata"]["uid"]
    found = Directory(world.store).find("echoes", NAMESPACE, "hello")
    assert found is not None
    assert (found.kind, found.current_attempt, dict(found.attempt_job_uids)) == ("Echo", 1, {uid: 1})
    assert Directory(world.store).find("trainingjobs", NAMESPACE, "hello") is None


def test_it_is_deleted_when_its_time_has_passed() -> None:
    world = new_world()
    world.say("hello", "hi", deleteSecondsAfterFinished=60)
    world.settle()
    world.end("hello-1", 0, result_text())
    world.settle()
    store = Store(Kinds(*KINDS.values(), MODEL_VERSION, MODEL_DEPLOYMENT))
    run(resync(world.cluster, store, ()))
    cluster = world.cluster
    retention = Retention(cluster, store, CONFIG, may=lambda _: True, instance="test", clock=lambda: cluster.now)
    assert run(retention.sweep()) == 0
    cluster.now += timedelta(seconds=61)
    assert run(retention.sweep()) == 1
    assert "deletionTimestamp" in cluster.of(ECHOES)["hello"]["metadata"]
