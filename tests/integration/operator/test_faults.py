"""The operator on a real API server dies before and after each of its writes, and the end is always the same."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.integration.operator.faults import KILLED, REFUSED, Fault
from tests.integration.operator.namespace import Namespace
from tests.unit.operator.samples import failure_text, result_text
from trainyard_operator.core.config import ClientLimits
from trainyard_operator.kube.client import KubeClient
from trainyard_operator.kube.credentials import Credentials, load_credentials
from trainyard_operator.kube.port import EVENTS, JOBS, MODEL_VERSIONS, PODS, TRAINING_JOBS, Resource

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

QUOTAS = Resource("", "v1", "resourcequotas")
AT_ONCE = 6
"""Lives that run side by side."""
BY_CHANCE = 3
"""A status that meets a user's edit is written once more: one life may have so many writes more than the next."""


@pytest.fixture
def credentials(crds: Path) -> Credentials:
    return load_credentials({"KUBECONFIG": str(crds)})


@asynccontextmanager
async def new_namespace(credentials: Credentials) -> AsyncIterator[Namespace]:
    tls = credentials.tls if credentials.tls is not None else True
    connector = aiohttp.TCPConnector(ssl=tls, limit=0)
    async with (
        KubeClient(credentials, ClientLimits()) as client,
        aiohttp.ClientSession(connector=connector, read_bufsize=2**20) as session,
    ):
        namespace = Namespace(credentials, client, session, f"faults-{uuid.uuid4().hex[:8]}")
        await namespace.request("POST", "/api/v1/namespaces", {"metadata": {"name": namespace.name}})
        yield namespace


@pytest.fixture
async def namespace(credentials: Credentials) -> AsyncIterator[Namespace]:
    async with new_namespace(credentials) as namespace:
        yield namespace


@dataclass(frozen=True)
class Life:
    """One way from applied to succeeded.

    Attributes
    ----------
    world
        What users and pods do, whoever watches over it.
    attempts
        The Jobs of the attempts, in order.
    told
        The Events, each once.
    """

    world: Callable[[Namespace], Coroutine[Any, Any, None]]
    attempts: list[str]
    told: Counter[str]
    spec: dict[str, Any] = field(default_factory=dict)


async def succeed(namespace: Namespace) -> None:
    await namespace.run_pod("a-1")
    await namespace.end_pod("a-1", 0, result_text())


async def fail_then_succeed(namespace: Namespace) -> None:
    await namespace.run_pod("a-1")
    await namespace.end_pod("a-1", 69, failure_text("UpstreamUnavailable", "no S3"))
    await namespace.run_pod("a-2")
    await namespace.end_pod("a-2", 0, result_text())


async def suspend_then_succeed(namespace: Namespace) -> None:
    await namespace.run_pod("a-1")
    await namespace.phase("Running")
    await namespace.edit(suspend=True)
    await namespace.phase("Suspended")
    assert not await namespace.all(PODS)
    await namespace.edit(suspend=False)
    await namespace.run_pod("a-2")
    await namespace.phase("Running")
    await namespace.end_pod("a-2", 0, result_text())


async def find_no_accelerator(namespace: Namespace) -> None:
    await namespace.hold_pod("a-1", "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")
    await namespace.run_pod("a-1-cpu")
    await namespace.phase("Running")
    await namespace.end_pod("a-1-cpu", 0, result_text())


ACCELERATOR = {"resource": "nvidia.com/gpu", "fallback": "CPU", "fallbackAfterSeconds": 1}

LIVES: dict[str, Life] = {
    "succeeds": Life(succeed, ["a-1"], Counter(AttemptStarted=1, Succeeded=1)),
    "fails-then-succeeds": Life(
        fail_then_succeed, ["a-1", "a-2"], Counter(AttemptStarted=2, AttemptFailed=1, Succeeded=1)
    ),
    "suspended-then-succeeds": Life(
        suspend_then_succeed, ["a-1", "a-2"], Counter(AttemptStarted=2, Suspended=1, Resumed=1, Succeeded=1)
    ),
    "finds-no-accelerator": Life(
        find_no_accelerator,
        ["a-1-cpu"],
        Counter(AttemptStarted=2, DeviceFallback=1, Succeeded=1),
        {"accelerator": ACCELERATOR},
    ),
}


async def ended(namespace: Namespace) -> None:
    """Wait for the end of the job and for the verdict on its version: after that nothing is written."""
    await namespace.phase("Succeeded")
    await namespace.judged()


async def live(credentials: Credentials, life: Life, fault: Fault | None) -> tuple[dict[str, Any], Counter[str], int]:
    """Live one life; an operator that dies is followed by another. Return the status, the Events, and the writes."""
    async with new_namespace(credentials) as namespace:
        await namespace.apply(**life.spec)
        world = asyncio.create_task(life.world(namespace))
        async with namespace.operator(fault) as port:
            end = asyncio.create_task(ended(namespace))
            dies = asyncio.create_task(fault.died.wait()) if fault is not None else None
            await asyncio.wait([end, *([dies] if dies else [])], return_when=asyncio.FIRST_COMPLETED)
            died = not end.done()
            end.cancel()
            if dies:
                dies.cancel()
        if died:
            async with namespace.operator():
                await ended(namespace)
        await world
        status = await namespace.status()
        assert list(await namespace.all(MODEL_VERSIONS)) == ["a-v1"]
        kept = [attempt["jobName"] for attempt in status["attempts"] if attempt["reason"] != "Suspended"]
        assert sorted(await namespace.all(JOBS)) == kept
        events = [body for body in (await namespace.all(EVENTS)).values() if body["regarding"]["kind"] == "TrainingJob"]
        return status, Counter(body["reason"] for body in events), sum(port.writes.values())


async def live_with_every_fault(
    credentials: Credentials, name: str, make: Callable[[int], Fault], *, events_are_lost: bool = False
) -> None:
    """Live as often as there are writes, with the fault at each of them, and compare the ends."""
    life = LIVES[name]
    limit = asyncio.Semaphore(AT_ONCE)
    _, _, writes = await live(credentials, life, None)

    async def one(at: int) -> None:
        async with limit:
            fault = make(at)
            status, events, _ = await live(credentials, life, fault)
            assert fault.left <= 0 or at > writes - BY_CHANCE, f"write {at} of {writes} never came"
            assert [attempt["jobName"] for attempt in status["attempts"]] == life.attempts
            assert status["attempts"][-1]["reason"] == "Completed"
            assert status["result"]["metrics"] == [{"name": "mae", "value": "1.5"}, {"name": "r2", "value": "0.4"}]
            assert status["modelVersion"] == {"name": "a-v1", "version": 1}
            assert events <= life.told if events_are_lost else events == life.told, f"write {at}: {events}"

    async with asyncio.TaskGroup() as group:
        for at in range(1, writes + 1):
            group.create_task(one(at))


@pytest.mark.parametrize("life", LIVES)
@KILLED
async def test_killed_at_any_write(credentials: Credentials, life: str, *, after: bool) -> None:
    await live_with_every_fault(credentials, life, lambda at: Fault(at, after=after))


@REFUSED
async def test_refused_at_any_write(credentials: Credentials, error: Exception, *, after: bool) -> None:
    """An Event that cannot be written is given up, never told twice."""
    make = lambda at: Fault(at, after=after, error=error)  # noqa: E731
    await live_with_every_fault(credentials, "fails-then-succeeds", make, events_are_lost=not after)


async def test_absent_while_the_job_finishes(namespace: Namespace) -> None:
    await namespace.apply()
    async with namespace.operator():
        await namespace.phase("Starting")
    await succeed(namespace)

    async def complete() -> bool:
        return bool((await namespace.client.get(JOBS, namespace.name, "a-1"))["status"].get("completionTime"))

    await namespace.until("the Job to complete", complete)
    async with namespace.operator():
        status = await namespace.phase("Succeeded")
    assert status["result"]["metrics"][0] == {"name": "mae", "value": "1.5"}
    assert list(await namespace.all(MODEL_VERSIONS)) == ["a-v1"]


async def test_deleted_while_it_runs_leaves_nothing(namespace: Namespace) -> None:
    await namespace.apply()
    async with namespace.operator():
        await namespace.run_pod("a-1")
        await namespace.phase("Running")
        await namespace.request("DELETE", namespace.path(TRAINING_JOBS, "a"))

        async def gone() -> bool:
            left = [await namespace.all(resource) for resource in (TRAINING_JOBS, JOBS, PODS)]
            return not any(left)

        await namespace.until("TrainingJob, Job and pod to be gone", gone)


async def test_cancelled_while_it_runs(namespace: Namespace) -> None:
    await namespace.apply()
    async with namespace.operator():
        await namespace.run_pod("a-1")
        await namespace.phase("Running")
        await namespace.edit(cancel=True)
        status = await namespace.phase("Cancelled")
    assert status["attempts"][0]["reason"] == "Cancelled"
    assert not await namespace.all(JOBS)
    assert not await namespace.all(PODS)


@pytest.mark.parametrize("seconds", [2, 3600])
async def test_a_deadline_that_changes_while_it_runs(namespace: Namespace, seconds: int) -> None:
    """Shorter or longer, it is the Job's own: the Job controller keeps it, also while no operator runs."""
    await namespace.apply(activeDeadlineSeconds=600)
    async with namespace.operator():
        await namespace.run_pod("a-1")
        await namespace.phase("Running")
        await namespace.edit(activeDeadlineSeconds=seconds)

        async def reached() -> bool:
            job = await namespace.client.get(JOBS, namespace.name, "a-1")
            return bool(job["spec"]["activeDeadlineSeconds"] == seconds)

        await namespace.until("the Job to have the new deadline", reached)
        if seconds > 600:
            await namespace.end_pod("a-1", 0, result_text())
            await namespace.phase("Succeeded")
            return
        status = await namespace.phase("Failed")
    assert status["attempts"][0]["reason"] == "DeadlineExceeded"
    assert not await namespace.all(PODS)


async def test_jobs_go_when_their_time_is_over(namespace: Namespace) -> None:
    await namespace.apply(ttlSecondsAfterFinished=1)
    async with namespace.operator():
        await succeed(namespace)
        await namespace.phase("Succeeded")
        await namespace.judged()

        async def told() -> dict[str, Any] | None:
            status = await namespace.status()
            return status if status["verdict"]["phase"] != "Pending" else None

        status = await namespace.until("the verdict to be told", told)

        async def gone() -> bool:
            return not await namespace.all(JOBS) and not await namespace.all(PODS)

        await namespace.until("Job and pod to be gone", gone)
        assert await namespace.status() == status
    assert list(await namespace.all(MODEL_VERSIONS)) == ["a-v1"]


async def test_quota_refuses_and_later_lets_go(namespace: Namespace) -> None:
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"count/jobs.batch": "0"}}}
    await namespace.request("POST", namespace.path(QUOTAS), quota)

    async def in_force() -> bool:
        return "hard" in ((await namespace.client.get(QUOTAS, namespace.name, "none")).get("status") or {})

    await namespace.until("the quota to be in force", in_force)
    await namespace.apply()
    async with namespace.operator():
        status = await namespace.phase("Pending")
        ready = next(c for c in status["conditions"] if c["type"] == "Ready")
        assert ready["reason"] == "JobRefused"
        assert "exceeded quota: none" in ready["message"]
        await namespace.request("DELETE", namespace.path(QUOTAS, "none"))
        await namespace.phase("Starting")  # it asks again every 30 s


async def test_a_foreign_job_has_the_name(namespace: Namespace) -> None:
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
    foreign = {"metadata": {"name": "a-1"}, "spec": {"template": {"spec": pod}}}
    await namespace.request("POST", namespace.path(JOBS), foreign)
    await namespace.apply()
    async with namespace.operator():
        status = await namespace.phase("Pending")
    assert "Job a-1 already exists and does not belong to this TrainingJob" in status["conditions"][0]["message"]
    assert list(await namespace.all(JOBS)) == ["a-1"]


async def test_resources_that_no_pod_can_have(namespace: Namespace) -> None:
    await namespace.apply(resources={"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}})
    async with namespace.operator():
        status = await namespace.phase("Failed")
    conditions = {c["type"]: c for c in status["conditions"]}
    assert conditions["Stalled"]["reason"] == "InvalidSpec"
    assert "resources.requests" in conditions["Failed"]["message"]
    assert not await namespace.all(JOBS)
