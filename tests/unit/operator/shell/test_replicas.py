"""Several operators with one API server: one leads, and the others observe everything and write nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.unit.operator.shell.fake_api import TRAINING_JOBS, FakeApi, fake_api, training_job
from tests.unit.operator.shell.process import Replica
from tests.unit.operator.shell.test_app import LOCAL, PATHS, TIMEOUT_SECONDS, _probe, until
from trainyard_operator.core.config import LeaderElection, OperatorConfig
from trainyard_operator.shell.app import Operator
from trainyard_operator.shell.main import SIGNALS

LEASE = "/apis/coordination.k8s.io/v1/namespaces/{}/leases/{}"
LEADER = LEASE.format("trainyard", "trainyard-leader")
CLUSTER = LEASE.format("kube-public", "trainyard")
CONFIG = LOCAL.model_copy(update={"leader_election": LeaderElection(lease_seconds=2)})


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with fake_api() as api:
        yield api


@pytest.fixture(autouse=True)
async def _remove_signal_handlers_of_kopf() -> AsyncIterator[None]:
    yield
    for number in SIGNALS:
        asyncio.get_running_loop().remove_signal_handler(number)


@asynccontextmanager
async def replica(
    api: FakeApi, name: str, config: OperatorConfig = CONFIG
) -> AsyncIterator[tuple[Operator, asyncio.Event]]:
    stop = asyncio.Event()
    operator = Operator(config, api.credentials, stop=stop, env={"POD_NAME": name})
    task = asyncio.create_task(operator.run())
    try:
        yield operator, stop
    finally:
        stop.set()
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await task


async def readiness_says(operator: Operator, words: str) -> None:
    async def holds() -> bool:
        try:
            code, text = await _probe(operator, "/readyz")
        except (aiohttp.ClientError, IndexError):  # the probes do not listen yet
            return False
        return code == 200 and words in text

    await until(f"readiness that says {words!r}", holds)


async def created(api: FakeApi, name: str, version: int) -> None:
    """Create a TrainingJob, and wait for its Job."""
    api.created_job.clear()
    await api.send(TRAINING_JOBS, "ADDED", training_job(name, version))
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await api.created_job.wait()


Start = Callable[..., Replica]


@pytest.fixture
def start(api: FakeApi, tmp_path: Path) -> Iterator[Start]:
    """Return ``start(name, **config)``. It starts a process, because the end of kopf also ends every younger task."""
    user = {"name": "u", "user": {"token": api.credentials.token.current()}}
    cluster = {"name": "c", "cluster": {"server": api.url}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
    content = {"clusters": [cluster], "users": [user], "contexts": [context], "current-context": "x"}
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(content), encoding="utf-8")
    replicas: list[Replica] = []

    def run(name: str, **config: Any) -> Replica:
        replicas.append(Replica(name, kubeconfig, tmp_path, {"storage": {"uri": "s3://models/"}, **config}))
        return replicas[-1]

    yield run
    for each in replicas:
        each.clean_up()


async def test_the_second_replica_follows_until_the_first_terminates(api: FakeApi, start: Start) -> None:
    """This happens long before the Lease would have expired."""
    first = start("first", leaderElection={"leaseSeconds": 120})
    await first.is_ready("first leads")
    api.watches.clear()
    second = start("second", leaderElection={"leaseSeconds": 120})
    await second.is_ready("follows first")
    await api.until_watched(*PATHS)
    await api.send(TRAINING_JOBS, "ADDED", training_job("heard", 101))
    api.objects.clear()  # the next list does not have it
    assert api.leases[LEADER]["spec"]["holderIdentity"] == "first"
    assert await first.terminate() == 0
    await second.is_ready("second leads")
    assert api.jobs == [], "a follower creates nothing, and a new leader uses its list"
    await created(api, "early", 102)
    assert api.jobs == ["early-1"]
    assert api.leases[LEADER]["spec"]["leaseTransitions"] == 1
    assert await second.terminate() == 0
    assert api.leases[LEADER]["spec"]["holderIdentity"] == "", "the Lease is released"


async def test_a_replica_that_loses_the_lease_stops_writing_and_follows(api: FakeApi) -> None:
    async with replica(api, "first") as (first, _):
        await api.until_watched(*PATHS)
        await readiness_says(first, "first leads")
        await created(api, "a", 101)
        other: dict[str, Any] = api.leases[LEADER]
        metadata = {**other["metadata"], "resourceVersion": "9999"}
        spec = {**other["spec"], "holderIdentity": "other", "leaseDurationSeconds": 600}
        api.leases[LEADER] = {**other, "metadata": metadata, "spec": spec}
        api.watches.clear()
        await readiness_says(first, "follows other")
        done = list(api.writes)
        await api.until_watched(*PATHS)
        api.objects[TRAINING_JOBS] = [training_job("b", 102)]
        await api.send(TRAINING_JOBS, "ADDED", training_job("b", 102))
        assert (await _probe(first, "/healthz"))[0] == 200
        api.leases[LEADER]["spec"]["leaseDurationSeconds"] = 1
        await readiness_says(first, "first leads")
        await until("the Job of b", lambda: _has_job(api, "b-1"))
    assert api.writes[: len(done)] == done
    assert "b-1" not in [body["metadata"]["name"] for _, path, body in done if path.endswith("/jobs")]


async def _has_job(api: FakeApi, job: str) -> bool:
    return job in api.jobs


async def test_an_outage_ends_the_lead_in_time(api: FakeApi) -> None:
    async with replica(api, "first") as (first, _):
        await readiness_says(first, "first leads")
        await api.until_watched(*PATHS)
        api.refuse = 503
        await until("the lead to be lost", lambda: _has_lost_the_lead(first))
        assert (await _probe(first, "/healthz"))[0] == 200, "a restart would not help"
        api.refuse = None
        await readiness_says(first, "first leads")


async def _has_lost_the_lead(operator: Operator) -> bool:
    return "leads" not in operator.describe()


async def test_two_releases_for_the_whole_cluster_never_lead_at_once(api: FakeApi, start: Start) -> None:
    first = start("first", leaderElection={"leaseSeconds": 2})
    await until("the claim", lambda: _holds(api, CLUSTER, "trainyard/trainyard"))
    second = start("second", leaderElection={"leaseSeconds": 2}, namespace="elsewhere")
    await second.is_ready("second leads; the whole cluster is held by the release trainyard/trainyard")
    assert 'trainyard_namespace_claimed{namespace=""} 0.0' in (await second.get("/metrics"))[1]
    api.objects[TRAINING_JOBS] = [training_job("a", 50)]
    first.kill()
    await until("the other one to take over", lambda: _holds(api, CLUSTER, "elsewhere/trainyard"))
    await until("the Job of a", lambda: _has_job(api, "a-1"))
    assert 'trainyard_namespace_claimed{namespace=""} 1.0' in (await second.get("/metrics"))[1]


async def _holds(api: FakeApi, path: str, release: str) -> bool:
    return path in api.leases and api.leases[path]["spec"]["holderIdentity"] == release


async def test_a_namespace_of_another_release_is_left_alone(api: FakeApi) -> None:
    claim = LEASE.format("team", "trainyard")
    metadata = {"name": "trainyard", "namespace": "team", "resourceVersion": "1"}
    spec = {"holderIdentity": "tenant/own", "leaseDurationSeconds": 600, "renewTime": "2026-11-29T00:00:00.000000Z"}
    api.leases[claim] = {"metadata": metadata, "spec": spec}
    theirs, ours = training_job("theirs", 50), training_job("ours", 51)
    ours["metadata"]["namespace"] = "other"
    api.objects[TRAINING_JOBS] = [theirs, ours]
    async with replica(api, "first") as (first, _):
        await until("the Job of the other namespace", lambda: _has_job(api, "ours-1"))
        await readiness_says(
            first, "namespace team is held by the release tenant/own (Lease team/trainyard); waiting for it"
        )
        assert api.jobs == ["ours-1"]
        api.leases[claim]["spec"]["holderIdentity"] = ""
        api.leases[claim]["metadata"]["resourceVersion"] = "2"
        await until("the Job of the namespace that became free", lambda: _has_job(api, "theirs-1"))
        assert api.leases[claim]["spec"]["holderIdentity"] == "trainyard/trainyard"


async def test_releases_of_different_namespaces_are_independent(api: FakeApi) -> None:
    mine = CONFIG.model_copy(update={"namespaces": ("team-a",), "namespace": "team-a"})
    yours = CONFIG.model_copy(update={"namespaces": ("team-b",), "namespace": "team-b"})
    async with replica(api, "mine", mine) as (one, _), replica(api, "yours", yours) as (two, _):
        for operator, name in ((one, "mine"), (two, "yours")):
            await readiness_says(operator, f"{name} leads")
        for team in ("team-a", "team-b"):
            path = LEASE.format(team, "trainyard")
            await until(f"the claim of {team}", lambda path=path, team=team: _holds(api, path, f"{team}/trainyard"))
    assert CLUSTER not in api.leases
