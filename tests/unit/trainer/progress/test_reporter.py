"""Progress reports: at intervals, only the newest, always the last one.

Errors of the endpoint never affect the training.
"""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.trainer.progress.endpoint import Endpoint
from trainyard_api.wire import ReportedStatus
from trainyard_trainer.progress.reporter import HttpsSender, Reporter, Response

LONG = 3600.0
SOON = 5.0


def status(percent: int, message: str = "") -> ReportedStatus:
    return ReportedStatus(progress_percentage=percent, stage="train", message=message)


class Recorder:
    """A sender that records reports. It gives its responses in order and repeats the last one."""

    def __init__(self, *responses: Response | Exception) -> None:
        self._responses = list(responses) or [Response(200)]
        self._arrived = threading.Condition()
        self.sent: list[ReportedStatus] = []

    def __call__(self, report: ReportedStatus) -> Response:
        response = self._responses.pop(0) if len(self._responses) > 1 else self._responses[0]
        with self._arrived:
            self.sent.append(report)
            self._arrived.notify_all()
        if isinstance(response, Exception):
            raise response
        return response

    def wait_for(self, count: int) -> None:
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.sent) >= count, SOON), f"{count} reports within {SOON} s"


def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline, f"{what} within {SOON} s"
        time.sleep(0.005)  # between two checks of the condition


def test_the_first_report_is_immediate_and_the_last_is_sent_on_close() -> None:
    recorder = Recorder()
    reporter = Reporter(recorder, interval=LONG)
    reporter.submit(status(0))
    recorder.wait_for(1)
    for percent in range(1, 60):
        reporter.submit(status(percent))
    reporter.close()
    assert [report.progress_percentage for report in recorder.sent] == [0, 59]


def test_after_the_interval_only_the_newest_is_sent() -> None:
    recorder = Recorder()
    reporter = Reporter(recorder, interval=0.5)
    reporter.submit(status(0))
    recorder.wait_for(1)
    reporter.submit(status(10))
    reporter.submit(status(11))
    recorder.wait_for(2)
    reporter.close()
    assert [report.progress_percentage for report in recorder.sent] == [0, 11]


def test_a_new_message_alone_is_sent_only_at_the_end() -> None:
    recorder = Recorder()
    reporter = Reporter(recorder, interval=0.01)
    reporter.submit(status(5, "one"))
    recorder.wait_for(1)
    reporter.submit(status(5, "two"))
    reporter.submit(status(6, "three"))
    recorder.wait_for(2)
    reporter.submit(status(6, "four"))
    reporter.close()
    assert [report.message for report in recorder.sent] in (
        ["one", "three", "four"],
        ["one", "two", "three", "four"],  # both were submitted between two checks of the thread
    )


def test_nothing_is_sent_twice() -> None:
    recorder = Recorder()
    reporter = Reporter(recorder, interval=LONG)
    reporter.submit(status(3))
    recorder.wait_for(1)
    eventually(lambda: reporter._sent == status(3), "the report is noted as sent")
    reporter.close()
    assert len(recorder.sent) == 1


@pytest.mark.parametrize("refusal", [403, 404, 409])
def test_repeated_refusals_end_the_reporting(refusal: int, caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(Response(refusal))
    reporter = Reporter(recorder, interval=0.001)
    reporter.submit(status(1))
    recorder.wait_for(5)
    reporter.submit(status(50))
    reporter.close()
    assert len(recorder.sent) == 5
    assert "progress is no longer reported" in caplog.text


def test_temporary_refusals_do_not_end_the_reporting() -> None:
    refused, taken = [Response(403), Response(409), Response(404), Response(403)], Response(200)
    recorder = Recorder(*refused, taken, *refused, taken)
    reporter = Reporter(recorder, interval=0.001)
    for percent in (1, 2):
        reporter.submit(status(percent))
        recorder.wait_for(5 * percent)
        eventually(lambda percent=percent: reporter._sent == status(percent), "the report is noted as sent")
    reporter.close()
    assert len(recorder.sent) == 10


@pytest.mark.parametrize(
    "trouble", [OSError("down"), TimeoutError("slow"), Response(401), Response(500), Response(429, 0.01)]
)
def test_an_error_is_logged_once_and_retried(trouble: Response | Exception, caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(trouble, trouble, Response(200))
    reporter = Reporter(recorder, interval=0.01)
    with caplog.at_level(logging.WARNING):
        for percent in (1, 2, 3):
            reporter.submit(status(percent))
            recorder.wait_for(percent)
    reporter.close()
    assert caplog.text.count("could not be reported") == 1


def test_retry_after_is_respected_except_by_the_last_report() -> None:
    recorder = Recorder(Response(429, retry_after=LONG))
    reporter = Reporter(recorder, interval=0.01)
    reporter.submit(status(1))
    recorder.wait_for(1)
    reporter.submit(status(2))
    reporter.submit(status(3))
    reporter.close()
    assert [report.progress_percentage for report in recorder.sent] == [1, 3]


def test_close_has_a_time_limit_if_the_endpoint_hangs() -> None:
    release = threading.Event()

    def hang(_: ReportedStatus) -> Response:
        release.wait(SOON)
        return Response(200)

    reporter = Reporter(hang, interval=0.01)
    reporter.submit(status(1))
    started = time.monotonic()
    reporter.close(timeout=0.1)
    assert time.monotonic() - started < 1
    release.set()


def test_the_sender_uses_https_with_the_newest_token(tmp_path: Path) -> None:
    token = tmp_path / "token"
    with Endpoint(tmp_path) as endpoint:
        send = HttpsSender(endpoint.url, token, endpoint.ca_file)
        for word in ("first", "second"):
            token.write_text(f"{word}\n")
            assert send(status(7, "halfway")) == Response(200)
        endpoint.status, endpoint.headers = 429, {"Retry-After": "11"}
        assert send(status(8)) == Response(429, 11.0)
    assert [request.token for request in endpoint.requests] == ["first", "second", "second"]
    assert endpoint.requests[0].path == "/apis/x/status"
    assert endpoint.requests[0].body == {
        "trainerStatus": {"progressPercentage": 7, "stage": "train", "message": "halfway"}
    }


def test_an_endpoint_of_another_authority_gets_no_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    with Endpoint(tmp_path / "real") as endpoint, Endpoint(tmp_path / "other") as other:
        with pytest.raises(OSError, match="certificate verify failed"):
            HttpsSender(endpoint.url, tmp_path / "token", other.ca_file)(status(1))
        assert endpoint.requests == []
