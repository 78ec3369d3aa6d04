import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest

from tests.unit.operator.shell.fake_api import JOBS, TRAINING_JOBS, FakeApi, fake_api, training_job
from trainyard_api.exit_codes import ExitCode
from trainyard_operator.core.config import HealthServer, OperatorConfig, ProgressServer, StorageDefaults
from trainyard_operator.runtime.registry import KINDS
from trainyard_operator.shell.app import Operator
from trainyard_operator.shell.main import SIGNALS
from trainyard_operator.shell.start import StartError, StartRetry

TIMEOUT_SECONDS = 30.0
LOCAL = OperatorConfig(
    storage=StorageDefaults(uri="s3://models/"),
    progress=ProgressServer(url="https://127.0.0.1:1", bind="127.0.0.1", port=0),
    health=HealthServer(bind="127.0.0.1", port=0),
    workers=2,
)

PATHS = {f"{watched.resource.base}/{watched.resource.plural}": watched for watched in KINDS.values()}


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with fake_api() as api:
        yield api


@pytest.fixture(autouse=True)
async def _remove_signal_handlers_of_kopf() -> AsyncIterator[None]:
    yield
    for number in SIGNALS:
        asyncio.get_running_loop().remove_signal_handler(number)


@asynccontextmanager
async def running(api: FakeApi, config: OperatorConfig = LOCAL) -> AsyncIterator[tuple[Operator, asyncio.Event]]:
    stop, ready = asyncio.Event(), asyncio.Event()
    operator = Operator(config, api.credentials, stop=stop, kopf_ready=ready.set)
    task = asyncio.create_task(operator.run())
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):  # wait until kopf runs
            await asyncio.wait([task, asyncio.create_task(ready.wait())], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        yield operator, stop
    finally:
        stop.set()
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await task


async def _probe(operator: Operator, path: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{operator.probes.port}{path}") as response,
    ):
        return response.status, await response.text()


async def test_the_operator_becomes_ready_and_stops_quickly(api: FakeApi) -> None:
    async with running(api) as (operator, stop):
        await api.until_watched(*PATHS)
        await until("readiness", lambda: _is_ready(operator))
        assert await _probe(operator, "/healthz") == (200, "ok")
        assert operator.progress_port
        assert "trainyard_api_requests_total" in (await _probe(operator, "/metrics"))[1]
        start = time.monotonic()
        stop.set()
    assert time.monotonic() - start < 20


async def test_only_objects_of_trainyard_are_watched(api: FakeApi) -> None:
    async with running(api):
        await api.until_watched(*PATHS)
    assert api.watches.keys() == PATHS.keys()
    for path, watched in PATHS.items():
        assert api.queries[path].get("labelSelector", "") == watched.selector
    assert PATHS[JOBS].selector == "app.kubernetes.io/managed-by=trainyard"


async def test_a_watch_event_becomes_a_job(api: FakeApi) -> None:
    async with running(api):
        await api.until_watched(*PATHS)
        await api.send(TRAINING_JOBS, "ADDED", training_job("demand", 101))
        async with asyncio.timeout(TIMEOUT_SECONDS):  # wait until the operator creates a Job
            await api.created_job.wait()
    assert api.jobs == ["demand-1"]


async def test_kopf_changes_no_object(api: FakeApi) -> None:
    async with running(api):
        await api.until_watched(*PATHS)
        await api.send(TRAINING_JOBS, "ADDED", training_job("demand", 101))
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await api.created_job.wait()
    assert not [path for method, path, _ in api.writes if method == "PATCH" and not path.endswith("/status")]


async def test_objects_that_exist_at_the_start_are_reconciled(api: FakeApi) -> None:
    api.objects[TRAINING_JOBS] = [training_job("early", 50)]
    async with running(api), asyncio.timeout(TIMEOUT_SECONDS):
        await api.created_job.wait()
    assert api.jobs == ["early-1"]


async def test_only_the_configured_namespaces_are_watched(api: FakeApi) -> None:
    paths = [
        f"{watched.resource.base}/namespaces/{namespace}/{watched.resource.plural}"
        for namespace in ("team-a", "team-b")
        for watched in KINDS.values()
    ]
    async with running(api, LOCAL.model_copy(update={"namespaces": ("team-a", "team-b")})):
        await api.until_watched(*paths)
    assert api.watches.keys() == set(paths)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (401, ExitCode.NOT_PERMITTED, "refuses the credentials"),
        (403, ExitCode.NOT_PERMITTED, "the TLS secret: RBAC forbids the request: go away"),
        (404, ExitCode.INPUT_MISSING, "the TLS secret: .* does not know the resource"),
    ],
)
async def test_a_refused_start_ends_with_an_exit_code(api: FakeApi, status: int, code: ExitCode, expected: str) -> None:
    api.refuse = status
    operator = Operator(LOCAL, api.credentials, stop=asyncio.Event(), start_retry=StartRetry(api.url, grace_seconds=0))
    with pytest.raises(StartError, match=expected) as raised:
        await operator.run()
    assert raised.value.code is code


async def test_credentials_refused_later_end_the_operator(api: FakeApi) -> None:
    api.refuse_watches = True
    operator = Operator(LOCAL, api.credentials, stop=asyncio.Event())
    async with asyncio.timeout(30):
        with pytest.raises(StartError, match="refuses the credentials") as raised:
            await operator.run()
    assert raised.value.code is ExitCode.NOT_PERMITTED


async def until(what: str, holds: Callable[[], Awaitable[bool]]) -> None:
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not await holds():  # noqa: ASYNC110 - nothing would wake us
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"waited {TIMEOUT_SECONDS} s for {what}") from None


async def _is_ready(operator: Operator) -> bool:
    return (await _probe(operator, "/readyz"))[0] == 200


async def test_the_start_waits_for_an_unavailable_api_server(api: FakeApi, caplog: pytest.LogCaptureFixture) -> None:
    api.refuse = 503
    stop = asyncio.Event()
    start_retry = StartRetry(api.url, grace_seconds=0, pause_seconds=0.02)
    operator = Operator(LOCAL, api.credentials, stop=stop, start_retry=start_retry)
    task = asyncio.create_task(operator.run())
    for _ in range(5):
        api.requested.clear()
        async with asyncio.timeout(TIMEOUT_SECONDS):  # wait until it requests again
            await api.requested.wait()
    assert await _probe(operator, "/healthz") == (200, "ok")
    assert await _probe(operator, "/readyz") == (503, "the first list is not complete")
    about = [message for message in caplog.messages if message.startswith("the TLS secret: ")]
    logged = [message for message in about if "does not answer" in message]
    assert len(logged) == 1
    api.refuse = None
    await until("readiness", lambda: _is_ready(operator))
    stop.set()
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await task


async def test_the_operator_stops_at_once_while_it_waits_for_the_api_server(api: FakeApi) -> None:
    api.refuse = 503
    stop = asyncio.Event()
    task = asyncio.create_task(Operator(LOCAL, api.credentials, stop=stop).run())
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await api.requested.wait()
        stop.set()
        await task


async def test_the_operator_survives_an_outage_of_the_api_server(api: FakeApi) -> None:
    async with running(api) as (operator, _):
        await api.until_watched(*PATHS)
        api.refuse = 503
        api.cut_watches()
        for _ in range(2):
            api.requested.clear()
            async with asyncio.timeout(TIMEOUT_SECONDS):  # wait until kopf requests again
                await api.requested.wait()
        assert await _probe(operator, "/healthz") == (200, "ok")
        api.refuse = None
        await api.until_watched(*PATHS)
        await api.send(TRAINING_JOBS, "ADDED", training_job("demand", 101))
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await api.created_job.wait()


async def test_a_task_that_ended_needs_a_restart(api: FakeApi) -> None:
    async with running(api) as (operator, _):
        renewal = next(task for task in asyncio.all_tasks() if task.get_name() == "certificate")
        renewal.cancel()
        await asyncio.wait([renewal])
        assert await _probe(operator, "/healthz") == (503, "task certificate has ended")
