"""What a schedule reads from the API server before it acts: late watches and lost responses start no second run."""

from tests.unit.operator.api_server import NAMESPACE, no_fault
from tests.unit.operator.operators import FaultyWrite
from tests.unit.operator.schedules import NAME, World
from trainyard_operator.kinds.base import Key
from trainyard_operator.kinds.training_job import TRAINING_JOB
from trainyard_operator.kube.errors import ApiError, UnavailableError
from trainyard_operator.kube.port import TRAINING_JOBS, TRAINING_SCHEDULES
from trainyard_operator.runtime.reconciler import Outcome

LOST_RESPONSE = UnavailableError(0, "Timeout", "no answer")
KEY = Key(NAMESPACE, NAME, "TrainingSchedule")


def test_a_run_whose_creation_response_was_lost_counts_as_active() -> None:
    world = World(schedule="* * * * *", concurrencyPolicy="Forbid")
    world.cluster.hook = FaultyWrite(1, after=True, error=LOST_RESPONSE)
    world.cluster.tick(60)
    assert isinstance(world.operator.reconcile(), ApiError)
    world.cluster.hook = no_fault
    assert world.operator.store.children(TRAINING_JOB, NAMESPACE, world.body["metadata"]["uid"]) == ()
    world.cluster.tick(180)
    world.operator.reconcile()  # another minute is due, and no watch has delivered the first run
    world.operator.reconcile()
    assert len(world.created()) == 1
    assert world.status["activeCount"] == 1


def test_a_recorded_run_that_is_gone_is_not_created_again() -> None:
    world = World(schedule="* * * * *", concurrencyPolicy="Forbid")
    world.cluster.tick(60)
    world.cluster.hook = FaultyWrite(4, after=True, error=LOST_RESPONSE)  # writes: create, Event, annotation, status
    world.operator.reconcile()
    assert isinstance(world.operator.reconcile(), ApiError)
    world.cluster.hook = no_fault
    (name,) = world.jobs
    world.end(name)
    world.cluster.remove(TRAINING_JOBS, NAMESPACE, name)
    world.operator.deliver("TrainingJob")
    world.operator.reconcile()
    world.operator.reconcile()
    assert world.created() == [name]


def test_an_unobserved_run_stays_active() -> None:
    world = World(concurrencyPolicy="Forbid")
    world.go_to("09:00:00")
    (name,) = world.jobs
    world.operator.store.forget(Key(NAMESPACE, name))
    world.operator.reconcile()
    assert [run["name"] for run in world.status["active"]] == [name]
    world.cluster.remove(TRAINING_JOBS, NAMESPACE, name)
    world.operator.settle()
    assert "active" not in world.status


def test_a_deleted_schedule_starts_nothing() -> None:
    world = World()
    world.cluster.tick(3600)
    world.cluster.remove(TRAINING_SCHEDULES, NAMESPACE, NAME)
    assert world.operator.reconcile() == Outcome()
    assert world.created() == []
    assert not world.operator.store.knows(KEY)


def test_an_unobserved_edit_is_respected() -> None:
    world = World()
    world.cluster.tick(3600)
    world.edit(suspend=True)
    world.operator.reconcile()
    assert world.created() == []
    assert world.status["phase"] == "Suspended"
