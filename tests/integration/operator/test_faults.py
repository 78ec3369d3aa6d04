"""The operator on a real API server dies before and after each of its writes. The result is always the same."""

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
PARALLEL_RUNS = 6
"""Scenarios that run in parallel."""
WRITE_VARIATION = 3
"""A user's edit may cause one status write more. Runs of one scenario differ by at most this many writes."""


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
class Scenario:
    """One way of a TrainingJob from apply to Succeeded.

    Attributes
    ----------
    actions
        What users and pods do, whichever operator runs.
    attempts
        The Jobs of the attempts, in order.
    expected_events
        The Events, each once.
    """

    actions: Callable[[Namespace], Coroutine[Any, Any, None]]
    attempts: list[str]
    expected_events: Counter[str]
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
    await namespace.make_pod_unschedulable("a-1", "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")
    await namespace.run_pod("a-1-cpu")
    await namespace.phase("Running")
    await namespace.end_pod("a-1-cpu", 0, result_text())


ACCELERATOR = {"resource": "nvidia.com/gpu", "fallback": "CPU", "fallbackAfterSeconds": 1}

SCENARIOS: dict[str, Scenario] = {
    "succeeds": Scenario(succeed, ["a-1"], Counter(AttemptStarted=1, Succeeded=1)),
    "fails-then-succeeds": Scenario(
        fail_then_succeed, ["a-1", "a-2"], Counter(AttemptStarted=2, AttemptFailed=1, Succeeded=1)
    ),
    "suspended-then-succeeds": Scenario(
        suspend_then_succeed, ["a-1", "a-2"], Counter(AttemptStarted=2, Suspended=1, Resumed=1, Succeeded=1)
    ),
    "finds-no-accelerator": Scenario(
        find_no_accelerator,
        ["a-1-cpu"],
        Counter(AttemptStarted=2, DeviceFallback=1, Succeeded=1),
        {"accelerator": ACCELERATOR},
    ),
}


async def ended(namespace: Namespace) -> None:
    """Wait until the job has ended and its version has a verdict. After this, nothing is written."""
    await namespace.phase("Succeeded")
    await namespace.judged()


async def run_scenario(
    credentials: Credentials, scenario: Scenario, fault: Fault | None
) -> tuple[dict[str, Any], Counter[str], int]:
    """Run one scenario. If the operator dies, start another one.

    Return the status, the Events, and the number of writes.
    """
    async with new_namespace(credentials) as namespace:
        await namespace.apply(**scenario.spec)
        actions = asyncio.create_task(scenario.actions(namespace))
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
        await actions
        status = await namespace.status()
        assert list(await namespace.all(MODEL_VERSIONS)) == ["a-v1"]
        kept = [attempt["jobName"] for attempt in status["attempts"] if attempt["reason"] != "Suspended"]
        assert sorted(await namespace.all(JOBS)) == kept
        events = [body for body in (await namespace.all(EVENTS)).values() if body["regarding"]["kind"] == "TrainingJob"]
        return status, Counter(body["reason"] for body in events), sum(port.writes.values())


async def run_with_every_fault(
    credentials: Credentials, name: str, make: Callable[[int], Fault], *, events_are_lost: bool = False
) -> None:
    """Run the scenario once for each write, with the fault at this write, and compare the results."""
    scenario = SCENARIOS[name]
    limit = asyncio.Semaphore(PARALLEL_RUNS)
    _, _, writes = await run_scenario(credentials, scenario, None)

    async def one(at: int) -> None:
        async with limit:
            fault = make(at)
            status, events, _ = await run_scenario(credentials, scenario, fault)
            assert fault.left <= 0 or at > writes - WRITE_VARIATION, f"write {at} of {writes} never happened"
            assert [attempt["jobName"] for attempt in status["attempts"]] == scenario.attempts
            assert status["attempts"][-1]["reason"] == "Completed"
            assert status["result"]["metrics"] == [{"name": "mae", "value": "1.5"}, {"name": "r2", "value": "0.4"}]
            assert status["modelVersion"] == {"name": "a-v1", "version": 1}
            assert events <= scenario.expected_events if events_are_lost else events == scenario.expected_events, (
                f"write {at}: {events}"
            )

    async with asyncio.TaskGroup() as group:
        for at in range(1, writes + 1):
            group.create_task(one(at))


@pytest.mark.parametrize("scenario", SCENARIOS)
@KILLED
async def test_killed_at_any_write(credentials: Credentials, scenario: str, *, after: bool) -> None:
    await run_with_every_fault(credentials, scenario, lambda at: Fault(at, after=after))


@REFUSED
async def test_refused_at_any_write(credentials: Credentials, error: Exception, *, after: bool) -> None:
    """An Event that cannot be written is lost. It is never written twice."""
    make = lambda at: Fault(at, after=after, error=error)  # noqa: E731
    await run_with_every_fault(credentials, "fails-then-succeeds", make, events_are_lost=not after)


async def test_operator_absent_while_the_job_finishes(namespace: Namespace) -> None:
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


async def test_deleting_a_running_job_leaves_nothing(namespace: Namespace) -> None:
    await namespace.apply()
    async with namespace.operator():
        await namespace.run_pod("a-1")
        await namespace.phase("Running")
        await namespace.request("DELETE", namespace.path(TRAINING_JOBS, "a"))

        async def gone() -> bool:
            left = [await namespace.all(resource) for resource in (TRAINING_JOBS, JOBS, PODS)]
            return not any(left)

        await namespace.until("TrainingJob, Job and pod to be gone", gone)


async def test_cancelling_a_running_job(namespace: Namespace) -> None:
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
async def test_changing_the_deadline_of_a_running_job(namespace: Namespace, seconds: int) -> None:
    """The new deadline is written to the Job. The Job controller enforces it, also while no operator runs."""
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


async def test_finished_jobs_are_deleted_after_their_ttl(namespace: Namespace) -> None:
    await namespace.apply(ttlSecondsAfterFinished=1)
    async with namespace.operator():
        await succeed(namespace)
        await namespace.phase("Succeeded")
        await namespace.judged()

        async def verdict_is_reported() -> dict[str, Any] | None:
            status = await namespace.status()
            return status if status["verdict"]["phase"] != "Pending" else None

        status = await namespace.until("the verdict to be reported", verdict_is_reported)

        async def gone() -> bool:
            return not await namespace.all(JOBS) and not await namespace.all(PODS)

        await namespace.until("Job and pod to be gone", gone)
        assert await namespace.status() == status
    assert list(await namespace.all(MODEL_VERSIONS)) == ["a-v1"]


async def test_quota_refuses_a_job_and_later_admits_it(namespace: Namespace) -> None:
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
        await namespace.phase("Starting")  # the operator retries every 30 s


async def test_a_foreign_job_with_the_name_is_reported(namespace: Namespace) -> None:
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
    foreign = {"metadata": {"name": "a-1"}, "spec": {"template": {"spec": pod}}}
    await namespace.request("POST", namespace.path(JOBS), foreign)
    await namespace.apply()
    async with namespace.operator():
        status = await namespace.phase("Pending")
    assert "Job a-1 already exists and does not belong to this TrainingJob" in status["conditions"][0]["message"]
    assert list(await namespace.all(JOBS)) == ["a-1"]


async def test_invalid_resources_fail_the_training_job(namespace: Namespace) -> None:
    await namespace.apply(resources={"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}})
    async with namespace.operator():
        status = await namespace.phase("Failed")
    conditions = {c["type"]: c for c in status["conditions"]}
    assert conditions["Stalled"]["reason"] == "InvalidSpec"
    assert "resources.requests" in conditions["Failed"]["message"]
    assert not await namespace.all(JOBS)
