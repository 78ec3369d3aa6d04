"""A rejected model on a real API server: the training, its schedule, and a user who overrules the gates.

The operator dies before and after each of its writes. Every Event is written once, and every rejection is counted once.
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

PARALLEL_RUNS = 6
"""Scenarios that run in parallel."""
JSON_MERGE = "application/merge-patch+json"
COUNTED = frozenset({"create trainingjobs", "create jobs", "create modelversions", "create events"}) | frozenset(
    f"patch {plural}" for plural in ("trainingjobs", "trainingschedules", "modelversions")
)
EXPECTED_EVENTS = Counter(
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


async def reject_and_overrule(namespace: Namespace) -> None:
    """Train a bad model, wait for its rejection, and validate it by hand."""

    async def created() -> str | None:
        return next(iter(await namespace.all(TRAINING_JOBS)), None)

    job = await namespace.until("a run", created)
    await namespace.run_pod(f"{job}-1")
    metrics = [{"name": "mae", "value": "9"}]
    await namespace.end_pod(f"{job}-1", 0, result_text(1, metrics=metrics, objectiveMetric="mae", objectiveValue="9"))

    async def counted() -> bool:
        return (await schedule(namespace)).get("consecutiveRejections") == 1

    await namespace.until("the rejection to be counted", counted)
    annotations = {meta.ACTION_ANNOTATION: "validate/t1", meta.ACTION_REASON_ANNOTATION: "a new shop"}
    wanted = {"metadata": {"annotations": annotations}}
    await namespace.request("PATCH", namespace.path(MODEL_VERSIONS, "n-v1"), wanted, content_type=JSON_MERGE)


async def wait_until_validated(namespace: Namespace) -> Body:
    """Wait until the version is validated, and the run has been counted and deleted by the history limit."""

    async def ask() -> Body | None:
        version = (await namespace.all(MODEL_VERSIONS)).get("n-v1") or {}
        gone = not await namespace.all(TRAINING_JOBS)
        return version if gone and version.get("status", {}).get("phase") == "Validated" else None

    return await namespace.until("the version to be validated by hand", ask)


async def run_scenario(
    credentials: Credentials, fault: Fault | None
) -> tuple[Body, Body, Counter[tuple[str, str]], int]:
    async with new_namespace(credentials) as namespace:
        await submit(namespace)
        actions = asyncio.create_task(reject_and_overrule(namespace))
        async with namespace.operator(fault) as port:
            end = asyncio.create_task(wait_until_validated(namespace))
            dies = asyncio.create_task(fault.died.wait()) if fault is not None else None
            await asyncio.wait([end, *([dies] if dies else [])], return_when=asyncio.FIRST_COMPLETED)
            died = not end.done()
            for task in (end, *([dies] if dies else [])):
                task.cancel()
        if died:
            async with namespace.operator():
                await wait_until_validated(namespace)
        await actions
        version, status = await wait_until_validated(namespace), await schedule(namespace)
        events = (await namespace.all(EVENTS)).values()
        events_by_kind = Counter((body["regarding"]["kind"], body["reason"]) for body in events)
        return version, status, events_by_kind, sum(port.writes[write] for write in COUNTED)


def check(version: Body, status: dict[str, Any], events_by_kind: Counter[tuple[str, str]], what: str) -> None:
    found = version["status"]
    assert found["overruled"]["reason"] == "a new shop", what
    assert (found["gates"][0]["reason"], found["lastHandledAction"]) == ("NotMet", "validate/t1"), what
    assert status["consecutiveFailures"] == 0, what
    assert "awaitingVerdict" not in status, what
    assert Counter({key: events_by_kind[key] for key in EXPECTED_EVENTS}) == EXPECTED_EVENTS, what


@KILLED
async def test_killed_at_any_write(credentials: Credentials, *, after: bool) -> None:
    version, status, events_by_kind, writes = await run_scenario(credentials, None)
    check(version, status, events_by_kind, "no fault")
    assert status["consecutiveRejections"] == 1
    limit = asyncio.Semaphore(PARALLEL_RUNS)

    async def one(at: int) -> None:
        async with limit:
            found = await run_scenario(credentials, Fault(at, after=after, only=COUNTED))
            check(*found[:3], f"write {at}")

    async with asyncio.TaskGroup() as group:
        for at in range(1, writes + 1):
            group.create_task(one(at))


async def test_the_job_and_the_schedule_follow_a_manual_verdict(credentials: Credentials) -> None:
    async with new_namespace(credentials) as namespace:
        await submit(namespace)
        keep = {"spec": {"successfulJobsHistoryLimit": 3}}
        path = namespace.path(TRAINING_SCHEDULES, "n")
        await namespace.request("PATCH", path, keep, content_type=JSON_MERGE)
        async with namespace.operator():
            await reject_and_overrule(namespace)

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
