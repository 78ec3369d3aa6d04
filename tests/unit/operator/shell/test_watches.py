"""kopf may fail: its end does not end the operator."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.unit.operator.shell.fake_api import JOBS, TRAINING_JOBS, FakeApi, fake_api, training_job
from tests.unit.operator.shell.test_small import Clock
from trainyard_operator.core.plan import Kind
from trainyard_operator.runtime.registry import KINDS
from trainyard_operator.shell.freshness import GRACE_SECONDS, SILENT_SECONDS, Freshness
from trainyard_operator.shell.main import SIGNALS
from trainyard_operator.shell.watches import Watches

TIMEOUT_SECONDS = 30.0
PATHS = [f"{watched.resource.base}/{watched.resource.plural}" for watched in KINDS.values()]


class Observer:
    """Records the names of the observed objects."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.refused = ""

    def observe(self, kind: Kind, event: str | None, body: Mapping[str, Any]) -> None:  # noqa: ARG002
        if body["metadata"]["name"] == self.refused:
            raise KeyError("spec")
        self.names.append(body["metadata"]["name"])

    async def until_observed(self, name: str) -> None:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while name not in self.names:  # noqa: ASYNC110 - kopf's handlers set no event
                await asyncio.sleep(0.01)


@asynccontextmanager
async def watching(
    api: FakeApi, freshness: Freshness, namespaces: tuple[str, ...] = ()
) -> AsyncIterator[tuple[Observer, asyncio.Task[None]]]:
    observer, loop = Observer(), asyncio.get_running_loop()

    def remove_signal_handlers() -> None:
        for number in SIGNALS:
            loop.remove_signal_handler(number)

    watches = Watches(
        namespaces,
        api.credentials,
        observer,
        freshness,
        refused=asyncio.Event(),
        ready=remove_signal_handlers,
        pause_seconds=0.05,
        check_seconds=0.05,
    )
    task = asyncio.create_task(watches.run())
    try:
        yield observer, task
    finally:
        watches.stop()
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await task
        remove_signal_handlers()


async def test_an_error_in_a_stream_reopens_all_watches() -> None:
    async with fake_api() as api, watching(api, Freshness(())) as (observer, task):
        await api.until_watched(*PATHS)
        error = {"kind": "Status", "code": 500, "message": "etcdserver: leader changed"}
        broken, api.watches = api.watches[JOBS], {}
        await broken.write(b'{"type": "ERROR", "object": %s}\n' % json_of(error))
        await api.until_watched(*PATHS)
        await api.send(TRAINING_JOBS, "ADDED", training_job("demand", 101))
        await observer.until_observed("demand")
        assert not task.done()


async def test_a_bug_on_one_object_closes_no_watch(caplog: pytest.LogCaptureFixture) -> None:
    async with fake_api() as api, watching(api, Freshness(())) as (observer, task):
        observer.refused = "odd"
        await api.until_watched(*PATHS)
        await api.send(TRAINING_JOBS, "ADDED", training_job("odd", 101))
        await api.send(TRAINING_JOBS, "ADDED", training_job("demand", 102))
        await observer.until_observed("demand")
        assert not task.done()
    assert observer.names == ["demand"]
    assert "TrainingJob odd could not be processed" in caplog.text


async def test_an_older_task_survives_the_end_of_kopf() -> None:
    older = asyncio.create_task(asyncio.Event().wait())
    async with fake_api() as api, watching(api, Freshness(())):
        await api.until_watched(*PATHS)
    assert not older.done()
    older.cancel()


async def test_a_stuck_watch_is_reopened() -> None:
    clock = Clock()
    freshness = Freshness((), clock=clock)
    async with fake_api() as api, watching(api, freshness) as (observer, task):
        await api.until_watched(*PATHS)
        await until_ready(freshness)
        api.watches.clear()  # they are still open, and silent
        clock.now = SILENT_SECONDS + 1
        for kind in KINDS:
            freshness.listed(kind, None)
        clock.now += GRACE_SECONDS + 1
        await api.until_watched(*PATHS)
        await api.send(TRAINING_JOBS, "ADDED", training_job("demand", 101))
        await observer.until_observed("demand")
        assert freshness.readiness() is None
        assert not task.done()


async def test_a_forbidden_namespace_does_not_affect_other_watches() -> None:
    def paths(namespace: str) -> list[str]:
        return [path.replace("/v1", f"/v1/namespaces/{namespace}", 1) for path in PATHS if "v1alpha1" not in path]

    freshness = Freshness(("team", "gone"))
    async with fake_api() as api:
        api.forbidden = "/namespaces/gone/"
        async with watching(api, freshness, ("team", "gone")) as (observer, task):
            await api.until_watched(*paths("team"))
            path = "/apis/trainyard.dev/v1alpha1/namespaces/team/trainingjobs"
            await api.until_watched(path)
            await api.send(path, "ADDED", training_job("demand", 101))
            await observer.until_observed("demand")
            await until_ready(freshness)
            assert not task.done()
            api.forbidden = ""
            await api.until_watched("/apis/trainyard.dev/v1alpha1/namespaces/gone/trainingjobs")


async def until_ready(freshness: Freshness) -> None:
    """Wait until every watch was accepted: the client observes that after the API server."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while freshness.readiness() is not None:  # noqa: ASYNC110 - the responses of the API server set no event
            await asyncio.sleep(0.01)


def json_of(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()
