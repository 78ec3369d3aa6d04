"""Two replicas of one release on a real API server. The leader is killed, stopped, paused and cut off."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.operator.namespace import POLL_SECONDS, SPEC, Namespace
from tests.integration.replicas.conftest import Start
from tests.integration.replicas.proxy import Proxy, through
from tests.unit.operator.samples import result_text
from trainyard_api import API_VERSION, meta
from trainyard_operator.core.plan import Body
from trainyard_operator.kube.port import EVENTS, JOBS, LEASES, MODEL_DEPLOYMENTS, TRAINING_JOBS, TRAINING_SCHEDULES

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

MAX_JOBS = 2
KILLS = 20
DEFAULT_KILLS = 4
SEED = 20261129
MERGE = "application/merge-patch+json"


class Work:
    """Jobs in a queue under a limit, the pods that train them, and a user who sends requests by annotation."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self.names: list[str] = []
        self._ran: set[str] = set()
        self._runs = 0

    @property
    def config(self) -> dict[str, Any]:
        """The configuration of a release that reconciles this namespace."""
        name = self.namespace.name
        return {"namespaces": [name], "namespace": name, "admission": {"maxConcurrentJobs": MAX_JOBS}}

    async def prepare(self) -> None:
        run = {"spec": {**SPEC, "suspend": True}}
        spec = {"schedule": "0 0 1 1 *", "template": run, "concurrencyPolicy": "Allow"}
        await self._create(TRAINING_SCHEDULES, "TrainingSchedule", "yearly", spec)
        await self._create(MODEL_DEPLOYMENTS, "ModelDeployment", "shop", {"modelName": "m"})

    async def submit(self, count: int) -> None:
        for _ in range(count):
            self.names.append(f"job-{len(self.names)}")
            await self.namespace.apply(self.names[-1])

    async def run_pods(self) -> None:
        """Let each pod run and succeed, until the test ends. No other code ends Jobs, so this one sees all of them."""
        while True:
            jobs = await self.jobs()
            active = [name for name, body in jobs.items() if not _ended(body)]
            assert len(active) <= MAX_JOBS, f"{active} at a time, {MAX_JOBS} are allowed"
            for name in sorted(set(active) - self._ran):
                await self.namespace.run_pod(name)
                await self.namespace.end_pod(name, 0, result_text(1))
                self._ran.add(name)
            await asyncio.sleep(POLL_SECONDS)

    async def jobs(self) -> dict[str, Body]:
        return await self.namespace.all(JOBS)

    async def ask(self) -> Callable[[], Any]:
        """Request a run of the schedule, and a hold or its release.

        Return a check that is true once both were handled.
        """
        self._runs += 1
        runs, holds = self._runs, self._runs % 2 == 1
        verb = f"{'hold' if holds else 'release'}/{runs}"
        await self._annotate(TRAINING_SCHEDULES, "yearly", {meta.RUN_NOW_ANNOTATION: f"now-{runs}"})
        await self._annotate(MODEL_DEPLOYMENTS, "shop", {meta.ACTION_ANNOTATION: verb})

        async def handled() -> bool:
            made = [name for name in await self.namespace.all(TRAINING_JOBS) if name.startswith("yearly-")]
            assert len(made) <= runs, made
            shop = await self.namespace.client.get(MODEL_DEPLOYMENTS, self.namespace.name, "shop")
            return len(made) == runs and bool((shop.get("status") or {}).get("hold")) == holds

        return handled

    async def wait_until_trained(self) -> None:
        """Wait until every TrainingJob has succeeded with one Job."""

        async def done() -> bool:
            found = await self.namespace.all(TRAINING_JOBS)
            return all(found[name]["status"].get("phase") == "Succeeded" for name in self.names)

        await self.namespace.until("every TrainingJob to succeed", done, seconds=300)
        assert sorted(await self.jobs()) == sorted(f"{name}-1" for name in self.names)

    async def holder(self) -> str:
        """Return the holder of the Lease. It is empty if the Lease was released or does not exist yet."""
        lease = (await self.namespace.all(LEASES)).get("trainyard-leader") or {"spec": {}}
        return str(lease["spec"].get("holderIdentity") or "")

    async def leader(self, *, but: str = "") -> str:
        """Wait for a leader other than ``but``, and return it."""

        async def ask() -> str | None:
            holder = await self.holder()
            return holder if holder not in ("", but) else None

        return await self.namespace.until("a leader", ask)

    async def _create(self, resource: Any, kind: str, name: str, spec: dict[str, Any]) -> None:
        body = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}
        await self.namespace.request("POST", self.namespace.path(resource), body)

    async def _annotate(self, resource: Any, name: str, annotations: dict[str, str]) -> None:
        body = {"metadata": {"annotations": annotations}}
        await self.namespace.request("PATCH", self.namespace.path(resource, name), body, content_type=MERGE)


def _ended(job: Body) -> bool:
    return any(each["type"] in ("Complete", "Failed") for each in job.get("status", {}).get("conditions") or ())


@asynccontextmanager
async def pods_of(work: Work) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(work.run_pods())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    if not task.cancelled():
        task.result()


@pytest.fixture
async def work(namespace: Namespace) -> Work:
    work = Work(namespace)
    await work.prepare()
    return work


async def test_a_leader_that_is_killed_at_any_moment_is_replaced(
    work: Work, start: Start, record_property: Callable[[str, object], None]
) -> None:
    moments, failovers = random.Random(SEED), list[float]()
    replicas = {name: start(name, **work.config) for name in ("r0", "r1")}
    async with pods_of(work) as pods:
        leader = await work.leader()
        for kill in range(KILLS):
            for replica in replicas.values():
                await replica.is_ready()
            await work.submit(3)
            handled = await work.ask() if kill % 2 else None
            await asyncio.sleep(moments.uniform(0, 1.5))  # the moment of the fault
            replicas.pop(leader).kill()
            killed = time.monotonic()
            handled = handled or await work.ask()
            replicas[f"r{kill + 2}"] = start(f"r{kill + 2}", **work.config)
            leader = await work.leader(but=leader)
            failovers.append(time.monotonic() - killed)
            await work.namespace.until("the requests to be handled", handled)
            assert not pods.done(), pods.exception()
        await work.wait_until_trained()
        assert not pods.done(), pods.exception()
    record_property("failover_seconds", sorted(round(each, 1) for each in failovers))
    print("failover after a kill, s:", sorted(round(each, 1) for each in failovers))


async def test_a_killed_leader_is_replaced_with_the_default_lease(
    work: Work, start: Start, record_property: Callable[[str, object], None]
) -> None:
    config = {**work.config, "leaderElection": {}}
    replicas, failovers = {name: start(name, **config) for name in ("d0", "d1")}, list[float]()
    leader = await work.leader()
    for kill in range(DEFAULT_KILLS):
        for replica in replicas.values():
            await replica.is_ready()
        replicas.pop(leader).kill()
        killed = time.monotonic()
        leader = await work.leader(but=leader)
        await replicas[leader].says("makes decisions from now on")
        failovers.append(time.monotonic() - killed)
        replicas[f"d{kill + 2}"] = start(f"d{kill + 2}", **config)
    record_property("failover_seconds", failovers)
    print("failover after a kill with the default Lease, s:", sorted(round(each, 1) for each in failovers))


async def test_a_leader_that_is_terminated_is_replaced_at_once(work: Work, start: Start) -> None:
    """The Lease lasts 60 seconds. A killed leader would hold it until its end."""
    config = {**work.config, "leaderElection": {"leaseSeconds": 60}}
    first = start("first", **config)
    await first.says("makes decisions from now on")
    second = start("second", **config)
    assert await second.is_ready("follows first")
    await work.submit(3)
    handled = await work.ask()
    begun = time.monotonic()
    assert await first.terminate() == 0
    assert await work.leader(but="first") == "second"
    print(f"failover after an end in order, s: {time.monotonic() - begun:.1f}")
    await second.says("makes decisions from now on")
    async with pods_of(work):
        await work.namespace.until("the requests to be handled", handled)
        await work.wait_until_trained()
    assert "first released Lease" in "".join(first.lines())
    await second.says("the custom resource definitions are those of release")


async def test_a_leader_paused_longer_than_its_lease_writes_nothing_when_it_continues(work: Work, start: Start) -> None:
    """The leader is paused while it works and while more work is in its queue."""
    config = {**work.config, "admission": {"maxConcurrentJobs": 0}}
    paused = start("paused", **config)
    await paused.says("makes decisions from now on")
    other = start("other", **config)
    await other.is_ready("follows paused")
    await work.submit(40)
    await work.namespace.until("the first Jobs", work.jobs)
    before = await paused.writes()
    paused.pause()
    assert await work.leader(but="paused") == "other"
    await other.says("makes decisions from now on")
    await work.namespace.until("all Jobs", lambda: _count(work, 40))
    events = await _events_of(work, "paused")
    paused.go_on()
    await paused.says("is not the leader any more")
    await paused.is_ready("follows other")
    assert await _events_of(work, "paused") == events
    after = await paused.writes()
    print("writes while it led and was asked:", sum(before.values()), "in all:", sum(after.values()))
    assert await work.holder() == "other"
    assert Counter(name.rpartition("-")[2] for name in await work.jobs()) == {"1": 40}
    settled = await paused.writes()
    await work.submit(5)
    await work.namespace.until("all Jobs", lambda: _count(work, 45))
    assert await paused.writes() == settled, "a follower writes nothing"


async def _count(work: Work, wanted: int) -> bool:
    return len(await work.jobs()) >= wanted


async def _events_of(work: Work, instance: str) -> int:
    events = await work.namespace.all(EVENTS)
    return sum(body.get("reportingInstance") == instance for body in events.values())


async def test_a_leader_without_the_api_server_stops_before_another_one_leads(
    work: Work, start: Start, crds: Path, tmp_path: Path
) -> None:
    async with Proxy.to(crds) as proxy:
        lonely = start("lonely", kubeconfig=through(proxy, crds, tmp_path), **work.config)
        await lonely.says("makes decisions from now on")
        other = start("other", **work.config)
        await other.is_ready("follows lonely")
        await proxy.cut()
        lost = asyncio.create_task(lonely.says("is not the leader any more"))
        won = asyncio.create_task(other.says("is the leader"))
        await asyncio.wait([lost, won], return_when=asyncio.FIRST_COMPLETED)
        assert lost.done(), "the other replica led before this one had stopped"
        await won
        assert (await lonely.get("/healthz"))[0] == 200, "the probe must not cause a restart"
        proxy.restore()
        await lonely.is_ready("follows other")
