"""Several releases on a real API server.

One release works in each namespace. The others wait and report which one it is.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.integration.operator.namespace import Namespace
from tests.integration.operator.test_faults import new_namespace
from tests.integration.replicas.conftest import Start
from trainyard_operator.core.plan import Body
from trainyard_operator.kube.credentials import Credentials
from trainyard_operator.kube.port import JOBS, LEASES

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.fixture
async def teams(credentials: Credentials) -> AsyncIterator[list[Namespace]]:
    """Return three namespaces."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(new_namespace(credentials)) for _ in range(3)]


def release(home: Namespace, *watched: Namespace) -> dict[str, Any]:
    """Return the configuration of a release in ``home``. Without ``watched`` it watches all namespaces."""
    images = {"trainer": f"trainer:{home.name}"}
    return {
        "namespace": home.name,
        "namespaces": [each.name for each in watched],
        "images": images,
        # On a busy machine, a short Lease could expire under a live leader.
        "leaderElection": {"leaseSeconds": 8},
    }


async def job_is_created_by(team: Namespace, home: Namespace, name: str) -> None:
    """Apply a TrainingJob, and wait for a Job that the release in ``home`` creates for it."""
    await team.apply(name)

    async def made() -> Body | None:
        return (await team.all(JOBS)).get(f"{name}-1")

    job = await team.until(f"a Job of {name}", made)
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"trainer:{home.name}"


async def holder(team: Namespace) -> str:
    lease = (await team.all(LEASES)).get("trainyard")
    return str(lease["spec"].get("holderIdentity") or "") if lease is not None else ""


async def wait_for_claim(team: Namespace, home: Namespace) -> None:
    async def ask() -> bool:
        return await holder(team) == f"{home.name}/trainyard"

    await team.until(f"the claim of {home.name}", ask)


async def test_two_releases_for_the_whole_cluster(teams: list[Namespace], start: Start) -> None:
    one, two, team = teams
    first = start("first", **release(one))
    await job_is_created_by(team, one, "a")
    second = start("second", **release(two))
    text = await second.is_ready(f"the whole cluster is held by the release {one.name}/trainyard")
    assert "second leads" in text
    await job_is_created_by(team, one, "b")
    assert sum((await second.writes()).values()) == 0
    first.kill()
    await job_is_created_by(team, two, "c")
    await wait_for_claim(team, two)
    assert await second.terminate() == 0


async def test_a_release_for_the_cluster_leaves_a_tenants_namespace_alone(teams: list[Namespace], start: Start) -> None:
    tenant, wide, free = teams
    own = start("own", **release(tenant, tenant))
    await wait_for_claim(tenant, tenant)
    start("wide", **release(wide))
    await job_is_created_by(free, wide, "a")
    await job_is_created_by(tenant, tenant, "a")
    await wait_for_claim(free, wide)
    own.kill()
    await job_is_created_by(tenant, wide, "b")
    await wait_for_claim(tenant, wide)


async def test_a_tenant_that_is_installed_second_waits(teams: list[Namespace], start: Start) -> None:
    tenant, wide, _ = teams
    first = start("wide", **release(wide))
    await job_is_created_by(tenant, wide, "a")
    second = start("own", **release(tenant, tenant))
    await second.is_ready(f"namespace {tenant.name} is held by the release {wide.name}/trainyard")
    await job_is_created_by(tenant, wide, "b")
    assert sum((await second.writes()).values()) == 0
    metric = f'trainyard_namespace_claimed{{namespace="{tenant.name}"}} 0.0'
    assert metric in (await second.get("/metrics"))[1]
    first.kill()
    await job_is_created_by(tenant, tenant, "c")


async def test_only_one_of_two_tenants_works_in_a_shared_namespace(teams: list[Namespace], start: Start) -> None:
    one, both, two = teams
    start("first", **release(one, one, both))
    await wait_for_claim(both, one)
    second = start("second", **release(two, two, both))
    await wait_for_claim(two, two)
    await asyncio.gather(
        job_is_created_by(one, one, "a"), job_is_created_by(two, two, "a"), job_is_created_by(both, one, "a")
    )
    await second.is_ready(f"namespace {both.name} is held by the release {one.name}/trainyard")
