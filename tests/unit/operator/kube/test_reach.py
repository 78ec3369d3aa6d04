"""An unavailable API server is logged once: when the outage begins, at intervals, and when it ends."""

import logging

import pytest

from tests.unit.operator.kube.scripted_api import BROKEN, ScriptedResponse, failure, scripted_api
from trainyard_operator.core.config import ClientLimits
from trainyard_operator.kube.client import KubeClient
from trainyard_operator.kube.credentials import Credentials
from trainyard_operator.kube.errors import AwayError, UnavailableError, log_level
from trainyard_operator.kube.port import JOBS
from trainyard_operator.kube.reach import AGAIN_SECONDS, PAUSE_SECONDS, Reach


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reach(clock: Clock, caplog: pytest.LogCaptureFixture) -> Reach:
    caplog.set_level("INFO", "trainyard_operator.kube.reach")
    return Reach("https://api", clock=clock)


def test_a_long_outage_is_logged_at_its_start_at_intervals_and_at_its_end(
    reach: Reach, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(700):
        for watch in range(7):
            assert reach.failed(f"GET /{watch}: refused", clock.now)
        clock.now += 1
    assert reach.away
    reach.answered()
    reach.answered()
    assert not reach.away
    assert caplog.messages == [
        "https://api does not answer: GET /0: refused; all work waits for it",
        "https://api does not answer for 300 s: GET /0: refused; all work waits for it",
        "https://api does not answer for 600 s: GET /0: refused; all work waits for it",
        "https://api answers again after 700 s",
    ]


def test_an_unstable_api_server_does_not_fill_the_log(
    reach: Reach, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(int(10 * PAUSE_SECONDS)):
        clock.now += 0.5
        reach.failed("GET /: refused", clock.now)
        clock.now += 0.5
        reach.answered()
    assert len(caplog.messages) == 2 * 10


def test_a_second_outage_soon_after_is_logged_if_it_lasts(
    reach: Reach, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    reach.failed("first", clock.now)
    clock.now += 1
    reach.answered()
    caplog.clear()
    for _ in range(int(PAUSE_SECONDS) + 1):
        clock.now += 1
        reach.failed("second", clock.now)
    assert caplog.messages == ["https://api does not answer: second; all work waits for it"]


def test_a_single_failed_request_is_not_an_outage(reach: Reach, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    began = reach.now()
    clock.now += 20
    reach.answered()
    clock.now += 10
    assert not reach.failed("POST /: no answer in time", began)
    assert (reach.away, caplog.messages) == (False, [])


def test_an_outage_counts_as_recent_for_a_while(reach: Reach, clock: Clock) -> None:
    assert not reach.away_within(60)
    reach.failed("x", clock.now)
    clock.now += AGAIN_SECONDS
    assert reach.away_within(60)
    reach.answered()
    clock.now += 59
    assert reach.away_within(60)
    clock.now += 1
    assert not reach.away_within(60)


async def test_the_client_distinguishes_an_outage_from_a_failure(clock: Clock) -> None:
    async with scripted_api() as api:
        reach = Reach(api.credentials.server, clock=clock)
        nowhere = Credentials("http://127.0.0.1:1", None, api.credentials.token)
        async with (
            KubeClient(api.credentials, ClientLimits(), reach=reach) as client,
            KubeClient(nowhere, ClientLimits(), reach=reach) as lost,
        ):
            api.responses = [
                failure(503, "ServiceUnavailable"),
                failure(500, "InternalError"),
                BROKEN,
                ScriptedResponse({}),
            ]
            with pytest.raises(AwayError, match="503 ServiceUnavailable") as sick:
                await client.get(JOBS, "ns", "j")
            assert (reach.away, log_level(sick.value)) == (True, logging.DEBUG)
            clock.now += 1
            with pytest.raises(UnavailableError) as broken:
                await client.get(JOBS, "ns", "j")
            assert (reach.away, log_level(broken.value)) == (False, logging.WARNING), "it responds, so it is not away"
            clock.now += 1
            with pytest.raises(AwayError, match="NoConnection"):
                await client.create(JOBS, "ns", {})
            await client.get(JOBS, "ns", "j")
            clock.now += 1
            with pytest.raises(AwayError, match=r"NoConnection: GET .* Cannot connect"):
                await lost.get(JOBS, "ns", "j")
