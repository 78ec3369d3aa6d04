"""Gates on a real API server. The operator dies around each write about a version. The verdicts stay the same."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.operator.faults import KILLED, REFUSED, Fault
from tests.integration.operator.namespace import Namespace
from tests.integration.operator.test_faults import new_namespace
from tests.unit.operator.core.versions import BELOW_2, CHAMPION, spec
from tests.unit.operator.samples import result_text
from trainyard_api import API_VERSION, meta
from trainyard_operator.core.plan import Body
from trainyard_operator.kube.credentials import Credentials, load_credentials
from trainyard_operator.kube.port import EVENTS, JOBS, MODEL_VERSIONS

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

PARALLEL_RUNS = 6
"""Scenarios that run in parallel."""

EXPECTED = {
    "m-v1": ("Validated", ["Met"], None),
    "m-v2": ("Rejected", ["NotMet", "Met"], 1),
    "m-v3": ("Validated", ["Met", "Met"], 1),
    "m-v4": ("Rejected", ["MetricMissing"], None),
    "m-v5": ("Validated", [], None),
}
"""Each version's phase, the reasons of its gates, and the version that its champion gate compared with."""

EXPECTED_EVENTS = Counter(
    {(name, "Validated" if phase == "Validated" else "Rejected"): 1 for name, (phase, _, _) in EXPECTED.items()}
)


@pytest.fixture
def credentials(crds: Path) -> Credentials:
    return load_credentials({"KUBECONFIG": str(crds)})


@pytest.fixture
async def namespace(credentials: Credentials) -> AsyncIterator[Namespace]:
    async with new_namespace(credentials) as namespace:
        yield namespace


async def write_version(namespace: Namespace, number: int, fields: Body) -> None:
    body = {
        "apiVersion": API_VERSION,
        "kind": "ModelVersion",
        "metadata": {"name": f"m-v{number}"},
        "spec": fields,
    }
    await namespace.request("POST", namespace.path(MODEL_VERSIONS), body)


async def write_versions(namespace: Namespace) -> None:
    """Create five versions in the wrong order, as after a time without an operator."""
    await write_version(namespace, 5, spec(5))
    await write_version(namespace, 4, spec(4, "1", [{"metric": "mapee", "op": "<", "value": 1}]))
    await write_version(namespace, 3, spec(3, "1.25", [CHAMPION, BELOW_2]))
    await write_version(namespace, 2, spec(2, "1.75", [CHAMPION, BELOW_2]))
    await write_version(namespace, 1, spec(1, "1.5", [BELOW_2]))


def verdict(body: Body) -> tuple[str, list[str], int | None]:
    status = body["status"]
    gates = status.get("gates", [])
    champion = next((gate["champion"] for gate in gates if "champion" in gate), None)
    return status["phase"], [gate["reason"] for gate in gates], champion


async def version_events(namespace: Namespace) -> Counter[tuple[str, str]]:
    events = (await namespace.all(EVENTS)).values()
    return Counter(
        (body["regarding"]["name"], body["reason"]) for body in events if body["regarding"]["kind"] == "ModelVersion"
    )


@asynccontextmanager
async def operators(namespace: Namespace, fault: Fault | None) -> AsyncIterator[Callable[[], int]]:
    """Run an operator until every version has a verdict.

    If it dies, run a second one. Yield a function that counts its writes.
    """
    async with namespace.operator(fault) as port:
        end = asyncio.create_task(namespace.judged())
        dies = asyncio.create_task(fault.died.wait()) if fault is not None else None
        await asyncio.wait([end, *([dies] if dies else [])], return_when=asyncio.FIRST_COMPLETED)
        died = not end.done()
        for task in (end, *([dies] if dies else [])):
            task.cancel()
    if died:
        async with namespace.operator():
            await namespace.judged()
    yield lambda: sum(port.writes.values())


async def run_scenario(
    credentials: Credentials, fault: Fault | None
) -> tuple[dict[str, Any], Counter[tuple[str, str]], int]:
    async with new_namespace(credentials) as namespace:
        await write_versions(namespace)
        async with operators(namespace, fault) as writes:
            versions = await namespace.all(MODEL_VERSIONS)
            assert all(body["metadata"]["generation"] == 1 for body in versions.values()), "a spec was written"
            return {name: verdict(body) for name, body in versions.items()}, await version_events(namespace), writes()


async def run_with_every_fault(
    credentials: Credentials, make: Callable[[int], Fault], *, events_are_lost: bool = False
) -> None:
    limit = asyncio.Semaphore(PARALLEL_RUNS)
    verdicts, events, writes = await run_scenario(credentials, None)
    assert (verdicts, events) == (EXPECTED, EXPECTED_EVENTS)
    assert writes == writes_about_waiting(writes) + WRITES * len(EXPECTED)

    async def one(at: int) -> None:
        async with limit:
            fault = make(at)
            verdicts, events, _ = await run_scenario(credentials, fault)
            assert fault.left <= 0, f"write {at} of {WRITES * len(EXPECTED)} never happened"
            assert verdicts == EXPECTED, f"write {at}"
            assert events <= EXPECTED_EVENTS if events_are_lost else events == EXPECTED_EVENTS, f"write {at}: {events}"

    async with asyncio.TaskGroup() as group:
        for at in range(1, WRITES * len(EXPECTED) + 1):
            group.create_task(one(at))


WRITES = 3
"""For each verdict: an Event, the saved status, the status."""


def writes_about_waiting(writes: int) -> int:
    """Return the number of extra writes.

    Each version may write once that it waits; whether it does depends on the order of reconciles.
    """
    extra = writes - WRITES * len(EXPECTED)
    assert 0 <= extra < len(EXPECTED), f"{writes} writes for {len(EXPECTED)} versions"
    return extra


@KILLED
async def test_killed_at_any_write(credentials: Credentials, *, after: bool) -> None:
    await run_with_every_fault(credentials, lambda at: Fault(at, after=after))


@REFUSED
async def test_refused_at_any_write(credentials: Credentials, error: Exception, *, after: bool) -> None:
    """An Event that cannot be written is lost. It is never written twice."""
    make = lambda at: Fault(at, after=after, error=error)  # noqa: E731
    await run_with_every_fault(credentials, make, events_are_lost=not after)


async def finish_job(namespace: Namespace, name: str, number: int, mae: str, **job: Any) -> Body:
    """Let a job of model m train and register a version. Return this version once it has a verdict."""
    await namespace.apply(name, modelName="m", **job)
    await namespace.run_pod(f"{name}-1")
    metrics = [{"name": "mae", "value": mae}]
    await namespace.end_pod(f"{name}-1", 0, result_text(number, metrics=metrics, holdoutDigest="a" * 64))
    assert (await namespace.phase("Succeeded", name))["modelVersion"]["version"] == number
    return (await namespace.judged())[f"m-v{number}"]


async def test_verdicts_of_finished_jobs_are_written_once(namespace: Namespace) -> None:
    gates = [BELOW_2, {**CHAMPION, "tolerance": 0.1}]
    async with namespace.operator() as port:
        first = await finish_job(namespace, "a", 1, "1.5", gates=gates)
        within = await finish_job(namespace, "b", 2, "1.65", gates=gates)
        worse = await finish_job(namespace, "c", 3, "1.9", gates=gates)
        never = await finish_job(namespace, "d", 4, "1.0", gates=[{"metric": "lift", "op": ">", "value": 1}])
    assert verdict(first) == ("Validated", ["Met", "NoChampion"], None)
    assert verdict(within) == ("Validated", ["Met", "Met"], 1)
    assert verdict(worse) == ("Rejected", ["Met", "NotMet"], 2)
    assert verdict(never) == ("Rejected", ["MetricMissing"], None)
    assert worse["status"]["gates"][1]["threshold"] == "1.815"
    assert worse["spec"]["storage"]["uri"] == "s3://models"
    (ready,) = worse["status"]["conditions"]
    assert ready["message"] == "1 of 2 gates not met: mae 1.9: version 2 has 1.65, required <= 1.815"
    assert (await namespace.status("c"))["phase"] == "Succeeded", "a rejected version does not fail its job"
    assert port.writes["patch modelversions"] == 4
    async with namespace.operator() as port:
        await namespace.apply("last", cancel=True)
        await namespace.phase("Cancelled", "last")  # by now every object has been reconciled
    assert port.writes["patch modelversions"] == 0


async def champion_given_to(namespace: Namespace, job: str) -> Body | None:
    """Return the champion in the configuration of a job's attempt."""
    template = (await namespace.client.get(JOBS, namespace.name, job))["spec"]["template"]
    champion: Body | None = json.loads(template["metadata"]["annotations"][meta.CONFIG_ANNOTATION]).get("champion")
    return champion


async def test_the_trainers_comparison_with_the_champion_decides(namespace: Namespace) -> None:
    gates = [{**CHAMPION, "tolerance": 0.1, "confidence": 0.95}]

    async def finish(name: str, number: int, high: str) -> Body:
        await namespace.apply(name, modelName="m", gates=gates)
        await namespace.run_pod(f"{name}-1")
        champion = await champion_given_to(namespace, f"{name}-1")
        found = None
        if champion is not None:
            artifact = champion["artifact"]
            metric = {"name": "mae", "value": "1.5", "champion": "1.5", "difference": "0", "low": "-0.1", "high": high}
            found = {"champion": champion["version"], "championDigest": artifact["manifestSha256"], "rows": 88}
            found |= {"reason": "Compared", "metrics": [metric]}
        text = result_text(number, metrics=[{"name": "mae", "value": "1.5"}], comparison=found)
        await namespace.end_pod(f"{name}-1", 0, text)
        await namespace.phase("Succeeded", name)
        return (await namespace.judged())[f"m-v{number}"]

    async with namespace.operator():
        first = await finish("a", 1, "")
        good = await finish("b", 2, "0.15")
        unsure = await finish("c", 3, "0.16")
        champion = await champion_given_to(namespace, "c-1")
    assert verdict(first) == ("Validated", ["NoChampion"], None)
    assert verdict(good) == ("Validated", ["Met"], 1)
    assert verdict(unsure) == ("Rejected", ["Inconclusive"], 2)
    assert unsure["spec"]["comparison"]["rows"] == 88
    assert champion == {"version": 2, "artifact": good["spec"]["artifact"]}


async def test_versions_created_by_a_user_are_rejected_if_misnamed(namespace: Namespace) -> None:
    foreign = {"apiVersion": API_VERSION, "kind": "ModelVersion", "metadata": {"name": "mine"}, "spec": spec(1)}
    await namespace.request("POST", namespace.path(MODEL_VERSIONS), foreign)
    await write_version(namespace, 7, spec(7, "1", [{"metric": "x", "compareTo": "Champion"}], model="other"))
    await write_version(namespace, 2, spec(2, "1.5", [CHAMPION]))
    async with namespace.operator():
        versions = await namespace.judged()
    phases = {
        name: (body["status"]["phase"], body["status"]["conditions"][0]["reason"]) for name, body in versions.items()
    }
    assert phases == {
        "mine": ("Rejected", "Misnamed"),
        "m-v7": ("Rejected", "Misnamed"),
        "m-v2": ("Validated", "Validated"),
    }
