"""What is kept no longer is deleted: a little at a time, by exact preconditions, and told."""

import asyncio
from typing import Any

import pytest
from prometheus_client import REGISTRY

from tests.unit.operator.api_server import NAMESPACE
from tests.unit.operator.cluster import Cluster
from tests.unit.operator.core.versions import spec
from tests.unit.operator.operators import run
from tests.unit.operator.runtime.test_runtime import until
from tests.unit.operator.samples import CA, SPEC
from tests.unit.operator.schedules import World as ScheduleWorld
from trainyard_api import API_VERSION, meta
from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.kube.errors import ForbiddenError, UnavailableError
from trainyard_operator.kube.port import EVENTS, MODEL_DEPLOYMENTS, MODEL_VERSIONS, TRAINING_JOBS, Resource
from trainyard_operator.runtime import retention as retention_module
from trainyard_operator.runtime.registry import KINDS
from trainyard_operator.runtime.resync import resync
from trainyard_operator.runtime.retention import MOST_AT_ONCE, Retention
from trainyard_operator.runtime.runtime import Runtime
from trainyard_operator.runtime.store import Store

CONFIG = OperatorConfig.model_validate({"retention": {"validated": 2, "rejected": 1}})


class Shelf:
    """Versions of model m that were judged a day ago, and who looks through them."""

    def __init__(self, count: int = 4, *, known: bool = True) -> None:
        self.cluster = Cluster()
        self.store = Store(KINDS)
        for number in range(1, count + 1):
            self.publish(number)
        self.cluster.tick(86_400)
        self.retention = Retention(
            self.cluster,
            self.store,
            CONFIG,
            may=lambda _: known,
            instance="test",
            clock=lambda: self.cluster.now,
        )

    def publish(self, number: int, phase: str = "Validated") -> None:
        body = {"apiVersion": API_VERSION, "kind": "ModelVersion", "metadata": {"name": f"m-v{number}"}}
        self.cluster.add(MODEL_VERSIONS, NAMESPACE, {**body, "spec": spec(number)})
        status = {"observedGeneration": 1, "phase": phase}
        self.cluster.change(MODEL_VERSIONS, NAMESPACE, f"m-v{number}", status=status)

    def serve(self, **status: Any) -> None:
        body = {"apiVersion": API_VERSION, "kind": "ModelDeployment", "metadata": {"name": "shop"}}
        self.cluster.add(MODEL_DEPLOYMENTS, NAMESPACE, {**body, "spec": {"modelName": "m"}})
        self.cluster.change(MODEL_DEPLOYMENTS, NAMESPACE, "shop", status={"observedGeneration": 1, **status})

    def look(self) -> None:
        run(resync(self.cluster, self.store, ()))

    def sweep(self) -> int:
        return asyncio.run(self.retention.sweep())

    @property
    def left(self) -> list[str]:
        bodies = self.cluster.of(MODEL_VERSIONS)
        return sorted(name for name, body in bodies.items() if "deletionTimestamp" not in body["metadata"])


def deleted(kind: str) -> float:
    return REGISTRY.get_sample_value("trainyard_retention_deleted_total", {"kind": kind}) or 0.0


def test_what_is_too_much_goes_and_is_told() -> None:
    shelf, before = Shelf(), deleted("ModelVersion")
    shelf.look()
    assert shelf.sweep() == 2
    assert shelf.left == ["m-v3", "m-v4"]
    notes = [body for body in shelf.cluster.of(EVENTS).values() if body["reason"] == "Expired"]
    assert {body["regarding"]["name"] for body in notes} == {"m-v1", "m-v2"}
    assert "not among the newest 2 validated versions" in notes[0]["note"]
    assert deleted("ModelVersion") == before + 2
    shelf.look()
    assert shelf.sweep() == 0


def test_a_model_is_looked_through_once_also_while_a_version_waits_for_its_verdict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shelf, asked = Shelf(), []
    shelf.publish(5, "Pending")
    shelf.look()
    look = retention_module.retention.versions
    monkeypatch.setattr(
        retention_module.retention,
        "versions",
        lambda model_objects, *rest: asked.append(model_objects) or look(model_objects, *rest),
    )
    monkeypatch.setattr(retention_module.retention.Policy, "keeps_all", lambda _policy, _versions: False)
    assert shelf.sweep() == 2
    assert len(asked) == 2, "by the store, and by the API server"


def test_a_deployment_that_the_watch_has_not_told_of_keeps_its_version() -> None:
    shelf = Shelf()
    shelf.look()
    shelf.serve(activeVersion=4, previousVersion=1)
    assert shelf.sweep() == 1
    assert shelf.left == ["m-v1", "m-v3", "m-v4"]


def test_a_version_that_has_changed_since_is_looked_at_again() -> None:
    shelf = Shelf()
    shelf.look()
    shelf.cluster.change(MODEL_VERSIONS, NAMESPACE, "m-v1", metadata={
        **shelf.cluster.of(MODEL_VERSIONS)["m-v1"]["metadata"], "labels": {meta.KEEP_LABEL: "true"}
    })  # fmt: skip
    assert shelf.sweep() == 1
    assert shelf.left == ["m-v1", "m-v3", "m-v4"]
    shelf.look()
    assert shelf.sweep() == 0


def test_one_that_was_made_anew_stays() -> None:
    shelf = Shelf()
    shelf.look()
    shelf.cluster.remove(MODEL_VERSIONS, NAMESPACE, "m-v1")
    shelf.publish(1)
    shelf.sweep()
    assert "m-v1" in shelf.left


def test_not_everything_at_once() -> None:
    shelf = Shelf(MOST_AT_ONCE + 12)
    shelf.look()
    assert shelf.sweep() == MOST_AT_ONCE
    shelf.look()
    assert shelf.sweep() == 10
    assert shelf.left == [f"m-v{MOST_AT_ONCE + 11}", f"m-v{MOST_AT_ONCE + 12}"]


def test_a_model_is_looked_through_again_when_it_changes_or_time_has_passed() -> None:
    shelf = Shelf(2)
    for number in (3, 4):
        shelf.publish(number)
    shelf.look()
    assert shelf.sweep() == 2
    shelf.cluster.tick(1800)
    assert shelf.sweep() == 0
    shelf.cluster.tick(1800)
    shelf.publish(5)
    shelf.look()
    assert shelf.sweep() == 1
    assert shelf.left == ["m-v4", "m-v5"]
    young = Shelf(0)
    for number in (1, 2, 3):
        young.publish(number)
    young.look()
    assert young.sweep() == 0
    young.cluster.tick(3600)
    assert young.sweep() == 1
    assert young.left == ["m-v2", "m-v3"]


def test_a_namespace_that_is_not_known_whole_is_left_alone() -> None:
    shelf = Shelf(known=False)
    shelf.look()
    assert shelf.sweep() == 0


def test_a_refusal_ends_the_sweep_and_says_so() -> None:
    shelf = Shelf()
    shelf.look()

    def forbid(verb: str, resource: Resource, after: bool) -> None:
        if verb == "delete":
            raise ForbiddenError(403, "Forbidden", "modelversions is forbidden")

    shelf.cluster.hook = forbid
    with pytest.raises(ForbiddenError):
        shelf.sweep()


def test_a_job_that_asked_for_it_goes() -> None:
    shelf = Shelf(0)
    for name, more in (("a", {"deleteSecondsAfterFinished": 60}), ("b", {})):
        shelf.cluster.submit(name, {**SPEC, **more})
        status = {"observedGeneration": 1, "phase": "Failed", "completionTime": "2026-11-21T08:00:00Z"}
        shelf.cluster.change(TRAINING_JOBS, NAMESPACE, name, status=status)
    shelf.look()
    assert shelf.sweep() == 1
    assert "deletionTimestamp" in shelf.cluster.of(TRAINING_JOBS)["a"]["metadata"]
    assert "deletionTimestamp" not in shelf.cluster.of(TRAINING_JOBS)["b"]["metadata"]


def test_runs_from_before_a_restore_count_for_the_history() -> None:
    world = ScheduleWorld(schedule="0 * * * *", successfulJobsHistoryLimit=2)
    for hour in ("09", "10"):
        world.go_to(f"{hour}:00:00")
        world.end_all()
    world.cluster.submit("by-hand", SPEC, labels={meta.SCHEDULE_LABEL: "nightly"})
    world.end("by-hand")
    world.cluster.restore()
    world.operator.settle()
    for name in world.jobs:
        world.end(name)
    before = set(world.jobs)
    assert len(before) == 3
    world.go_to("11:00:00")
    world.end_all()
    world.cluster.collect()
    world.operator.settle()
    assert len(world.jobs) == 3
    assert len(before & set(world.jobs)) == 2
    assert "by-hand" in world.jobs


async def test_the_running_operator_sweeps_and_outlives_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention_module, "SWEEP_SECONDS", 0.01)
    shelf = Shelf()
    answers = iter([UnavailableError(500, "InternalError", "etcd"), RuntimeError("a bug")])

    def fail(verb: str, resource: Resource, after: bool) -> None:
        if verb == "delete" and not after and (error := next(answers, None)) is not None:
            raise error

    shelf.cluster.hook = fail
    runtime = Runtime(shelf.cluster, CONFIG, ca=CA, clock=lambda: shelf.cluster.now)
    await runtime.start()
    await until("two versions to go", lambda: len(shelf.left) == 2)
    assert runtime.health() is None
    await runtime.stop()
    assert next(answers, None) is None
