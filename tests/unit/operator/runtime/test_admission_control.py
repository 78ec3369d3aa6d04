"""Admission control on a real store: which jobs hold capacity, which wait, and which are notified."""

from typing import Any

import pytest

from tests.unit.operator.api_server import NAMESPACE, WATCHED
from tests.unit.operator.cluster import Cluster
from tests.unit.operator.samples import SPEC, result_text
from trainyard_api import meta
from trainyard_operator.core.admission.decision import ADMITTED, Waiting
from trainyard_operator.core.config import Admission
from trainyard_operator.kinds.base import Key
from trainyard_operator.kube.port import JOBS, TRAINING_JOBS
from trainyard_operator.runtime.admission import AdmissionControl
from trainyard_operator.runtime.registry import KINDS
from trainyard_operator.runtime.store import Store


class World:
    """A cluster whose changes reach a store with admission control."""

    def __init__(self, **limits: Any) -> None:
        self.cluster = Cluster()
        self.limits = Admission(**limits)
        self.start()

    def start(self) -> None:
        """Start with an empty memory."""
        self.woken: list[str] = []
        self.admission = AdmissionControl(KINDS, self.limits, lambda key: self.woken.append(key.name))
        self.store = Store(KINDS, self.admission.changed)
        self.delivered = 0

    def deliver(self, reconciling: str = "") -> list[str]:
        """Deliver every change, and return the names of the notified jobs."""
        for kind, event, body in self.cluster.log[self.delivered :]:
            self.store.apply(kind, body, deleted=event == "DELETED")
        self.delivered = len(self.cluster.log)
        self.woken.clear()
        self.admission.catch_up(self.store, Key(NAMESPACE, reconciling))
        return list(dict.fromkeys(self.woken))

    def apply(self, *names: str, **spec: Any) -> None:
        for name in names:
            self.cluster.submit(name, {**SPEC, **spec})
        self.deliver()

    def create_job(self, name: str) -> None:
        uid = self.cluster.of(TRAINING_JOBS)[name]["metadata"]["uid"]
        labels = {meta.MANAGED_BY_LABEL: meta.MANAGED_BY, meta.JOB_LABEL: name, meta.UID_LABEL: uid}
        owner = {"kind": "TrainingJob", "name": name, "uid": uid, "controller": True}
        metadata = {"name": f"{name}-1", "labels": labels, "ownerReferences": [owner]}
        self.cluster.add(JOBS, NAMESPACE, {"metadata": metadata, "spec": {"template": {"spec": {"containers": []}}}})

    def status(self, name: str, **status: Any) -> None:
        self.cluster.change(TRAINING_JOBS, NAMESPACE, name, status={"observedGeneration": 1, **status})

    def reserve(self, name: str) -> None:
        assert self.admission.decision(Key(NAMESPACE, name)) == ADMITTED
        self.admission.reserve(Key(NAMESPACE, name))

    def position(self, name: str) -> int | None:
        """Return the position of a waiting job."""
        decision = self.admission.decision(Key(NAMESPACE, name))
        return decision.position if isinstance(decision, Waiting) else None


@pytest.fixture
def world() -> World:
    return World(max_concurrent_jobs=1)


def test_a_reservation_holds_capacity_before_the_job_exists(world: World) -> None:
    world.apply("a", "b")
    world.reserve("a")
    assert world.position("b") == 1
    world.create_job("a")
    world.deliver()
    world.cluster.remove(JOBS, NAMESPACE, "a-1")
    world.deliver()
    assert world.admission.holding == 0, "its Job was observed and is gone"
    assert world.position("b") == 2, "a waits again, before b"


def test_the_end_of_a_job_notifies_the_next(world: World) -> None:
    world.apply("a", "b", "c")
    world.reserve("a")
    world.create_job("a")
    world.status("a", phase="Running")
    world.cluster.finish_pod("a-1", 0, result_text())
    assert world.deliver("a") == []
    world.status("a", phase="Succeeded")
    assert world.deliver("a")[0] == "b"
    world.woken.clear()
    world.reserve("b")
    assert world.woken == ["c"]
    assert world.position("c") == 1


def test_moved_jobs_are_notified_separately_from_admitted_ones(world: World) -> None:
    moved: list[str] = []
    world.admission = AdmissionControl(
        KINDS, world.limits, lambda key: world.woken.append(key.name), lambda key: moved.append(key.name)
    )
    world.store = Store(KINDS, world.admission.changed)
    world.apply("a", "b", "c", "d")
    world.reserve("a")
    world.create_job("a")
    world.deliver()
    moved.clear()
    world.cluster.finish_pod("a-1", 0, result_text())
    world.status("a", phase="Succeeded")
    assert (world.deliver("a"), moved) == (["b"], []), "b is still the first in the queue"
    world.woken.clear()
    world.reserve("b")
    assert (world.woken, moved) == ([], ["c", "d"])


def test_a_changed_priority_reorders_the_queue_at_once(world: World) -> None:
    world.apply("a", "b", "c")
    world.reserve("a")
    world.cluster.edit("c", priority="Urgent")
    assert world.deliver("c") == ["b"]
    assert (world.position("c"), world.position("b")) == (1, 2)


@pytest.mark.parametrize("field", ["suspend", "cancel"])
def test_a_suspended_or_cancelled_job_does_not_block_others(world: World, field: str) -> None:
    world.apply("a", "b")
    world.cluster.edit("a", **{field: True})
    assert world.deliver("a") == ["b"]
    world.reserve("b")


def test_a_deferred_job_lets_others_start_until_it_asks_again(world: World) -> None:
    world.apply("a", "b")
    world.reserve("a")
    world.admission.release(Key(NAMESPACE, "a"))
    assert world.position("b") == 2, "a may still try"
    world.woken.clear()
    world.admission.defer(Key(NAMESPACE, "a"))
    assert world.woken == ["b"]
    world.status("a", phase="Pending")
    world.deliver()
    world.reserve("b")
    assert world.position("a") == 1


def test_a_job_refused_in_a_retry_keeps_its_capacity(world: World) -> None:
    world.apply("a", "b")
    world.status("a", phase="Retrying", attempts=[{"number": 1, "jobName": "a-1"}])
    world.deliver()
    world.admission.reserve(Key(NAMESPACE, "a"))
    world.admission.release(Key(NAMESPACE, "a"))
    world.admission.defer(Key(NAMESPACE, "a"))
    assert world.position("b") == 1


def test_a_deleted_training_job_locks_its_model_until_its_job_is_gone() -> None:
    world = World()
    world.apply("a", "b", modelName="m")
    world.reserve("a")
    world.create_job("a")
    world.deliver()
    world.cluster.remove(TRAINING_JOBS, NAMESPACE, "a")
    world.cluster.tick(60)
    world.apply("a", modelName="m")
    assert (world.position("b"), world.position("a")) == (1, 2)
    world.cluster.remove(JOBS, NAMESPACE, "a-1")
    assert world.deliver()[0] == "b"


def test_a_restart_loses_only_reservations() -> None:
    world = World(max_concurrent_jobs=2)
    world.apply("a", "b", "c", "d")
    world.reserve("a")
    world.create_job("a")
    world.reserve("b")
    world.status("d", phase="Retrying", attempts=[{"number": 1, "jobName": "d-1"}])
    world.deliver()
    assert (world.admission.holding, world.admission.waiting) == (3, 1)
    world.start()
    world.deliver()
    assert (world.admission.holding, world.admission.waiting) == (2, 2)
    assert (world.position("b"), world.position("c")) == (1, 2)


def test_an_unreadable_status_does_not_block_other_jobs(world: World) -> None:
    world.apply("a", "b")
    world.status("a", phase="Nonsense")
    assert world.deliver() == ["b"]
    world.reserve("b")
    world.status("b", phase="Running", attempts="none")
    world.deliver()
    assert world.admission.holding == 1, "a job that cannot be read keeps its capacity"
    world.cluster.remove(TRAINING_JOBS, NAMESPACE, "b")
    world.deliver()
    assert world.admission.holding == 0


def test_finished_jobs_leave_nothing_in_memory(world: World) -> None:
    world.apply("a")
    world.reserve("a")
    world.status("a", phase="Succeeded")
    world.deliver()
    world.cluster.remove(TRAINING_JOBS, NAMESPACE, "a")
    world.deliver()
    parts = vars(world.admission).items()
    kept = [name for name, value in parts if isinstance(value, (dict, set)) and value and name != "_kinds"]
    assert kept == []
    assert set(WATCHED.values()) >= {"TrainingJob", "Job"}


def test_jobs_in_a_namespace_of_another_release_do_not_count() -> None:
    world, ours = World(max_concurrent_jobs=1), [True]
    world.admission = AdmissionControl(
        KINDS, world.limits, lambda key: world.woken.append(key.name), covers=lambda _: ours[0]
    )
    world.store = Store(KINDS, world.admission.changed)
    world.apply("a", "b")
    world.create_job("a")
    world.deliver()
    assert (world.admission.holding, world.admission.waiting) == (1, 1)
    ours[0] = False
    for name in ("a", "b"):
        world.admission.changed("TrainingJob", Key(NAMESPACE, name))
    world.deliver()
    assert (world.admission.holding, world.admission.waiting) == (0, 0)
    ours[0] = True
    for name in ("a", "b"):
        world.admission.changed("TrainingJob", Key(NAMESPACE, name))
    world.deliver()
    assert (world.admission.holding, world.admission.waiting) == (1, 1)
