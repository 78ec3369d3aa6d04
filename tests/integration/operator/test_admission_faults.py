"""Six TrainingJobs, of which two may run, on a real API server.

Two of them belong to one model. The operator dies at its writes.
"""

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

MAX_JOBS = 2
PARALLEL_RUNS = 4
"""Scenarios that run in parallel."""
STRIDE = 4
"""Of this many writes one is tested. With ``after`` the tested writes are shifted by half of it."""

MODELS = {"a": "m", "b": "m", "c": "c", "d": "d", "e": "e", "f": "f"}
VERSIONS = {"a": 1, "b": 2, "c": 1, "d": 1, "e": 1, "f": 1}


@pytest.fixture
def credentials(crds: Path) -> Credentials:
    return load_credentials({"KUBECONFIG": str(crds)})


class PodDriver:
    """Runs the pods, and checks the limits for the Jobs that run."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self.started: list[str] = []

    async def run(self) -> None:
        """Let the pod of each new Job run and succeed, until every TrainingJob has had a pod."""
        while len(self.started) < len(MODELS):
            jobs = await self.namespace.all(JOBS)
            active = {
                body["metadata"]["labels"][meta.JOB_LABEL]: name for name, body in jobs.items() if not ended(body)
            }
            assert len(active) <= MAX_JOBS, active
            assert max(Counter(MODELS[name] for name in active).values(), default=0) <= 1, active
            for name in sorted(active.keys() - set(self.started)):
                self.started.append(name)
                await self.namespace.run_pod(active[name])
                await self.namespace.end_pod(active[name], 0, result_text(VERSIONS[name]))
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


async def run_scenario(credentials: Credentials, fault: Fault | None) -> tuple[FaultyPort, bool]:
    """Run one scenario. If the operator dies, start another one. Check the result. Return the first port."""
    limits = Admission(max_concurrent_jobs=MAX_JOBS)
    async with new_namespace(credentials) as namespace:
        await apply_all(namespace)
        driver = asyncio.create_task(PodDriver(namespace).run())
        async with namespace.operator(fault, admission=limits) as port:
            finish = asyncio.create_task(all_ended(namespace))
            dies = asyncio.create_task(fault.died.wait() if fault is not None else asyncio.Event().wait())
            await asyncio.wait([finish, dies], return_when=asyncio.FIRST_COMPLETED)
            died = not finish.done()
            finish.cancel()
            dies.cancel()
        if died:
            async with namespace.operator(admission=limits):
                await all_ended(namespace)
        await driver
        await check_result(namespace)
        return port, died


async def check_result(namespace: Namespace) -> None:
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
    port, _ = await run_scenario(credentials, None)
    writes = sum(port.writes.values())
    certain = sum(count for what, count in port.writes.items() if what.startswith("create"))
    slots = asyncio.Semaphore(PARALLEL_RUNS)

    async def one(at: int) -> bool:
        async with slots:
            _, died = await run_scenario(credentials, Fault(at, after=after))
            return died

    async with asyncio.TaskGroup() as group:
        runs = {at: group.create_task(one(at)) for at in range(1 + STRIDE // 2 * after, writes + 1, STRIDE)}
    # How often queue positions are written depends on timing, so the last writes may not happen.
    missed = [at for at, each in runs.items() if not each.result()]
    assert min(missed, default=writes) > certain, f"write {missed} of {writes} never happened"


async def test_the_order_of_the_queue_and_the_shown_positions(credentials: Credentials) -> None:
    shown: Callable[[Body], Any] = lambda status: (status.get("phase"), status.get("queuePosition"))  # noqa: E731
    async with new_namespace(credentials) as namespace:
        await apply_all(namespace)

        async def wait_for(what: str, wanted: dict[str, Any]) -> None:
            async def ask() -> bool:
                found = await namespace.all(TRAINING_JOBS)
                return {name: shown(body["status"]) for name, body in found.items()} == wanted

            await namespace.until(what, ask)

        queued = {"b": ("Queued", 1), "c": ("Queued", 2), "d": ("Queued", 3), "e": ("Queued", 4)}
        async with namespace.operator(admission=Admission(max_concurrent_jobs=MAX_JOBS)):
            await wait_for("f and a to start", {"a": ("Starting", None), "f": ("Starting", None), **queued})
            await namespace.edit("e", priority="High")
            reordered = {**queued, "e": ("Queued", 1), "c": ("Queued", 3), "d": ("Queued", 4)}
            await wait_for(
                "e to move to the front of the queue", {"a": ("Starting", None), "f": ("Starting", None), **reordered}
            )
        async with namespace.operator(admission=Admission(max_concurrent_jobs=MAX_JOBS)) as port:
            await namespace.run_pod("f-1")
            await namespace.end_pod("f-1", 0, result_text())
            moved = {"b": ("Queued", 1), "c": ("Queued", 2), "d": ("Queued", 3), "e": ("Starting", None)}
            await wait_for("e to start", {"a": ("Starting", None), "f": ("Succeeded", None), **moved})
            assert port.writes["patch trainingjobs"] <= 8
