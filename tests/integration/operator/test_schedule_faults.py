"""TrainingSchedules on a real API server. The operator dies before and after each write. Every run is created once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.operator.faults import KILLED, REFUSED, Fault
from tests.integration.operator.namespace import SPEC, Namespace
from tests.integration.operator.test_faults import QUOTAS, new_namespace
from trainyard_api import API_VERSION, meta
from trainyard_operator.core.plan import Body
from trainyard_operator.core.schedule.cron import ScheduleError, parse
from trainyard_operator.kube.credentials import Credentials, load_credentials
from trainyard_operator.kube.port import EVENTS, TRAINING_JOBS, TRAINING_SCHEDULES, Resource

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

CRON_JOBS = Resource("batch", "v1", "cronjobs")
PARALLEL_RUNS = 6
"""Scenarios that run in parallel."""

WRITES = frozenset({"create trainingjobs", "delete trainingjobs", "patch trainingschedules"})
"""The writes about a schedule. Other tests cover those about its TrainingJobs."""

EXPECTED_EVENTS = Counter(SuccessfulCreate=2, SawCompletedJob=2, JobAlreadyActive=1)
JSON_MERGE = "application/merge-patch+json"


@pytest.fixture
def credentials(crds: Path) -> Credentials:
    return load_credentials({"KUBECONFIG": str(crds)})


@pytest.fixture
async def namespace(credentials: Credentials) -> AsyncIterator[Namespace]:
    async with new_namespace(credentials) as namespace:
        yield namespace


class Nightly:
    """A schedule that is due each hour. Its operators start two hours and twenty minutes late.

    Its TrainingJobs are suspended, so that none of them does anything by itself. The test writes how they end.
    """

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self._begin = datetime.now(UTC)
        self.hour = self._begin
        """The time of the run that is due: two hours after the hour in which the API server created the schedule."""
        namespace.clock = lambda: self.hour + timedelta(minutes=20) + (datetime.now(UTC) - self._begin)

    @property
    def due(self) -> str:
        """The name of the run that is due."""
        return f"n-{int(self.hour.timestamp()) // 60}"

    async def submit(self, token: str = "", **spec: Any) -> None:
        metadata = {"name": "n", "annotations": {meta.RUN_NOW_ANNOTATION: token} if token else {}}
        body = {
            "apiVersion": API_VERSION,
            "kind": "TrainingSchedule",
            "metadata": metadata,
            "spec": {"schedule": "0 * * * *", "template": {"spec": {**SPEC, "suspend": True}}, **spec},
        }
        made = await self.namespace.request("POST", self.namespace.path(TRAINING_SCHEDULES), body)
        begin = datetime.fromisoformat(made["metadata"]["creationTimestamp"])
        self.hour = begin.replace(minute=0, second=0) + timedelta(hours=2)

    async def status(self) -> Body:
        body = await self.namespace.client.get(TRAINING_SCHEDULES, self.namespace.name, "n")
        status: Body = body["status"]
        return status

    async def reason(self) -> str:
        conditions = (await self.status()).get("conditions") or ()
        return next((each["reason"] for each in conditions if each["type"] == "Ready"), "")

    async def jobs(self) -> list[str]:
        return sorted(await self.namespace.all(TRAINING_JOBS))

    async def run(self, prefix: str) -> str:
        """Wait for a TrainingJob whose name begins with ``prefix``."""

        async def ask() -> str | None:
            return next((name for name in await self.jobs() if name.startswith(prefix)), None)

        return await self.namespace.until(f"a TrainingJob {prefix}...", ask)

    async def end(self, name: str, phase: str) -> None:
        path = self.namespace.path(TRAINING_JOBS, f"{name}/status")
        status = {"phase": phase, "completionTime": self.namespace.clock().strftime("%Y-%m-%dT%H:%M:%SZ")}
        await self.namespace.request("PATCH", path, {"status": status}, content_type=JSON_MERGE)

    async def edit(self, **spec: Any) -> None:
        path = self.namespace.path(TRAINING_SCHEDULES, "n")
        await self.namespace.request("PATCH", path, {"spec": spec}, content_type=JSON_MERGE)

    async def wait_until_counted(self, jobs: list[str]) -> Body:
        """Wait until exactly these TrainingJobs exist, and all of them have ended and been counted."""

        async def ask() -> Body | None:
            status = await self.status()
            settled = status.get("activeCount") == 0 and status.get("lastSuccessfulTime")
            return status if settled and await self.jobs() == jobs else None

        return await self.namespace.until(f"the TrainingJobs {jobs} and no others, all ended", ask)

    async def event_counts(self) -> Counter[str]:
        events = (await self.namespace.all(EVENTS)).values()
        return Counter(body["reason"] for body in events if body["regarding"]["kind"] == "TrainingSchedule")


async def end_runs(nightly: Nightly) -> None:
    """Let the requested run fail once the caught-up run waits for it. Then let the caught-up run succeed."""
    first = await nightly.run("n-r")

    async def run_is_waiting() -> bool:
        return await nightly.reason() == "RunWaits"

    await nightly.namespace.until("the caught-up run to wait for the one on request", run_is_waiting)
    await nightly.end(first, "Failed")
    await nightly.end(await nightly.run(nightly.due), "Succeeded")


async def run_scenario(credentials: Credentials, fault: Fault | None) -> tuple[Body, Counter[str], int]:
    async with new_namespace(credentials) as namespace:
        nightly = Nightly(namespace)
        await nightly.submit("t", concurrencyPolicy="Forbid", failedJobsHistoryLimit=0, stopAfterFailures=2)
        actions = asyncio.create_task(end_runs(nightly))
        async with namespace.operator(fault) as port:
            end = asyncio.create_task(nightly.wait_until_counted([nightly.due]))
            dies = asyncio.create_task(fault.died.wait()) if fault is not None else None
            await asyncio.wait([end, *([dies] if dies else [])], return_when=asyncio.FIRST_COMPLETED)
            died = not end.done()
            for task in (end, *([dies] if dies else [])):
                task.cancel()
        if died:
            async with namespace.operator():
                await nightly.wait_until_counted([nightly.due])
        await actions
        status = await nightly.status()
        assert status["lastScheduleTime"] == nightly.hour.strftime("%Y-%m-%dT%H:%M:%SZ")
        return status, await nightly.event_counts(), sum(port.writes[write] for write in WRITES)


async def run_with_every_fault(
    credentials: Credentials, make: Callable[[int], Fault], *, events_are_lost: bool = False
) -> None:
    limit = asyncio.Semaphore(PARALLEL_RUNS)
    _, events, writes = await run_scenario(credentials, None)
    assert events == EXPECTED_EVENTS

    async def one(at: int) -> None:
        async with limit:
            fault = make(at)
            status, events, _ = await run_scenario(credentials, fault)
            assert fault.left <= 0, f"write {at} of {writes} never happened"
            assert (status["missed"], status["consecutiveFailures"]) == (1, 0), f"write {at}: {status}"
            assert (status["lastHandledRunNow"], status["phase"]) == ("t", "Active"), f"write {at}: {status}"
            assert events <= EXPECTED_EVENTS if events_are_lost else events == EXPECTED_EVENTS, f"write {at}: {events}"

    async with asyncio.TaskGroup() as group:
        for at in range(1, writes + 1):
            group.create_task(one(at))


@KILLED
async def test_killed_at_any_write(credentials: Credentials, *, after: bool) -> None:
    await run_with_every_fault(credentials, lambda at: Fault(at, after=after, only=WRITES))


@REFUSED
async def test_refused_at_any_write(credentials: Credentials, error: Exception, *, after: bool) -> None:
    await run_with_every_fault(credentials, lambda at: Fault(at, after=after, error=error, only=WRITES))


async def test_replace_waits_until_the_old_run_is_deleted(namespace: Namespace) -> None:
    nightly = Nightly(namespace)
    await nightly.submit(concurrencyPolicy="Replace")
    async with namespace.operator():
        old = await nightly.run(nightly.due)
        held = {"metadata": {"finalizers": ["example.com/hold"]}}
        await namespace.request("PATCH", namespace.path(TRAINING_JOBS, old), held, content_type=JSON_MERGE)
        path = namespace.path(TRAINING_SCHEDULES, "n")
        now = {"metadata": {"annotations": {meta.RUN_NOW_ANNOTATION: "x"}}}
        await namespace.request("PATCH", path, now, content_type=JSON_MERGE)

        async def old_run_is_deleting() -> bool:
            job = await namespace.client.get(TRAINING_JOBS, namespace.name, old)
            return "deletionTimestamp" in job["metadata"] and await nightly.reason() == "RunWaits"

        await namespace.until("the old run to be deleted and the new one to wait", old_run_is_deleting)
        assert await nightly.jobs() == [old]
        free = {"metadata": {"finalizers": None}}
        await namespace.request("PATCH", namespace.path(TRAINING_JOBS, old), free, content_type=JSON_MERGE)
        new = await nightly.run("n-r")
        assert await nightly.jobs() == [new]


async def test_a_change_of_the_template_starts_a_run_and_an_edit_of_the_schedule_does_not(namespace: Namespace) -> None:
    nightly = Nightly(namespace)
    await nightly.submit(schedule=None, runOnChange=True)
    async with namespace.operator() as port:
        first = await nightly.run("n-c")
        await nightly.end(first, "Succeeded")
        await nightly.wait_until_counted([first])
        await nightly.edit(schedule="*/10 * * * *", timeZone="Europe/Paris")

        async def has_next_time() -> bool:
            return "nextScheduleTime" in await nightly.status()

        await namespace.until("the time of the next run", has_next_time)
        assert await nightly.jobs() == [first]
        await nightly.edit(template={"spec": {"parameters": {"num_leaves": 7}}})

        async def two_jobs() -> list[str] | None:
            jobs = await nightly.jobs()
            return jobs if len(jobs) == 2 else None

        jobs = await namespace.until("a run of the changed template", two_jobs)
        (second,) = set(jobs) - {first}
        await nightly.end(second, "Succeeded")
        await nightly.wait_until_counted(jobs)
    assert port.writes["create trainingjobs"] == 2


async def test_nothing_is_written_while_nothing_changes(namespace: Namespace) -> None:
    nightly = Nightly(namespace)
    await nightly.submit()
    async with namespace.operator():
        await nightly.end(await nightly.run(nightly.due), "Succeeded")
        await nightly.wait_until_counted([nightly.due])
    async with namespace.operator() as port:
        await namespace.apply("last", cancel=True)
        await namespace.phase("Cancelled", "last")  # by now every object has been reconciled
    assert not WRITES & {write for write, count in port.writes.items() if count}


async def test_quota_refuses_a_run_and_later_admits_it(namespace: Namespace) -> None:
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"count/trainingjobs.trainyard.dev": "0"}}}
    await namespace.request("POST", namespace.path(QUOTAS), quota)

    async def in_force() -> bool:
        return "hard" in ((await namespace.client.get(QUOTAS, namespace.name, "none")).get("status") or {})

    await namespace.until("the quota to be in force", in_force)
    nightly = Nightly(namespace)
    await nightly.submit()
    async with namespace.operator():

        async def refused() -> bool:
            return await nightly.reason() == "CreateRefused"

        await namespace.until("the refusal to be reported", refused)
        assert "quota: none" in (await nightly.status())["conditions"][0]["message"]
        await namespace.request("DELETE", namespace.path(QUOTAS, "none"))
        await nightly.edit(suspend=False, startingDeadlineSeconds=36000)  # any edit triggers a retry
        await nightly.run(nightly.due)


CRON_EXPRESSIONS = (
    "0 0 * * *",
    "*/15 0-6/2 1,15 * MON-fri",
    "5/20 * ? jan-dec/3 0",
    "@daily",
    "@midnight",
    "@hourly",
    "@weekly",
    "@monthly",
    "@yearly",
    "@annually",
    "0 0 29 2 *",
    "00 07 * * sun",
    "0 0 * * * *",
    "0 0 * *",
    "60 * * * *",
    "* 24 * * *",
    "* * 0 * *",
    "* * 32 * *",
    "* * * 13 *",
    "* * * * 7",
    "* * * * sat-sun",
    "5-1 * * * *",
    "*/0 * * * *",
    "1-2-3 * * * *",
    "1/2/3 * * * *",
    "a * * * *",
    "0 0 L * *",
    "0 0 * * 1#2",
    "@reboot",
    "@Daily",
    "TZ=UTC 0 0 * * *",
    "",
)


@pytest.mark.parametrize(
    ("expression", "zone"),
    [*((expression, "Europe/Paris") for expression in CRON_EXPRESSIONS), ("@daily", "Mars/Base")],
)
async def test_the_parser_accepts_what_a_cronjob_accepts(namespace: Namespace, expression: str, zone: str) -> None:
    """The API server validates the same schedule in a CronJob."""
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
    job = {"spec": {"template": {"spec": pod}}}
    body = {"metadata": {"name": "c"}, "spec": {"schedule": expression, "timeZone": zone, "jobTemplate": job}}
    try:
        await namespace.request("POST", f"{namespace.path(CRON_JOBS)}?dryRun=All", body)
        accepted = True
    except AssertionError as refused:
        assert "is invalid" in str(refused)  # noqa: PT017 - either answer is one
        accepted = False
    with nullcontext() if accepted else pytest.raises(ScheduleError):
        parse(expression, zone)
