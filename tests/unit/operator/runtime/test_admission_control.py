"""The ledger on a real store: what it sees, what it reserves, and whom it wakes."""

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
    """A cluster whose every change reaches a store with a ledger beside it."""

    def __init__(self, **limits: Any) -> None:
        self.cluster = Cluster()
        self.limits = Admission(**limits)
        self.start()

    def start(self) -> None:
        """Begin with an empty memory."""
        self.woken: list[str] = []
        self.admission = AdmissionControl(KINDS, self.limits, lambda key: self.woken.append(key.name))
        self.store = Store(KINDS, self.admission.changed)
        self.read = 0

    def look(self, reconciling: str = "") -> list[str]:
        """Deliver every change and return who is woken."""
        for kind, event, body in self.cluster.log[self.read :]:
            self.store.apply(kind, body, deleted=event == "DELETED")
        self.read = len(self.cluster.log)
        self.woken.clear()
        self.admission.catch_up(self.store, Key(NAMESPACE, reconciling))
        return list(dict.fromkeys(self.woken))

    def apply(self, *names: str, **spec: Any) -> None:
        for name in names:
            self.cluster.submit(name, {**SPEC, **spec})
        self.look()

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

    def order(self, name: str) -> int | None:
        """Return the position of one that waits."""
        decision = self.admission.decision(Key(NAMESPACE, name))
        return decision.position if isinstance(decision, Waiting) else None


@pytest.fixture
def world() -> World:
    return World(max_concurrent_jobs=1)


def test_a_reservation_is_a_place_taken_before_anything_shows_it(world: World) -> None:
    world.apply("a", "b")
    world.reserve("a")
    assert world.order("b") == 1
    world.create_job("a")
    world.look()
    world.cluster.remove(JOBS, NAMESPACE, "a-1")
    world.look()
    assert world.admission.holding == 0, "its Job was seen and is gone"
    assert world.order("b") == 2, "a stands in line again, before b"


def test_the_end_of_one_wakes_the_next(world: World) -> None:
    world.apply("a", "b", "c")
    world.reserve("a")
    world.create_job("a")
    world.status("a", phase="Running")
    world.cluster.finish_pod("a-1", 0, result_text())
    assert world.look("a") == []
    world.status("a", phase="Succeeded")
    assert world.look("a")[0] == "b"
    world.woken.clear()
    world.reserve("b")
    assert world.woken == ["c"]
    assert world.order("c") == 1


def test_who_moves_up_hears_of_it_apart_from_who_may_start(world: World) -> None:
    moved: list[str] = []
    world.admission = AdmissionControl(
        KINDS, world.limits, lambda key: world.woken.append(key.name), lambda key: moved.append(key.name)
    )
    world.store = Store(KINDS, world.admission.changed)
    world.apply("a", "b", "c", "d")
    world.reserve("a")
    world.create_job("a")
    world.look()
    moved.clear()
    world.cluster.finish_pod("a-1", 0, result_text())
    world.status("a", phase="Succeeded")
    assert (world.look("a"), moved) == (["b"], []), "b is still the first in line"
    world.woken.clear()
    world.reserve("b")
    assert (world.woken, moved) == ([], ["c", "d"])


def test_a_changed_priority_reorders_at_once(world: World) -> None:
    world.apply("a", "b", "c")
    world.reserve("a")
    world.cluster.edit("c", priority="Urgent")
    assert world.look("c") == ["b"]
    assert (world.order("c"), world.order("b")) == (1, 2)


@pytest.mark.parametrize("field", ["suspend", "cancel"])
def test_who_must_not_start_stands_in_nobodys_way(world: World, field: str) -> None:
    world.apply("a", "b")
    world.cluster.edit("a", **{field: True})
    assert world.look("a") == ["b"]
    world.reserve("b")


def test_one_that_may_but_cannot_start_steps_aside_until_it_asks_again(world: World) -> None:
    world.apply("a", "b")
    world.reserve("a")
    world.admission.release(Key(NAMESPACE, "a"))
    assert world.order("b") == 2, "a may still try"
    world.woken.clear()
    world.admission.defer(Key(NAMESPACE, "a"))
    assert world.woken == ["b"]
    world.status("a", phase="Pending")
    world.look()
    world.reserve("b")
    assert world.order("a") == 1


def test_a_job_refused_in_a_retry_keeps_its_place(world: World) -> None:
    world.apply("a", "b")
    world.status("a", phase="Retrying", attempts=[{"number": 1, "jobName": "a-1"}])
    world.look()
    world.admission.reserve(Key(NAMESPACE, "a"))
    world.admission.release(Key(NAMESPACE, "a"))
    world.admission.defer(Key(NAMESPACE, "a"))
    assert world.order("b") == 1


def test_a_deleted_job_keeps_its_model_until_its_job_is_gone() -> None:
    world = World()
    world.apply("a", "b", modelName="m")
    world.reserve("a")
    world.create_job("a")
    world.look()
    world.cluster.remove(TRAINING_JOBS, NAMESPACE, "a")
    world.cluster.tick(60)
    world.apply("a", modelName="m")
    assert (world.order("b"), world.order("a")) == (1, 2)
    world.cluster.remove(JOBS, NAMESPACE, "a-1")
    assert world.look()[0] == "b"


def test_a_restart_knows_everything_but_reservations_again() -> None:
    world = World(max_concurrent_jobs=2)
    world.apply("a", "b", "c", "d")
    world.reserve("a")
    world.create_job("a")
    world.reserve("b")
    world.status("d", phase="Retrying", attempts=[{"number": 1, "jobName": "d-1"}])
    world.look()
    assert (world.admission.holding, world.admission.waiting) == (3, 1)
    world.start()
    world.look()
    assert (world.admission.holding, world.admission.waiting) == (2, 2)
    assert (world.order("b"), world.order("c")) == (1, 2)


def test_a_status_that_cannot_be_read_stops_nobody_else(world: World) -> None:
    world.apply("a", "b")
    world.status("a", phase="Nonsense")
    assert world.look() == ["b"]
    world.reserve("b")
    world.status("b", phase="Running", attempts="none")
    world.look()
    assert world.admission.holding == 1, "a place that is held stays held"
    world.cluster.remove(TRAINING_JOBS, NAMESPACE, "b")
    world.look()
    assert world.admission.holding == 0


def test_nothing_is_kept_of_what_has_ended(world: World) -> None:
    world.apply("a")
    world.reserve("a")
    world.status("a", phase="Succeeded")
    world.look()
    world.cluster.remove(TRAINING_JOBS, NAMESPACE, "a")
    world.look()
    parts = vars(world.admission).items()
    kept = [name for name, value in parts if isinstance(value, (dict, set)) and value and name != "_kinds"]
    assert kept == []
    assert set(WATCHED.values()) >= {"TrainingJob", "Job"}


def test_jobs_in_a_namespace_of_another_release_hold_and_wait_for_no_place() -> None:
    world, ours = World(max_concurrent_jobs=1), [True]
    world.admission = AdmissionControl(
        KINDS, world.limits, lambda key: world.woken.append(key.name), covers=lambda _: ours[0]
    )
    world.store = Store(KINDS, world.admission.changed)
    world.apply("a", "b")
    world.create_job("a")
    world.look()
    assert (world.admission.holding, world.admission.waiting) == (1, 1)
    ours[0] = False
    for name in ("a", "b"):
        world.admission.changed("TrainingJob", Key(NAMESPACE, name))
    world.look()
    assert (world.admission.holding, world.admission.waiting) == (0, 0)
    ours[0] = True
    for name in ("a", "b"):
        world.admission.changed("TrainingJob", Key(NAMESPACE, name))
    world.look()
    assert (world.admission.holding, world.admission.waiting) == (1, 1)
