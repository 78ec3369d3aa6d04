"""ModelDeployments on a real API server, where the operator dies before and after each of its writes."""

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

AT_ONCE = 5
"""Lives that run side by side."""

State = tuple[Any, ...]
"""What must not hang on where an operator died."""

End = tuple[list[State], Counter[str]]
"""The states at the rests of a life, and the Events about the ModelDeployment."""

Life = Callable[[Shop], Coroutine[Any, Any, list[State]]]
"""What users and pods do, whoever watches over it; returns the state at each rest."""


@pytest.fixture
def credentials(crds: Path) -> Credentials:
    return load_credentials({"KUBECONFIG": str(crds)})


async def blue_green(shop: Shop) -> list[State]:
    await shop.deploy()
    await shop.publish(1)
    await shop.serves(1)
    await shop.publish(2)
    return [await state_of(shop, await shop.serves(2))]


async def a_corrupt_one_and_back(shop: Shop) -> list[State]:
    states = await blue_green(shop)
    shop.health[3] = 65
    await shop.publish(3)
    await shop.until("version 3 to be rejected", lambda s: any(r["version"] == 3 for r in rejections(s)))
    await shop.act("rollback/previous/t1")
    back = await shop.until("version 1 to serve again", lambda s: s["activeVersion"] == 1 and s["phase"] == "Held")
    return [*states, await state_of(shop, back)]


async def state_of(shop: Shop, status: dict[str, Any]) -> State:
    """Return the state of a life at rest."""

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


async def live(credentials: Credentials, life: Life, fault: Fault | None) -> tuple[End, int]:
    """Live one life; an operator that dies is followed by another. Return its end and the writes."""
    async with new_shop(credentials) as shop:

        async def to_the_end() -> End:
            states = await life(shop)
            events = (await shop.namespace.all(EVENTS)).values()
            return states, Counter(e["reason"] for e in events if e["regarding"]["kind"] == "ModelDeployment")

        end = asyncio.create_task(to_the_end())
        async with shop.namespace.operator(fault) as port:
            dies = asyncio.create_task(fault.died.wait()) if fault is not None else None
            await asyncio.wait([end, *([dies] if dies else [])], return_when=asyncio.FIRST_COMPLETED)
            if dies:
                dies.cancel()
            if end.done():
                return end.result(), sum(port.writes.values())
        async with shop.namespace.operator():
            return await end, sum(port.writes.values())


async def live_with_every_fault(
    credentials: Credentials, life: Life, make: Callable[[int], Fault], *, events_are_lost: bool = False
) -> None:
    """Live as often as there are writes, with the fault at each of them, and compare the ends."""
    limit = asyncio.Semaphore(AT_ONCE)
    (wanted, told), writes = await live(credentials, life, None)

    async def one(at: int) -> None:
        async with limit:
            fault = make(at)
            (states, events), _ = await live(credentials, life, fault)
            assert states == wanted, f"write {at}"
            assert events <= told if events_are_lost else events == told, f"write {at}: {events}, not {told}"

    async with asyncio.TaskGroup() as group:
        for at in range(1, writes + 1):
            group.create_task(one(at))


@KILLED
async def test_killed_at_any_write(credentials: Credentials, *, after: bool) -> None:
    await live_with_every_fault(credentials, a_corrupt_one_and_back, lambda at: Fault(at, after=after))


@REFUSED
async def test_refused_at_any_write(credentials: Credentials, error: Exception, *, after: bool) -> None:
    """An Event that cannot be written is given up, never told twice."""
    make = lambda at: Fault(at, after=after, error=error)  # noqa: E731
    await live_with_every_fault(credentials, blue_green, make, events_are_lost=not after)
