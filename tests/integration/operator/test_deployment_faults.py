"""ModelDeployments on a real API server. The operator dies before and after each of its writes."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.integration.operator.faults import KILLED, REFUSED, Fault
from tests.integration.operator.shop import Shop, new_shop, rejections
from trainyard_operator.core.plan import Body
from trainyard_operator.kube.credentials import Credentials, load_credentials
from trainyard_operator.kube.port import EVENTS, MODEL_VERSIONS

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(580)]

PARALLEL_RUNS = 5
"""Scenarios that run in parallel."""

State = tuple[Any, ...]
"""The facts that must be the same wherever the operator died."""

Result = tuple[list[State], Counter[str]]
"""The checked states of a scenario, and the Events about the ModelDeployment."""

Scenario = Callable[[Shop], Coroutine[Any, Any, list[State]]]
"""The actions of users and pods, whichever operator runs. Returns the states to compare."""


@pytest.fixture
def credentials(crds: Path) -> Credentials:
    return load_credentials({"KUBECONFIG": str(crds)})


async def blue_green(shop: Shop) -> list[State]:
    await shop.deploy()
    await shop.publish(1)
    await shop.serves(1)
    await shop.publish(2)
    return [await state_of(shop, await shop.serves(2))]


async def corrupt_version_and_rollback(shop: Shop) -> list[State]:
    states = await blue_green(shop)
    shop.health[3] = 65
    await shop.publish(3)
    await shop.until("version 3 to be rejected", lambda s: any(r["version"] == 3 for r in rejections(s)))
    await shop.act("rollback/previous/t1")
    back = await shop.until("version 1 to serve again", lambda s: s["activeVersion"] == 1 and s["phase"] == "Held")
    return [*states, await state_of(shop, back)]


async def state_of(shop: Shop, status: dict[str, Any]) -> State:
    """Return the state once nothing changes any more."""

    versions: dict[str, Body] = {}

    async def quarantined() -> bool:
        versions.update(await shop.namespace.all(MODEL_VERSIONS))
        phases = {body["spec"]["version"]: body["status"]["phase"] for body in versions.values()}
        return all(phases[entry["version"]] == "Quarantined" for entry in rejections(status))

    await shop.namespace.until("rejected versions to be quarantined", quarantined)
    return (
        status["phase"],
        status["activeVersion"],
        status.get("previousVersion"),
        status.get("candidateVersion"),
        [(entry["version"], entry["outcome"]) for entry in status["history"]],
        [(entry["version"], entry["reason"]) for entry in rejections(status)],
        (status.get("hold") or {}).get("above"),
        {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]},
        await shop.selected(),
        {name: body["status"]["phase"] for name, body in versions.items()},
    )


async def run_scenario(credentials: Credentials, scenario: Scenario, fault: Fault | None) -> tuple[Result, int]:
    """Run one scenario. If the operator dies, start another one. Return the result and the number of writes."""
    async with new_shop(credentials) as shop:

        async def run_to_completion() -> Result:
            states = await scenario(shop)
            events = (await shop.namespace.all(EVENTS)).values()
            return states, Counter(e["reason"] for e in events if e["regarding"]["kind"] == "ModelDeployment")

        result = asyncio.create_task(run_to_completion())
        async with shop.namespace.operator(fault) as port:
            dies = asyncio.create_task(fault.died.wait()) if fault is not None else None
            await asyncio.wait([result, *([dies] if dies else [])], return_when=asyncio.FIRST_COMPLETED)
            if dies:
                dies.cancel()
            if result.done():
                return result.result(), sum(port.writes.values())
        async with shop.namespace.operator():
            return await result, sum(port.writes.values())


async def run_with_every_fault(
    credentials: Credentials, scenario: Scenario, make: Callable[[int], Fault], *, events_are_lost: bool = False
) -> None:
    """Run the scenario once for each write, with the fault at this write, and compare the results."""
    limit = asyncio.Semaphore(PARALLEL_RUNS)
    (expected_states, expected_events), writes = await run_scenario(credentials, scenario, None)

    async def one(at: int) -> None:
        async with limit:
            fault = make(at)
            (states, events), _ = await run_scenario(credentials, scenario, fault)
            assert states == expected_states, f"write {at}"
            assert events <= expected_events if events_are_lost else events == expected_events, (
                f"write {at}: {events}, not {expected_events}"
            )

    async with asyncio.TaskGroup() as group:
        for at in range(1, writes + 1):
            group.create_task(one(at))


@KILLED
async def test_killed_at_any_write(credentials: Credentials, *, after: bool) -> None:
    await run_with_every_fault(credentials, corrupt_version_and_rollback, lambda at: Fault(at, after=after))


@REFUSED
async def test_refused_at_any_write(credentials: Credentials, error: Exception, *, after: bool) -> None:
    """An Event that cannot be written is lost. It is never written twice."""
    make = lambda at: Fault(at, after=after, error=error)  # noqa: E731
    await run_with_every_fault(credentials, blue_green, make, events_are_lost=not after)
