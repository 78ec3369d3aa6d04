"""Six TrainingJobs for two places on a real API server, two of them of one model; the operator dies at its writes."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.operator.faults import KILLED, Fault, FaultyPort
from tests.integration.operator.namespace import POLL_SECONDS, Namespace
from tests.integration.operator.test_faults import new_namespace
from tests.unit.operator.samples import result_text
from trainyard_api import meta
from trainyard_operator.core.config import Admission
from trainyard_operator.core.plan import Body
from trainyard_operator.kube.credentials import Credentials, load_credentials
from trainyard_operator.kube.port import EVENTS, JOBS, MODEL_VERSIONS, TRAINING_JOBS

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

PLACES = 2
AT_ONCE = 4
"""Lives that run side by side."""
STRIDE = 4
"""Of so many writes one is the last of its operator: before it for one kind of life, after it for the other."""

MODELS = {"a": "m", "b": "m", "c": "c", "d": "d", "e": "e", "f": "f"}
VERSIONS = {"a": 1, "b": 2, "c": 1, "d": 1, "e": 1, "f": 1}


@pytest.fixture
def credentials(crds: Path) -> Credentials:
    return load_credentials({"KUBECONFIG": str(crds)})


class World:
    """What pods do, and what is always true of the Jobs that are there."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self.started: list[str] = []

    async def run(self) -> None:
        """Let each pod run and succeed, as its Job appears, until every TrainingJob has had its own."""
        while len(self.started) < len(MODELS):
            jobs = await self.namespace.all(JOBS)
            live = {body["metadata"]["labels"][meta.JOB_LABEL]: name for name, body in jobs.items() if not ended(body)}
            assert len(live) <= PLACES, live
            assert max(Counter(MODELS[name] for name in live).values(), default=0) <= 1, live
            for name in sorted(live.keys() - set(self.started)):
                self.started.append(name)
                await self.namespace.run_pod(live[name])
                await self.namespace.end_pod(live[name], 0, result_text(VERSIONS[name]))
            await asyncio.sleep(POLL_SECONDS)


def ended(job: Body) -> bool:
    return any(each["type"] in ("Complete", "Failed") for each in job.get("status", {}).get("conditions") or ())


async def apply_all(namespace: Namespace) -> None:
    for name, model in MODELS.items():
        await namespace.apply(name, modelName=model, priority="Urgent" if name == "f" else "Normal")


async def all_ended(namespace: Namespace) -> None:
    async def ask() -> bool:
        found = await namespace.all(TRAINING_JOBS)
        return all(body["status"].get("phase") == "Succeeded" for body in found.values())

    await namespace.until("every TrainingJob to succeed", ask)


async def live(credentials: Credentials, fault: Fault | None) -> tuple[FaultyPort, bool]:
    """Live once; an operator that dies is followed by another. Check the end and return the first one's port."""
    limits = Admission(max_concurrent_jobs=PLACES)
    async with new_namespace(credentials) as namespace:
        await apply_all(namespace)
        world = asyncio.create_task(World(namespace).run())
        async with namespace.operator(fault, admission=limits) as port:
            end = asyncio.create_task(all_ended(namespace))
            dies = asyncio.create_task(fault.died.wait() if fault is not None else asyncio.Event().wait())
            await asyncio.wait([end, dies], return_when=asyncio.FIRST_COMPLETED)
            died = not end.done()
            end.cancel()
            dies.cancel()
        if died:
            async with namespace.operator(admission=limits):
                await all_ended(namespace)
        await world
        await check_end(namespace)
        return port, died


async def check_end(namespace: Namespace) -> None:
    jobs = await namespace.all(TRAINING_JOBS)
    for name, body in jobs.items():
        status: dict[str, Any] = body["status"]
        assert [entry["jobName"] for entry in status["attempts"]] == [f"{name}-1"]
        assert status["modelVersion"]["version"] == VERSIONS[name]
        assert "queuePosition" not in status
    assert sorted(await namespace.all(JOBS)) == [f"{name}-1" for name in MODELS]
    assert len(await namespace.all(MODEL_VERSIONS)) == len(MODELS)
    events = [body for body in (await namespace.all(EVENTS)).values() if body["regarding"]["kind"] == "TrainingJob"]
    assert Counter(body["reason"] for body in events) == Counter(AttemptStarted=len(MODELS), Succeeded=len(MODELS))


@KILLED
async def test_killed_at_a_write(credentials: Credentials, *, after: bool) -> None:
    port, _ = await live(credentials, None)
    writes = sum(port.writes.values())
    certain = sum(count for what, count in port.writes.items() if what.startswith("create"))
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(at: int) -> bool:
        async with slots:
            _, died = await live(credentials, Fault(at, after=after))
            return died

    async with asyncio.TaskGroup() as group:
        lives = {at: group.create_task(one(at)) for at in range(1 + STRIDE // 2 * after, writes + 1, STRIDE)}
    # How often places in line are written anew hangs on who is faster, so the last writes may not come.
    spared = [at for at, each in lives.items() if not each.result()]
    assert min(spared, default=writes) > certain, f"write {spared} of {writes} never came"


async def test_the_order_and_what_is_shown(credentials: Credentials) -> None:
    shown: Callable[[Body], Any] = lambda status: (status.get("phase"), status.get("queuePosition"))  # noqa: E731
    async with new_namespace(credentials) as namespace:
        await apply_all(namespace)

        async def wait_for(what: str, wanted: dict[str, Any]) -> None:
            async def ask() -> bool:
                found = await namespace.all(TRAINING_JOBS)
                return {name: shown(body["status"]) for name, body in found.items()} == wanted

            await namespace.until(what, ask)

        queued = {"b": ("Queued", 1), "c": ("Queued", 2), "d": ("Queued", 3), "e": ("Queued", 4)}
        async with namespace.operator(admission=Admission(max_concurrent_jobs=PLACES)):
            await wait_for("f and a to start", {"a": ("Starting", None), "f": ("Starting", None), **queued})
            await namespace.edit("e", priority="High")
            reordered = {**queued, "e": ("Queued", 1), "c": ("Queued", 3), "d": ("Queued", 4)}
            await wait_for("e to overtake", {"a": ("Starting", None), "f": ("Starting", None), **reordered})
        async with namespace.operator(admission=Admission(max_concurrent_jobs=PLACES)) as port:
            await namespace.run_pod("f-1")
            await namespace.end_pod("f-1", 0, result_text())
            moved = {"b": ("Queued", 1), "c": ("Queued", 2), "d": ("Queued", 3), "e": ("Starting", None)}
            await wait_for("e to start", {"a": ("Starting", None), "f": ("Succeeded", None), **moved})
            assert port.writes["patch trainingjobs"] <= 8
