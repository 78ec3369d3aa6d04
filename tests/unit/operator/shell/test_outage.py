"""The log of the whole operator during an outage of the API server: few messages, however many requests fail."""

import logging
import re
from collections.abc import AsyncIterator

import pytest
from prometheus_client import REGISTRY

from tests.unit.operator.shell.fake_api import TRAINING_JOBS, FakeApi, fake_api, training_job
from tests.unit.operator.shell.test_app import LOCAL, PATHS, running, until
from trainyard_operator.core.config import LeaderElection
from trainyard_operator.shell.app import Operator
from trainyard_operator.shell.logs import AGAIN_SECONDS, Retries

OBJECTS = 30
FAILED = 100
"""Requests that fail before the API server comes back."""

WORKERS = 8
REACH = "trainyard_operator.kube.reach"
KOPF = "kopf._cogs.clients.watching"


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with fake_api() as api:
        yield api


def _unanswered() -> float:
    """Return how many requests failed without a response, or with 503."""
    samples = [sample for metric in REGISTRY.collect() for sample in metric.samples]
    codes = {"0", "503"}
    return sum(s.value for s in samples if s.name == "trainyard_api_requests_total" and s.labels.get("code") in codes)


@pytest.mark.parametrize("sick", [False, True], ids=["nobody answers", "503"])
async def test_an_outage_is_logged_once(
    api: FakeApi, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, *, sick: bool
) -> None:
    caplog.set_level("WARNING", "kopf")  # as configure_logging does
    caplog.set_level("INFO")
    caplog.handler.addFilter(retries := Retries())
    monkeypatch.setattr("trainyard_operator.runtime.queue.BACKOFF_LIMIT", 0.2)
    long = LeaderElection(lease_seconds=120)  # it keeps the lead
    async with running(api, LOCAL.model_copy(update={"workers": WORKERS, "leader_election": long})) as (operator, _):
        await api.until_watched(*PATHS)
        await until("readiness", lambda: _ready(operator))
        await api.send(TRAINING_JOBS, "ADDED", training_job("first", OBJECTS + 1))
        await until("its namespace to be claimed, and a Job", lambda: _has_a_job(api))
        caplog.clear()
        before, api.away, api.refuse = _unanswered(), not sick, 503
        for number in range(OBJECTS):
            await api.send(TRAINING_JOBS, "ADDED", training_job(f"j{number}", number + 1))
        await until("the first failures", lambda: _failed(before, 1))
        api.cut_watches()
        await until(f"{FAILED} requests to fail", lambda: _failed(before, FAILED))
        api.away, api.refuse = False, None
        await until("the word that it is back", lambda: _has_logged(caplog, "answers again"))
        messages = _logged(caplog)
    caplog.handler.removeFilter(retries)
    reach = [re.sub(r":\d+|\d+ s|: (GET|POST|PATCH) .*", "", m) for r, m in messages if r.name == REACH]
    assert reach == ["http://127.0.0.1 does not answer", "http://127.0.0.1 answers again after "]
    kopf = [message for record, message in messages if record.name.startswith("kopf")]
    assert len(kopf) == len(set(kopf)) <= (len(PATHS) if sick else 0)
    others = [message for record, message in messages if record.name != REACH and not record.name.startswith("kopf")]
    assert len(others) <= WORKERS, "requests that began before the outage"


async def test_an_outage_longer_than_the_lease_logs_a_few_messages(
    api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    """The operator loses the lead, starts again, waits, and leads again."""
    caplog.set_level("INFO")
    caplog.handler.addFilter(retries := Retries())
    short = LeaderElection(lease_seconds=2)
    async with running(api, LOCAL.model_copy(update={"leader_election": short})) as (operator, _):
        await until("readiness", lambda: _ready(operator))
        await until("the lead", lambda: _has_logged(caplog, "makes decisions from now on"))
        caplog.clear()
        api.away = True
        api.cut_watches()
        await until("its next life", lambda: _has_logged(caplog, "starts again as a follower"))
        before = _unanswered()
        await until("more requests to fail", lambda: _failed(before, 3))
        api.away = False
        await until("the lead again", lambda: _has_logged(caplog, "makes decisions from now on"))
        messages = [message for record, message in _logged(caplog) if record.name.startswith("trainyard")]
    caplog.handler.removeFilter(retries)
    assert len(messages) == len(set(messages))
    assert len(messages) <= 12, messages


async def _has_a_job(api: FakeApi) -> bool:
    return bool(api.jobs)


async def _ready(operator: Operator) -> bool:
    return operator.readiness() is None


async def _failed(before: float, count: int) -> bool:
    return _unanswered() - before >= count


async def _has_logged(caplog: pytest.LogCaptureFixture, words: str) -> bool:
    return any(words in message for _, message in _logged(caplog))


def _logged(caplog: pytest.LogCaptureFixture) -> list[tuple[logging.LogRecord, str]]:
    """Return what was logged, except for messages about objects."""
    return [(r, r.getMessage()) for r in caplog.records if not hasattr(r, "object")]


def retry(attempt: int, error: str, path: str = "jobs", logger: str = KOPF) -> logging.LogRecord:
    message = f"Request attempt #{attempt} failed; will retry: GET https://api/{path}?watch=true&x={attempt} -> {error}"
    return logging.LogRecord(logger, logging.ERROR, "", 0, message, (), None)


def test_retry_messages_of_kopf_are_limited() -> None:
    now = [0.0]
    retries = Retries(clock=lambda: now[0])
    assert not retries.filter(retry(1, "ClientConnectorError(ConnectionKey(host='10.96.0.1'))"))
    assert not retries.filter(retry(1, "ServerDisconnectedError('Server disconnected')"))
    assert not retries.filter(retry(1, "TimeoutError()"))
    passed = [retries.filter(retry(n, "APIServerError('etcd')")) for n in range(1, 100)]
    assert passed == [True, *[False] * 98]
    assert retries.filter(retry(1, "APIServerError('etcd')", "pods")), "another watch"
    assert retries.filter(retry(1, "APIForbiddenError('no')")), "another error"
    now[0] = AGAIN_SECONDS
    assert retries.filter(retry(101, "APIServerError('etcd')"))


def test_final_failures_and_our_own_messages_are_never_hidden() -> None:
    retries = Retries()
    for _ in range(2):
        assert retries.filter(retry(1, "ClientConnectorError()", logger="trainyard_operator.kube.client"))
        message = "Request attempt #4 failed; escalating: GET https://api/jobs -> ClientConnectorError()"
        assert retries.filter(logging.LogRecord(KOPF, logging.ERROR, "", 0, message, (), None))
