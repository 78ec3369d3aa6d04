"""A refused model on a real API server, from the training to the schedule and to a person who overrules the gates.

The operator dies before and after each of its writes; whatever it is, everything is told and counted once.
"""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.integration.operator.faults import KILLED, Fault
from tests.integration.operator.namespace import Namespace
from tests.integration.operator.test_faults import new_namespace
from tests.unit.operator.core.versions import BELOW_2
from tests.unit.operator.samples import SPEC, result_text
from trainyard_api import API_VERSION, meta
from trainyard_operator.core.plan import Body
from trainyard_operator.kube.credentials import Credentials, load_credentials
from trainyard_operator.kube.port import EVENTS, MODEL_VERSIONS, TRAINING_JOBS, TRAINING_SCHEDULES

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

AT_ONCE = 6
"""Lives that run side by side."""
JSON_MERGE = "application/merge-patch+json"
COUNTED = frozenset({"create trainingjobs", "create jobs", "create modelversions", "create events"}) | frozenset(
    f"patch {plural}" for plural in ("trainingjobs", "trainingschedules", "modelversions")
)
TOLD = Counter(
    {
        ("ModelVersion", "Rejected"): 1,
        ("TrainingJob", "VersionRejected"): 1,
        ("TrainingSchedule", "VersionRejected"): 1,
        ("ModelVersion", "Overruled"): 1,
    }
)


@pytest.fixture
def credentials(crds: Path) -> Credentials:
    return load_credentials({"KUBECONFIG": str(crds)})


async def submit(namespace: Namespace) -> None:
    template = {"spec": {**SPEC, "gates": [BELOW_2]}}
    body = {
        "apiVersion": API_VERSION,
        "kind": "TrainingSchedule",
        "metadata": {"name": "n"},
        "spec": {"runOnChange": True, "successfulJobsHistoryLimit": 0, "template": template},
    }
    await namespace.request("POST", namespace.path(TRAINING_SCHEDULES), body)


async def schedule(namespace: Namespace) -> Body:
    status: Body = (await namespace.client.get(TRAINING_SCHEDULES, namespace.name, "n")).get("status") or {}
    return status


async def refused_and_overruled(namespace: Namespace) -> None:
    """Train a bad model, see it refused, and validate it by hand."""

    async def created() -> str | None:
        return next(iter(await namespace.all(TRAINING_JOBS)), None)

    job = await namespace.until("a run", created)
    await namespace.run_pod(f"{job}-1")
    metrics = [{"name": "mae", "value": "9"}]
    await namespace.end_pod(f"{job}-1", 0, result_text(1, metrics=metrics, objectiveMetric="mae", objectiveValue="9"))

    async def counted() -> bool:
        return (await schedule(namespace)).get("consecutiveRejections") == 1

    await namespace.until("the refusal to be counted", counted)
    annotations = {meta.ACTION_ANNOTATION: "validate/t1", meta.ACTION_REASON_ANNOTATION: "a new shop"}
    wanted = {"metadata": {"annotations": annotations}}
    await namespace.request("PATCH", namespace.path(MODEL_VERSIONS, "n-v1"), wanted, content_type=JSON_MERGE)


async def at_rest(namespace: Namespace) -> Body:
    """Wait until the version is validated, and the run is counted and gone by the history limit."""

    async def ask() -> Body | None:
        version = (await namespace.all(MODEL_VERSIONS)).get("n-v1") or {}
        gone = not await namespace.all(TRAINING_JOBS)
        return version if gone and version.get("status", {}).get("phase") == "Validated" else None

    return await namespace.until("the version to be validated by hand", ask)


async def live(credentials: Credentials, fault: Fault | None) -> tuple[Body, Body, Counter[tuple[str, str]], int]:
    async with new_namespace(credentials) as namespace:
        await submit(namespace)
        moves = asyncio.create_task(refused_and_overruled(namespace))
        async with namespace.operator(fault) as port:
            end = asyncio.create_task(at_rest(namespace))
            dies = asyncio.create_task(fault.died.wait()) if fault is not None else None
            await asyncio.wait([end, *([dies] if dies else [])], return_when=asyncio.FIRST_COMPLETED)
            died = not end.done()
            for task in (end, *([dies] if dies else [])):
                task.cancel()
        if died:
            async with namespace.operator():
                await at_rest(namespace)
        await moves
        version, status = await at_rest(namespace), await schedule(namespace)
        events = (await namespace.all(EVENTS)).values()
        told = Counter((body["regarding"]["kind"], body["reason"]) for body in events)
        return version, status, told, sum(port.writes[write] for write in COUNTED)


def check(version: Body, status: dict[str, Any], told: Counter[tuple[str, str]], what: str) -> None:
    found = version["status"]
    assert found["overruled"]["reason"] == "a new shop", what
    assert (found["gates"][0]["reason"], found["lastHandledAction"]) == ("NotMet", "validate/t1"), what
    assert status["consecutiveFailures"] == 0, what
    assert "awaitingVerdict" not in status, what
    assert Counter({key: told[key] for key in TOLD}) == TOLD, what


@KILLED
async def test_killed_at_any_write(credentials: Credentials, *, after: bool) -> None:
    version, status, told, writes = await live(credentials, None)
    check(version, status, told, "no fault")
    assert status["consecutiveRejections"] == 1
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(at: int) -> None:
        async with limit:
            found = await live(credentials, Fault(at, after=after, only=COUNTED))
            check(*found[:3], f"write {at}")

    async with asyncio.TaskGroup() as group:
        for at in range(1, writes + 1):
            group.create_task(one(at))


async def test_the_job_and_the_schedule_follow_a_person(credentials: Credentials) -> None:
    async with new_namespace(credentials) as namespace:
        await submit(namespace)
        keep = {"spec": {"successfulJobsHistoryLimit": 3}}
        path = namespace.path(TRAINING_SCHEDULES, "n")
        await namespace.request("PATCH", path, keep, content_type=JSON_MERGE)
        async with namespace.operator():
            await refused_and_overruled(namespace)

            async def accepted() -> bool:
                return (await schedule(namespace)).get("lastAcceptedVersion") == 1

            await namespace.until("the version to count as accepted", accepted)
            (job,) = (await namespace.all(TRAINING_JOBS)).values()
            status = await schedule(namespace)
        assert (job["status"]["verdict"]["phase"], job["status"]["verdict"]["reason"]) == ("Validated", "Overruled")
        assert (job["status"]["objectiveMetric"], job["status"]["objectiveValue"]) == ("mae", "9")
        assert status["consecutiveRejections"] == 0
        condition = next(each for each in status["conditions"] if each["type"] == "ModelAccepted")
        assert (condition["status"], condition["reason"]) == ("True", "VersionAccepted")
