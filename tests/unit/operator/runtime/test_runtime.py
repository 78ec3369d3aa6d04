"""The complete runtime: start, workers, errors, resync, stop, health."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.unit.operator.api_server import NAMESPACE
from tests.unit.operator.cluster import Cluster
from tests.unit.operator.operators import FaultyWrite, StepOperator
from tests.unit.operator.samples import CA, SPEC, result_text
from trainyard_api.wire import ReportedStatus
from trainyard_operator.core.config import Admission, OperatorConfig
from trainyard_operator.core.plan import Body
from trainyard_operator.kinds.base import Key
from trainyard_operator.kube.errors import ApiError, UnavailableError
from trainyard_operator.kube.port import JOBS, TRAINING_JOBS, Resource
from trainyard_operator.runtime import runtime as runtime_module
from trainyard_operator.runtime.runtime import Runtime

KEY = Key(NAMESPACE, "a")
CONFIG = OperatorConfig(workers=3, resync_seconds=10)


async def until(what: str, holds: Callable[[], Any]) -> None:
    try:
        async with asyncio.timeout(5):
            while not holds():  # noqa: ASYNC110 - nothing would wake us
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"waited 5 s for {what}") from None


@asynccontextmanager
async def running(cluster: Cluster, config: OperatorConfig = CONFIG) -> AsyncIterator[Runtime]:
    """Run the operator with watches that deliver at once."""
    runtime = Runtime(cluster, config, ca=CA, clock=lambda: cluster.now)
    read = len(cluster.log)
    await runtime.start()

    async def watch() -> None:
        nonlocal read
        while True:
            for kind, event, body in cluster.log[read:]:
                runtime.observe(kind, event, body)
            read = len(cluster.log)
            await asyncio.sleep(0.001)

    task = asyncio.create_task(watch())
    try:
        yield runtime
    finally:
        task.cancel()
        await runtime.stop()


def phase(cluster: Cluster, name: str = "a") -> str | None:
    found: str | None = cluster.status(name).get("phase")
    return found


async def test_a_job_starts_runs_reports_and_succeeds() -> None:
    cluster = Cluster()
    async with running(cluster) as runtime:
        cluster.submit("a", SPEC)
        await until("Starting", lambda: phase(cluster) == "Starting")
        cluster.start_pod("a-1")
        await until("Running", lambda: phase(cluster) == "Running")
        facts = runtime.directory.find("trainingjobs", NAMESPACE, "a")
        assert facts is not None
        assert (facts.terminal, facts.current_attempt, list(facts.attempt_job_uids.values())) == (False, 1, [1])
        report = ReportedStatus(progress_percentage=42)
        runtime.reports.offer(KEY, facts.uid, 1, report, after=facts.last_sequence, now=cluster.now)
        await until("progress", lambda: cluster.status("a").get("trainerStatus", {}).get("progressPercentage") == 42)
        cluster.finish_pod("a-1", 0, result_text())
        await until("Succeeded", lambda: phase(cluster) == "Succeeded")
        facts = runtime.directory.find("trainingjobs", NAMESPACE, "a")
        assert facts is not None
        assert (facts.terminal, facts.current_attempt) == (True, 0)
        assert runtime.health() is None


async def test_many_jobs_start_at_once() -> None:
    cluster = Cluster()
    names = [f"job-{number}" for number in range(50)]
    for name in names[:25]:
        cluster.submit(name, SPEC)
    async with running(cluster):
        for name in names[25:]:
            cluster.submit(name, SPEC)
        await until("50 Jobs", lambda: len(cluster.of(JOBS)) == 50)
        await until("50 statuses", lambda: all(phase(cluster, name) == "Starting" for name in names))
    assert len(cluster.writes) == 150


async def test_an_api_error_is_tried_again() -> None:
    cluster = Cluster()
    cluster.submit("a", SPEC)
    cluster.hook = FaultyWrite(1, after=False, error=UnavailableError(500, "InternalError", "etcd"))
    async with running(cluster):
        await until("Starting", lambda: phase(cluster) == "Starting")


async def test_an_unreadable_object_does_not_stop_the_others() -> None:
    cluster = Cluster()
    cluster.submit("bad", SPEC)
    cluster.of(TRAINING_JOBS)["bad"]["status"] = {"phase": "OfAnotherRelease"}
    async with running(cluster) as runtime:
        cluster.submit("a", SPEC)
        await until("Starting", lambda: phase(cluster) == "Starting")
        assert runtime.health() is None


async def test_reports_of_a_job_that_is_gone_are_forgotten() -> None:
    cluster = Cluster()
    uid = cluster.submit("a", SPEC)["metadata"]["uid"]
    async with running(cluster) as runtime:
        await until("Starting", lambda: phase(cluster) == "Starting")
        runtime.reports.offer(KEY, uid, 1, ReportedStatus(progress_percentage=1), after=0, now=cluster.now)
        assert runtime.reports.latest(KEY, uid, 1) is not None
        cluster.remove(TRAINING_JOBS, NAMESPACE, "a")
        await until("the report to be forgotten", lambda: runtime.reports.latest(KEY, uid, 1) is None)
        assert runtime.directory.find("trainingjobs", NAMESPACE, "a") is None


async def test_a_failed_first_list_is_raised() -> None:
    class Silent(Cluster):
        def list(self, *_: Any, **__: Any) -> AsyncIterator[Body]:
            raise UnavailableError(0, "Timeout", "no answer")

    runtime = Runtime(Silent(), OperatorConfig(), ca=CA)
    with pytest.raises(ApiError):
        await runtime.start()
    assert not runtime.ready
    runtime.observe("TrainingJob", "ADDED", Cluster().submit("a", SPEC))
    await runtime.stop()


async def test_health_reports_a_worker_that_ended() -> None:
    runtime = Runtime(Cluster(), OperatorConfig(workers=1), ca=CA)
    await runtime.start()
    assert runtime.health() is None
    tasks = [task for task in asyncio.all_tasks() if task.get_name() == "worker-0"]
    tasks[0].cancel()
    await asyncio.wait(tasks)
    assert runtime.health() == "task worker-0 has ended"
    await runtime.stop()


class Hanging(Cluster):
    """An API server that never responds to a write. Lists succeed unless it is away."""

    away = False
    requests = 0

    async def patch_status(self, *_: Any, **__: Any) -> Body:
        return await asyncio.get_running_loop().create_future()

    async def create(self, *_: Any, **__: Any) -> Body:
        return await asyncio.get_running_loop().create_future()

    async def list(self, *args: Any, **options: Any) -> AsyncIterator[Body]:
        if self.away:
            self.requests += 1
            raise UnavailableError(0, "Timeout", "no answer")
        async for body in super().list(*args, **options):
            yield body


@pytest.mark.parametrize("away", [True, False])
async def test_a_reconcile_counts_as_hanging_only_while_the_api_server_responds(
    away: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_module, "STUCK_SECONDS", 0.0)
    monkeypatch.setattr(runtime_module, "FIRST_RESYNC_SECONDS", 0.1)
    cluster = Hanging()
    cluster.submit("a", SPEC)
    runtime = Runtime(cluster, CONFIG, ca=CA, clock=lambda: cluster.now)
    await runtime.start()
    await until("the turn to begin", lambda: runtime._queue.oldest_active is not None)
    cluster.away = away
    if away:
        await until("a list without an answer", lambda: cluster.requests)
        assert runtime.health() is None
    else:
        await until("a hanging turn", lambda: "although the API server answers" in (runtime.health() or ""))
    await runtime.stop()


async def run_event_loop() -> None:
    """Run the event loop until nothing more happens by itself."""
    for _ in range(200):
        await asyncio.sleep(0)


async def test_a_follower_observes_everything_and_writes_nothing() -> None:
    cluster = Cluster()
    cluster.submit("a", SPEC)
    runtime = Runtime(cluster, CONFIG, ca=CA, clock=lambda: cluster.now)
    await runtime.follow()
    cluster.submit("b", SPEC)
    for kind, event, body in cluster.log:
        runtime.observe(kind, event, body)
    await run_event_loop()
    assert (runtime.ready, runtime.leads) == (True, False)
    assert all(runtime.directory.find("trainingjobs", NAMESPACE, name) is not None for name in "ab")
    assert cluster.writes == []
    await runtime.lead()
    await until("both Jobs", lambda: sorted(cluster.of(JOBS)) == ["a-1", "b-1"])
    await runtime.stop()


async def test_a_new_leader_lists_before_it_decides() -> None:
    """The watches of the new leader have not delivered the Job that uses the limit of one."""
    cluster, limits = Cluster(), CONFIG.model_copy(update={"admission": Admission(max_concurrent_jobs=1)})
    cluster.submit("a", SPEC)
    follower = Runtime(cluster, limits, ca=CA, clock=lambda: cluster.now)
    await follower.follow()
    cluster.submit("b", {**SPEC, "priority": "Urgent"})
    last = StepOperator(cluster, limits)
    last.reconcile("b")
    assert sorted(cluster.of(JOBS)) == ["b-1"]
    await follower.lead()
    await until("a in the queue", lambda: phase(cluster) == "Queued")
    assert sorted(cluster.of(JOBS)) == ["b-1"]
    await follower.stop()


async def test_draining_finishes_active_reconciles_and_starts_no_other() -> None:
    released = asyncio.Event()

    class Slow(Cluster):
        async def create(self, resource: Resource, namespace: str, body: Body) -> Body:
            await released.wait()
            return await super().create(resource, namespace, body)

    cluster = Slow()
    for name in "abc":
        cluster.submit(name, SPEC)
    runtime = Runtime(cluster, CONFIG.model_copy(update={"workers": 1}), ca=CA, clock=lambda: cluster.now)
    await runtime.start()
    await run_event_loop()
    assert await runtime.drain(0.01) is False, "a write is in progress"
    drained = asyncio.create_task(runtime.drain(5))
    await run_event_loop()
    released.set()
    assert await drained is True
    written = list(cluster.writes)
    await run_event_loop()
    assert cluster.writes == written
    assert len(cluster.of(JOBS)) <= 1, "the active reconcile, and no other"
    await runtime.stop()
