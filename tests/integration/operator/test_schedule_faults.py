"""TrainingSchedules on a real API server: the operator dies before and after each write, and every run is made once."""

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
AT_ONCE = 6
"""Lives that run side by side."""

WRITES = frozenset({"create trainingjobs", "delete trainingjobs", "patch trainingschedules"})
"""Those of a schedule; what becomes of its TrainingJobs is tested elsewhere."""

TOLD = Counter(SuccessfulCreate=2, SawCompletedJob=2, JobAlreadyActive=1)
JSON_MERGE = "application/merge-patch+json"


@pytest.fixture
def credentials(crds: Path) -> Credentials:
    return load_credentials({"KUBECONFIG": str(crds)})


@pytest.fixture
async def namespace(credentials: Credentials) -> AsyncIterator[Namespace]:
    async with new_namespace(credentials) as namespace:
        yield namespace


class Nightly:
    """A schedule that is due each hour, seen by operators that come two hours and twenty minutes too late.

    Its TrainingJobs are suspended, so that none of them does anything by itself; the test says how they end.
    """

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self._begin = datetime.now(UTC)
        self.hour = self._begin
        """When a run is due; two hours after that in which the API server made the schedule."""
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
        """Wait for a TrainingJob whose name begins like this."""

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

    async def at_rest(self, jobs: list[str]) -> Body:
        """Wait until exactly these TrainingJobs are there and all of them have ended and been counted."""

        async def ask() -> Body | None:
            status = await self.status()
            settled = status.get("activeCount") == 0 and status.get("lastSuccessfulTime")
            return status if settled and await self.jobs() == jobs else None

        return await self.namespace.until(f"the TrainingJobs {jobs} alone, ended", ask)

    async def told(self) -> Counter[str]:
        events = (await self.namespace.all(EVENTS)).values()
        return Counter(body["reason"] for body in events if body["regarding"]["kind"] == "TrainingSchedule")


async def world(nightly: Nightly) -> None:
    """Let the run on request fail once the caught-up one is seen to wait for it, and that one succeed."""
    first = await nightly.run("n-r")

    async def waits() -> bool:
        return await nightly.reason() == "RunWaits"

    await nightly.namespace.until("the caught-up run to wait for the one on request", waits)
    await nightly.end(first, "Failed")
    await nightly.end(await nightly.run(nightly.due), "Succeeded")


async def live(credentials: Credentials, fault: Fault | None) -> tuple[Body, Counter[str], int]:
    async with new_namespace(credentials) as namespace:
        nightly = Nightly(namespace)
        await nightly.submit("t", concurrencyPolicy="Forbid", failedJobsHistoryLimit=0, stopAfterFailures=2)
        moves = asyncio.create_task(world(nightly))
        async with namespace.operator(fault) as port:
            end = asyncio.create_task(nightly.at_rest([nightly.due]))
            dies = asyncio.create_task(fault.died.wait()) if fault is not None else None
            await asyncio.wait([end, *([dies] if dies else [])], return_when=asyncio.FIRST_COMPLETED)
            died = not end.done()
            for task in (end, *([dies] if dies else [])):
                task.cancel()
        if died:
            async with namespace.operator():
                await nightly.at_rest([nightly.due])
        await moves
        status = await nightly.status()
        assert status["lastScheduleTime"] == nightly.hour.strftime("%Y-%m-%dT%H:%M:%SZ")
        return status, await nightly.told(), sum(port.writes[write] for write in WRITES)


async def live_with_every_fault(
    credentials: Credentials, make: Callable[[int], Fault], *, events_are_lost: bool = False
) -> None:
    limit = asyncio.Semaphore(AT_ONCE)
    _, events, writes = await live(credentials, None)
    assert events == TOLD

    async def one(at: int) -> None:
        async with limit:
            fault = make(at)
            status, events, _ = await live(credentials, fault)
            assert fault.left <= 0, f"write {at} of {writes} never came"
            assert (status["missed"], status["consecutiveFailures"]) == (1, 0), f"write {at}: {status}"
            assert (status["lastHandledRunNow"], status["phase"]) == ("t", "Active"), f"write {at}: {status}"
            assert events <= TOLD if events_are_lost else events == TOLD, f"write {at}: {events}"

    async with asyncio.TaskGroup() as group:
        for at in range(1, writes + 1):
            group.create_task(one(at))


@KILLED
async def test_killed_at_any_write(credentials: Credentials, *, after: bool) -> None:
    await live_with_every_fault(credentials, lambda at: Fault(at, after=after, only=WRITES))


@REFUSED
async def test_refused_at_any_write(credentials: Credentials, error: Exception, *, after: bool) -> None:
    await live_with_every_fault(credentials, lambda at: Fault(at, after=after, error=error, only=WRITES))


async def test_replace_waits_until_the_old_run_is_gone(namespace: Namespace) -> None:
    nightly = Nightly(namespace)
    await nightly.submit(concurrencyPolicy="Replace")
    async with namespace.operator():
        old = await nightly.run(nightly.due)
        held = {"metadata": {"finalizers": ["example.com/hold"]}}
        await namespace.request("PATCH", namespace.path(TRAINING_JOBS, old), held, content_type=JSON_MERGE)
        path = namespace.path(TRAINING_SCHEDULES, "n")
        now = {"metadata": {"annotations": {meta.RUN_NOW_ANNOTATION: "x"}}}
        await namespace.request("PATCH", path, now, content_type=JSON_MERGE)

        async def going() -> bool:
            job = await namespace.client.get(TRAINING_JOBS, namespace.name, old)
            return "deletionTimestamp" in job["metadata"] and await nightly.reason() == "RunWaits"

        await namespace.until("the old run to be deleted and the new one to wait", going)
        assert await nightly.jobs() == [old]
        free = {"metadata": {"finalizers": None}}
        await namespace.request("PATCH", namespace.path(TRAINING_JOBS, old), free, content_type=JSON_MERGE)
        new = await nightly.run("n-r")
        assert await nightly.jobs() == [new]


async def test_a_change_of_the_template_runs_and_an_edit_of_the_line_does_not(namespace: Namespace) -> None:
    nightly = Nightly(namespace)
    await nightly.submit(schedule=None, runOnChange=True)
    async with namespace.operator() as port:
        first = await nightly.run("n-c")
        await nightly.end(first, "Succeeded")
        await nightly.at_rest([first])
        await nightly.edit(schedule="*/10 * * * *", timeZone="Europe/Paris")

        async def promised() -> bool:
            return "nextScheduleTime" in await nightly.status()

        await namespace.until("a next time", promised)
        assert await nightly.jobs() == [first]
        await nightly.edit(template={"spec": {"parameters": {"num_leaves": 7}}})

        async def two() -> list[str] | None:
            jobs = await nightly.jobs()
            return jobs if len(jobs) == 2 else None

        jobs = await namespace.until("a run of the changed template", two)
        (second,) = set(jobs) - {first}
        await nightly.end(second, "Succeeded")
        await nightly.at_rest(jobs)
    assert port.writes["create trainingjobs"] == 2


async def test_nothing_is_written_at_rest(namespace: Namespace) -> None:
    nightly = Nightly(namespace)
    await nightly.submit()
    async with namespace.operator():
        await nightly.end(await nightly.run(nightly.due), "Succeeded")
        await nightly.at_rest([nightly.due])
    async with namespace.operator() as port:
        await namespace.apply("last", cancel=True)
        await namespace.phase("Cancelled", "last")  # by now everything was looked at
    assert not WRITES & {write for write, count in port.writes.items() if count}


async def test_quota_refuses_a_run_and_later_lets_it_go(namespace: Namespace) -> None:
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

        await namespace.until("the refusal to be told", refused)
        assert "quota: none" in (await nightly.status())["conditions"][0]["message"]
        await namespace.request("DELETE", namespace.path(QUOTAS, "none"))
        await nightly.edit(suspend=False, startingDeadlineSeconds=36000)  # any edit makes it try again
        await nightly.run(nightly.due)


LINES = (
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


@pytest.mark.parametrize(("line", "zone"), [*((line, "Europe/Paris") for line in LINES), ("@daily", "Mars/Base")])
async def test_what_a_cronjob_takes(namespace: Namespace, line: str, zone: str) -> None:
    """The API server's own judgement of the same line in a CronJob."""
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
    job = {"spec": {"template": {"spec": pod}}}
    body = {"metadata": {"name": "c"}, "spec": {"schedule": line, "timeZone": zone, "jobTemplate": job}}
    try:
        await namespace.request("POST", f"{namespace.path(CRON_JOBS)}?dryRun=All", body)
        taken = True
    except AssertionError as refused:
        assert "is invalid" in str(refused)  # noqa: PT017 - either answer is one
        taken = False
    with nullcontext() if taken else pytest.raises(ScheduleError):
        parse(line, zone)
