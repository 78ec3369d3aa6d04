"""PredictionJobs from creation to the end, on the cluster in memory: the version, retries, the queue and a restore."""

from typing import Any

import pytest

from tests.unit.operator.api_server import NAMESPACE
from tests.unit.operator.bodies import pod_of
from tests.unit.operator.cluster import Cluster
from tests.unit.operator.core import versions
from tests.unit.operator.operators import FaultyWrite, Killed, run
from tests.unit.operator.samples import CA, CONFIG
from trainyard_api import API_VERSION, meta
from trainyard_api.wire import TrainingResult
from trainyard_operator.core.config import Admission
from trainyard_operator.core.plan import Body
from trainyard_operator.core.times import to_rfc3339
from trainyard_operator.kinds.base import Key
from trainyard_operator.kube.port import JOBS, MODEL_DEPLOYMENTS, MODEL_VERSIONS, PODS, PREDICTION_JOBS
from trainyard_operator.runtime.admission import AdmissionControl
from trainyard_operator.runtime.controller import Parts
from trainyard_operator.runtime.controllers.prediction_job import PredictionJobController
from trainyard_operator.runtime.reconciler import Reconciler
from trainyard_operator.runtime.registry import KINDS
from trainyard_operator.runtime.reports import Reports
from trainyard_operator.runtime.resync import resync
from trainyard_operator.runtime.store import Store

MODEL = "m"
RESULT: Body = {"rows": 28, "series": 1, "asOf": "2026-11-20T00:00:00Z", "output": "s3://forecasts/m"}


class World:
    """A cluster in memory, and an operator that plans for PredictionJobs."""

    def __init__(self, **limits: Any) -> None:
        self.cluster = Cluster()
        self.limits = limits
        self.restart()

    def restart(self) -> None:
        """Start a new process with an empty memory."""
        limits, self.due = self.limits, set[Key]()
        config = CONFIG.model_copy(update={"admission": Admission(**limits)})
        admission = AdmissionControl(KINDS, config.admission, self.due.add)
        self.store = Store(KINDS, admission.changed, wake=self.due.add)
        parts = Parts(self.store, admission, Reports(self.due.add), config, CA, lambda: self.cluster.now)
        controller = PredictionJobController(parts)
        self.reconciler = Reconciler(
            self.cluster, self.store, {controller.kind: controller}, instance="test", clock=lambda: self.cluster.now
        )

    def settle(self) -> None:
        run(resync(self.cluster, self.store, ()))
        for _ in range(40):
            keys = {key for key in self.due if key.kind == "PredictionJob"}
            if not keys:
                self.due.clear()
                return
            key = min(keys)
            self.due.discard(key)
            try:
                if run(self.reconciler.reconcile(key)).again:
                    self.due.add(key)
            except Killed:
                self.restart()
                run(resync(self.cluster, self.store, ()))
        raise AssertionError("the operator does not come to rest")

    def later(self, seconds: float) -> None:
        self.cluster.tick(seconds)
        self.due.update(Key(NAMESPACE, name, "PredictionJob") for name in self.cluster.of(PREDICTION_JOBS))
        self.settle()

    def publish(self, number: int, phase: str = "Validated") -> None:
        spec = versions.spec(number, "1.5")
        metadata = {"name": f"{MODEL}-v{number}"}
        body = {"apiVersion": API_VERSION, "kind": "ModelVersion", "metadata": metadata, "spec": spec}
        self.cluster.add(MODEL_VERSIONS, NAMESPACE, body)
        status = {"observedGeneration": 1, "phase": phase}
        self.cluster.change(MODEL_VERSIONS, NAMESPACE, f"{MODEL}-v{number}", status=status)

    def activate(self, number: int) -> None:
        if "shop" not in self.cluster.of(MODEL_DEPLOYMENTS):
            body = {"apiVersion": API_VERSION, "kind": "ModelDeployment", "metadata": {"name": "shop"}}
            self.cluster.add(MODEL_DEPLOYMENTS, NAMESPACE, {**body, "spec": {"modelName": MODEL}})
        status = {"observedGeneration": 1, "phase": "Serving", "activeVersion": number}
        self.cluster.change(MODEL_DEPLOYMENTS, NAMESPACE, "shop", status=status)

    def predict(self, name: str = "nightly", model: Body | None = None, **spec: Any) -> None:
        whole = {
            "model": model or {"deployment": "shop"},
            "data": {"uri": "s3://sales/daily.csv"},
            "output": {"files": {"uri": "s3://forecasts"}},
            **spec,
        }
        body = {"apiVersion": API_VERSION, "kind": "PredictionJob", "metadata": {"name": name}, "spec": whole}
        self.cluster.add(PREDICTION_JOBS, NAMESPACE, body)

    def end(self, job: str, code: int, message: str) -> None:
        """Let the pod of a Job end, and the Job with it."""
        pod = pod_of(self.cluster.of(JOBS)[job], f"{job}-pod")
        ended = {"exitCode": code, "message": message, "finishedAt": to_rfc3339(self.cluster.now)}
        states = [{"name": meta.CONTAINER, "state": {"terminated": ended}}]
        pod["status"] = {"phase": "Failed" if code else "Succeeded", "containerStatuses": states}
        self.cluster.add(PODS, NAMESPACE, pod)
        kind = {"type": "Failed" if code else "Complete", "status": "True", "reason": "x"}
        kind["lastTransitionTime"] = to_rfc3339(self.cluster.now)
        self.cluster.change(JOBS, NAMESPACE, job, status={"conditions": [kind]})

    def status(self, name: str = "nightly") -> Body:
        found: Body = self.cluster.of(PREDICTION_JOBS)[name].get("status") or {}
        return found

    def ready(self, name: str = "nightly") -> Body:
        return next(each for each in self.status(name)["conditions"] if each["type"] == "Ready")


def written(**changes: Any) -> str:
    result = {"outcome": "Succeeded", "made": "Predictions", "message": "28 rows", "predictions": {**RESULT, **changes}}
    return TrainingResult.model_validate(result).to_json()


def serving(number: int = 1) -> World:
    world = World()
    world.publish(number)
    world.activate(number)
    return world


def test_it_predicts_with_the_active_version() -> None:
    world = serving(3)
    world.predict()
    world.settle()
    assert world.status()["phase"] == "Starting"
    assert (world.status()["version"], world.status()["modelName"]) == (3, MODEL)
    world.end("nightly-p1", 0, written())
    world.settle()
    assert world.status()["phase"] == "Succeeded"
    assert world.status()["result"] == RESULT
    assert world.status()["trainerStatus"]["stage"] == "predict"
    assert "28 rows" in world.ready()["message"]


def test_it_starts_when_the_first_version_is_promoted() -> None:
    world = World()
    world.predict()
    world.settle()
    assert (world.status()["phase"], world.ready()["reason"]) == ("Pending", "DeploymentMissing")
    world.publish(1)
    world.activate(1)
    world.settle()
    assert world.status()["phase"] == "Starting"


def test_it_starts_when_a_version_is_validated() -> None:
    world = World()
    world.publish(1, "Pending")
    world.predict(model={"name": MODEL})
    world.settle()
    assert (world.status()["phase"], world.ready()["reason"]) == ("Pending", "NoValidatedVersion")
    status = {"observedGeneration": 1, "phase": "Validated"}
    world.cluster.change(MODEL_VERSIONS, NAMESPACE, f"{MODEL}-v1", status=status)
    world.settle()
    assert (world.status()["phase"], world.status()["version"]) == ("Starting", 1)


def test_a_retry_predicts_with_the_version_that_is_active_then() -> None:
    world = serving(3)
    world.publish(2)
    world.predict(retry={"maxAttempts": 2, "initialSeconds": 60})
    world.settle()
    world.end("nightly-p1", 69, '{"outcome": "Failed", "reason": "UpstreamUnavailable", "message": "away"}')
    world.settle()
    assert world.status()["attempts"][0]["reason"] == "UpstreamUnavailable"
    world.activate(2)
    world.later(61)
    assert world.status()["version"] == 2
    assert "nightly-p2" in world.cluster.of(JOBS)


def test_the_status_names_the_version_of_the_rows() -> None:
    """An attempt with version 3 wrote the rows and lost its result. The next one, with version 2, finds them."""
    world = serving(3)
    world.publish(2)
    world.predict(retry={"maxAttempts": 2, "initialSeconds": 60})
    world.settle()
    world.end("nightly-p1", 1, "")
    world.settle()
    world.activate(2)
    world.later(61)
    assert world.status()["version"] == 2
    world.end("nightly-p2", 0, written(version=3))
    world.settle()
    assert (world.status()["phase"], world.status()["version"]) == ("Succeeded", 3)


def test_bad_data_is_final() -> None:
    world = serving()
    world.predict()
    world.settle()
    world.end("nightly-p1", 65, '{"outcome": "Failed", "reason": "BadData", "message": "no column \'date\'"}')
    world.settle()
    assert (world.status()["phase"], world.ready()["reason"]) == ("Failed", "BadData")
    assert "'date'" in world.ready()["message"]


def test_a_result_of_another_kind_is_refused() -> None:
    world = serving()
    world.predict()
    world.settle()
    dataset = {"uri": "s3://x", "manifestSha256": "0" * 64, "sizeBytes": 1}
    world.end(
        "nightly-p1",
        0,
        f'{{"outcome": "Succeeded", "made": "Dataset", "artifact": {str(dataset).replace(chr(39), chr(34))}}}',
    )
    world.settle()
    assert world.status()["phase"] == "Failed"
    assert "Dataset" in world.ready()["message"]


def test_predictions_with_one_model_run_at_the_same_time() -> None:
    world = serving()
    world.predict("first")
    world.predict("second")
    world.settle()
    assert [world.status(name)["phase"] for name in ("first", "second")] == ["Starting", "Starting"]


def test_it_waits_for_its_slot_and_can_be_cancelled() -> None:
    world = World(max_concurrent_jobs=1)
    world.publish(1)
    world.activate(1)
    world.predict("first")
    world.settle()
    world.predict("second")
    world.settle()
    assert world.status("second")["phase"] == "Queued"
    spec = {**world.cluster.of(PREDICTION_JOBS)["second"]["spec"], "cancel": True}
    world.cluster.change(PREDICTION_JOBS, NAMESPACE, "second", spec=spec)
    world.settle()
    assert world.status("second")["phase"] == "Cancelled"


def test_a_restored_job_predicts_nothing_again() -> None:
    world = serving()
    world.predict()
    world.settle()
    world.end("nightly-p1", 0, written())
    world.settle()
    old = world.cluster.of(PREDICTION_JOBS)["nightly"]
    world.cluster.remove(PREDICTION_JOBS, NAMESPACE, "nightly")
    world.cluster.remove(JOBS, NAMESPACE, "nightly-p1")
    metadata = {**old["metadata"], "uid": "uid-new"}
    world.cluster.add(PREDICTION_JOBS, NAMESPACE, {**old, "metadata": metadata, "status": {}})
    world.settle()
    assert (world.status()["phase"], world.status()["result"]["rows"]) == ("Succeeded", 28)
    assert not world.cluster.of(JOBS)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, 9))
def test_a_kill_at_any_write_changes_nothing_in_the_end(at: int, after: bool) -> None:
    world = serving(3)
    world.cluster.hook = FaultyWrite(at, after=after, error=Killed())
    world.predict()
    world.settle()
    world.end("nightly-p1", 0, written())
    world.settle()
    assert (world.status()["phase"], world.status()["version"]) == ("Succeeded", 3)
    assert world.status()["result"] == RESULT
    assert [each["jobName"] for each in world.status()["attempts"]] == ["nightly-p1"]
    assert [*world.cluster.of(JOBS)] == ["nightly-p1"]
