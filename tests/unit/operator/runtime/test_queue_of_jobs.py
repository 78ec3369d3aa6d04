"""TrainingJobs that wait for each other: their positions, the order of their starts, and what does not block."""

from typing import Any

import pytest

from tests.unit.operator.cluster import Cluster
from tests.unit.operator.operators import FaultyWrite, Killed, StepOperator
from tests.unit.operator.runtime.test_runtime import running, until
from tests.unit.operator.samples import SPEC, result_text
from trainyard_operator.core.config import Admission, OperatorConfig
from trainyard_operator.kube.errors import UnavailableError
from trainyard_operator.kube.port import JOBS, TRAINING_JOBS


class World:
    """Several TrainingJobs and their operator."""

    def __init__(self, **limits: Any) -> None:
        self.cluster = Cluster()
        self.operator = StepOperator(self.cluster, OperatorConfig(admission=Admission(**limits)))

    def submit(self, *names: str, **spec: Any) -> None:
        for name in names:
            self.cluster.submit(name, {**SPEC, **spec})

    def settle(self) -> dict[str, str]:
        """Return every phase, with the queue position if there is one."""
        self.operator.settle()
        return {name: self.shown(name) for name in sorted(self.cluster.of(TRAINING_JOBS))}

    def shown(self, name: str) -> str:
        status = self.cluster.status(name)
        return " ".join(str(status[field]) for field in ("phase", "queuePosition") if field in status)

    def end(self, name: str, attempt: int = 1, exit_code: int = 0) -> None:
        self.cluster.finish_pod(f"{name}-{attempt}", exit_code, result_text() if exit_code == 0 else "")

    def reason(self, name: str) -> tuple[str, str]:
        ready = next(c for c in self.cluster.status(name)["conditions"] if c["type"] == "Ready")
        return ready["reason"], ready["message"]


@pytest.fixture
def world() -> World:
    return World(max_concurrent_jobs=1)


def test_jobs_start_one_by_one_by_priority_and_age(world: World) -> None:
    world.submit("b")
    assert world.settle() == {"b": "Starting"}
    world.submit("a", priority="Low")
    world.submit("c", "d")
    world.submit("e", priority="Urgent")
    assert world.settle() == {"a": "Queued 4", "b": "Starting", "c": "Queued 2", "d": "Queued 3", "e": "Queued 1"}
    assert world.reason("e") == (
        "ConcurrencyLimit",
        "waiting for a slot: the limit of the operator is 1 (admission.maxConcurrentJobs)",
    )
    for name, following in (("b", "e"), ("e", "c"), ("c", "d"), ("d", "a")):
        world.end(name)
        phases = world.settle()
        assert (phases[name], phases[following]) == ("Succeeded", "Starting")
    assert "queuePosition" not in world.cluster.status("a")


def test_a_changed_priority_reorders_the_queue(world: World) -> None:
    world.submit("a", "b", "c")
    world.settle()
    world.cluster.edit("c", priority="High")
    assert world.settle() == {"a": "Starting", "b": "Queued 2", "c": "Queued 1"}
    world.cluster.edit("c", priority="Low")
    assert world.settle() == {"a": "Starting", "b": "Queued 1", "c": "Queued 2"}


def test_a_model_is_trained_once_at_a_time_without_any_limit() -> None:
    world = World()
    world.submit("a", "b", modelName="m")
    world.submit("c")
    assert world.settle() == {"a": "Starting", "b": "Queued 1", "c": "Starting"}
    assert world.reason("b") == (
        "ModelLocked",
        "waiting for TrainingJob a: only one TrainingJob of model m runs at a time",
    )
    world.end("a")
    assert world.settle()["b"] == "Starting"


def test_a_job_that_need_not_wait_costs_no_extra_write() -> None:
    world = World()
    world.submit("a")
    world.settle()
    assert [what for what in world.cluster.writes if what != ("create", "events")] == [
        ("create", "jobs"),
        ("patch", "trainingjobs"),
    ]


def test_a_retrying_job_keeps_its_capacity_and_model_lock(world: World) -> None:
    world.submit("a", "b")
    world.settle()
    world.end("a", exit_code=1)
    assert world.settle() == {"a": "Retrying", "b": "Queued 1"}
    world.cluster.tick(60)
    assert world.settle() == {"a": "Starting", "b": "Queued 1"}


def test_a_suspended_job_releases_its_capacity_and_queues_again(world: World) -> None:
    world.submit("a", "b")
    world.settle()
    world.cluster.edit("a", suspend=True)
    world.operator.settle()
    world.cluster.collect()
    assert world.settle() == {"a": "Suspended", "b": "Starting"}
    world.cluster.edit("a", suspend=False)
    assert world.settle() == {"a": "Queued 1", "b": "Starting"}
    world.end("b")
    assert world.settle() == {"a": "Starting", "b": "Succeeded"}


@pytest.mark.parametrize("field", ["suspend", "cancel"])
def test_a_job_that_leaves_the_queue_does_not_block_others(world: World, field: str) -> None:
    world.submit("a", "b", "c")
    world.settle()
    world.cluster.edit("b", **{field: True})
    phases = world.settle()
    assert (phases["b"], phases["c"]) == ({"suspend": "Suspended", "cancel": "Cancelled"}[field], "Queued 1")


def test_an_invalid_job_fails_without_waiting(world: World) -> None:
    world.submit("a")
    world.settle()
    world.submit("b", shards=2)
    assert world.settle()["b"] == "Failed"


def test_a_job_refused_by_quota_does_not_block_the_next() -> None:
    world = World(max_concurrent_jobs=1)
    world.cluster.quota = 0
    world.submit("a", "b")
    assert world.settle() == {"a": "Pending", "b": "Pending"}
    world.cluster.quota = None
    world.cluster.tick(30)
    assert sorted(world.settle().values()) == ["Queued 1", "Starting"]


def test_capacity_stays_reserved_after_a_lost_response(world: World) -> None:
    world.submit("a", "b")
    world.operator.deliver_all()
    world.cluster.hook = FaultyWrite(1, after=True, error=UnavailableError(0, "Timeout", "no answer"))
    assert isinstance(world.operator.reconcile("a"), UnavailableError)
    world.operator.reconcile("b")
    assert world.shown("b") == "Queued 1"
    assert list(world.cluster.of(JOBS)) == ["a-1"]
    assert world.settle() == {"a": "Starting", "b": "Queued 1"}


def test_a_restarted_operator_knows_the_running_jobs(world: World) -> None:
    world.submit("a", "b", "c")
    world.operator.deliver_all()
    world.cluster.hook = FaultyWrite(1, after=True, error=Killed())
    world.operator.reconcile("a")
    assert world.settle() == {"a": "Starting", "b": "Queued 1", "c": "Queued 2"}
    writes = len(world.cluster.writes)
    world.operator.restart()
    world.settle()
    assert world.cluster.writes[writes:] == []


def test_the_first_status_has_an_estimate_from_the_models_last_runs() -> None:
    world = World()
    for version, name in enumerate("ab", 1):
        world.submit(name, modelName="m")
        world.settle()
        world.cluster.start_pod(f"{name}-1")
        world.settle()
        world.cluster.tick(90)
        world.cluster.finish_pod(f"{name}-1", 0, result_text(version))
        assert world.settle()[name] == "Succeeded"
    assert "estimatedDurationSeconds" not in world.cluster.status("a")
    assert world.cluster.status("b")["estimatedDurationSeconds"] == 90
    before = len(world.cluster.writes)
    world.submit("c", modelName="m")
    world.settle()
    assert world.cluster.status("c")["estimatedDurationSeconds"] == 90
    assert world.cluster.writes[before:].count(("patch", "trainingjobs")) == 1


async def test_the_next_job_is_notified() -> None:
    """On the real queue, only the notification by admission control wakes the next job."""
    cluster, names = Cluster(), [f"j{number:02d}" for number in range(25)]
    config = OperatorConfig(admission=Admission(max_concurrent_jobs=2), workers=3)
    for name in names:
        cluster.submit(name, {**SPEC, "modelName": f"m{int(name[1:]) % 5}"})
    async with running(cluster, config):
        for _ in names:
            await until("a Job", lambda: any("completed" not in body for body in cluster.of(JOBS).values()))
            live = [name for name, body in cluster.of(JOBS).items() if "completed" not in body]
            assert len(live) <= 2
            cluster.finish_pod(live[0], 0, result_text(version=1 + len(cluster.writes)))
            cluster.of(JOBS)[live[0]]["completed"] = True
        await until(
            "every job to succeed", lambda: all(cluster.status(name).get("phase") == "Succeeded" for name in names)
        )


async def test_a_refused_job_does_not_block_others() -> None:
    cluster = Cluster()
    cluster.quota = 0
    config = OperatorConfig(admission=Admission(max_concurrent_jobs=1), workers=1)
    cluster.submit("a", SPEC)
    async with running(cluster, config):
        await until("the refusal", lambda: cluster.status("a").get("phase") == "Pending")
        cluster.quota = None
        cluster.submit("b", SPEC)
        await until("b to start", lambda: cluster.status("b").get("phase") == "Starting")
