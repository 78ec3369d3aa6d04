"""Retention deletes expired objects: a limited number at a time, with exact preconditions, and with an Event."""

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


class RetentionWorld:
    """Versions of model m that were judged a day ago, and the retention that checks them."""

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

    def resync(self) -> None:
        run(resync(self.cluster, self.store, ()))

    def sweep(self) -> int:
        return asyncio.run(self.retention.sweep())

    @property
    def remaining(self) -> list[str]:
        bodies = self.cluster.of(MODEL_VERSIONS)
        return sorted(name for name, body in bodies.items() if "deletionTimestamp" not in body["metadata"])


def deleted(kind: str) -> float:
    return REGISTRY.get_sample_value("trainyard_retention_deleted_total", {"kind": kind}) or 0.0


def test_versions_beyond_the_limit_are_deleted_with_an_event() -> None:
    world, before = RetentionWorld(), deleted("ModelVersion")
    world.resync()
    assert world.sweep() == 2
    assert world.remaining == ["m-v3", "m-v4"]
    notes = [body for body in world.cluster.of(EVENTS).values() if body["reason"] == "Expired"]
    assert {body["regarding"]["name"] for body in notes} == {"m-v1", "m-v2"}
    assert "not among the newest 2 validated versions" in notes[0]["note"]
    assert deleted("ModelVersion") == before + 2
    world.resync()
    assert world.sweep() == 0


def test_a_model_is_checked_once_also_with_an_unjudged_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, reads = RetentionWorld(), []
    world.publish(5, "Pending")
    world.resync()
    resync = retention_module.retention.versions
    monkeypatch.setattr(
        retention_module.retention, "versions", lambda objects, *rest: reads.append(objects) or resync(objects, *rest)
    )
    monkeypatch.setattr(retention_module.retention.Policy, "keeps_all", lambda _policy, _versions: False)
    assert world.sweep() == 2
    assert len(reads) == 2, "by the store, and by the API server"


def test_versions_of_an_unobserved_deployment_are_kept() -> None:
    world = RetentionWorld()
    world.resync()
    world.serve(activeVersion=4, previousVersion=1)
    assert world.sweep() == 1
    assert world.remaining == ["m-v1", "m-v3", "m-v4"]


def test_a_version_changed_since_the_list_is_checked_again() -> None:
    world = RetentionWorld()
    world.resync()
    world.cluster.change(MODEL_VERSIONS, NAMESPACE, "m-v1", metadata={
        **world.cluster.of(MODEL_VERSIONS)["m-v1"]["metadata"], "labels": {meta.KEEP_LABEL: "true"}
    })  # fmt: skip
    assert world.sweep() == 1
    assert world.remaining == ["m-v1", "m-v3", "m-v4"]
    world.resync()
    assert world.sweep() == 0


def test_a_recreated_version_is_kept() -> None:
    world = RetentionWorld()
    world.resync()
    world.cluster.remove(MODEL_VERSIONS, NAMESPACE, "m-v1")
    world.publish(1)
    world.sweep()
    assert "m-v1" in world.remaining


def test_deletions_per_sweep_are_limited() -> None:
    world = RetentionWorld(MOST_AT_ONCE + 12)
    world.resync()
    assert world.sweep() == MOST_AT_ONCE
    world.resync()
    assert world.sweep() == 10
    assert world.remaining == [f"m-v{MOST_AT_ONCE + 11}", f"m-v{MOST_AT_ONCE + 12}"]


def test_a_model_is_checked_again_after_a_change_or_with_time() -> None:
    world = RetentionWorld(2)
    for number in (3, 4):
        world.publish(number)
    world.resync()
    assert world.sweep() == 2
    world.cluster.tick(1800)
    assert world.sweep() == 0
    world.cluster.tick(1800)
    world.publish(5)
    world.resync()
    assert world.sweep() == 1
    assert world.remaining == ["m-v4", "m-v5"]
    young = RetentionWorld(0)
    for number in (1, 2, 3):
        young.publish(number)
    young.resync()
    assert young.sweep() == 0
    young.cluster.tick(3600)
    assert young.sweep() == 1
    assert young.remaining == ["m-v2", "m-v3"]


def test_an_incompletely_listed_namespace_is_left_alone() -> None:
    world = RetentionWorld(known=False)
    world.resync()
    assert world.sweep() == 0


def test_a_refusal_ends_the_sweep() -> None:
    world = RetentionWorld()
    world.resync()

    def forbid(verb: str, resource: Resource, after: bool) -> None:
        if verb == "delete":
            raise ForbiddenError(403, "Forbidden", "modelversions is forbidden")

    world.cluster.hook = forbid
    with pytest.raises(ForbiddenError):
        world.sweep()


def test_a_job_is_deleted_after_its_time() -> None:
    world = RetentionWorld(0)
    for name, more in (("a", {"deleteSecondsAfterFinished": 60}), ("b", {})):
        world.cluster.submit(name, {**SPEC, **more})
        status = {"observedGeneration": 1, "phase": "Failed", "completionTime": "2026-11-21T08:00:00Z"}
        world.cluster.change(TRAINING_JOBS, NAMESPACE, name, status=status)
    world.resync()
    assert world.sweep() == 1
    assert "deletionTimestamp" in world.cluster.of(TRAINING_JOBS)["a"]["metadata"]
    assert "deletionTimestamp" not in world.cluster.of(TRAINING_JOBS)["b"]["metadata"]


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


async def test_the_running_operator_sweeps_and_survives_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention_module, "SWEEP_SECONDS", 0.01)
    world = RetentionWorld()
    errors = iter([UnavailableError(500, "InternalError", "etcd"), RuntimeError("a bug")])

    def fail(verb: str, resource: Resource, after: bool) -> None:
        if verb == "delete" and not after and (error := next(errors, None)) is not None:
            raise error

    world.cluster.hook = fail
    runtime = Runtime(world.cluster, CONFIG, ca=CA, clock=lambda: world.cluster.now)
    await runtime.start()
    await until("two versions to go", lambda: len(world.remaining) == 2)
    assert runtime.health() is None
    await runtime.stop()
    assert next(errors, None) is None
