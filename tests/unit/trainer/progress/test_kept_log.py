"""The stored log: bounded, without secrets, written during and at the end of the training."""

import json
import logging
import threading
from collections.abc import Iterator

import pytest

from trainyard_trainer.errors import NotPermitted
from trainyard_trainer.progress.kept import HEAD_BYTES, TAIL_BYTES, KeptLog
from trainyard_trainer.progress.log import LOGGER, JsonLines

NEVER = 3600.0
BOUND = 60


class Location:
    """Stores what is written, and can refuse it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.came = threading.Event()
        self.refuses = False

    def __call__(self, body: bytes) -> None:
        if self.refuses:
            self.came.set()
            raise NotPermitted("writing is forbidden")
        self.written.append(body)
        self.came.set()


@pytest.fixture
def logs() -> Iterator[list[KeptLog]]:
    """Yield a list. Handlers that a test appends are attached to the log, and removed after the test."""
    made: list[KeptLog] = []
    level = LOGGER.level
    LOGGER.setLevel(logging.INFO)
    yield made
    LOGGER.setLevel(level)
    for each in made:
        each.finish()
        logging.getLogger().removeHandler(each)


def kept(logs: list[KeptLog], interval: float = NEVER, lines: JsonLines | None = None) -> KeptLog:
    log = KeptLog(lines or JsonLines(), "train", interval)
    logging.getLogger().addHandler(log)
    logs.append(log)
    return log


def messages(body: bytes) -> list[str]:
    return [json.loads(line).get("message", "gap") for line in body.splitlines()]


def test_lines_before_the_storage_is_known_are_kept(logs: list[KeptLog]) -> None:
    log, location = kept(logs), Location()
    LOGGER.info("before")
    log.begin(location)
    LOGGER.info("after")
    log.finish()
    assert messages(location.written[-1]) == ["before", "after"]


def test_it_has_the_printed_lines(logs: list[KeptLog], capsys: pytest.CaptureFixture[str]) -> None:
    lines = JsonLines()
    shown = logging.StreamHandler()
    shown.setFormatter(lines)
    logging.getLogger().addHandler(shown)
    log, location = kept(logs, lines=lines), Location()
    log.begin(location)
    LOGGER.info("reading https://me:pass@host/x?X-Amz-Signature=hush with Bearer abc")
    LOGGER.info("done")
    logging.getLogger().removeHandler(shown)
    log.finish()
    printed = capsys.readouterr().err
    assert location.written[-1].decode() == printed
    assert [json.loads(line)["seq"] for line in printed.splitlines()] == [1, 2]
    assert not any(secret in printed for secret in ("me:pass", "hush", "abc"))


def test_it_is_written_while_the_training_runs(logs: list[KeptLog]) -> None:
    """A killed pod loses only the last interval of its log."""
    log, location = kept(logs, interval=0.01), Location()
    log.begin(location)
    LOGGER.info("one")
    assert location.came.wait(BOUND)
    assert messages(location.written[0]) == ["one"]


def test_it_is_not_written_again_without_new_lines(logs: list[KeptLog]) -> None:
    log, location = kept(logs, interval=0.001), Location()
    log.begin(location)
    LOGGER.info("one")
    assert location.came.wait(BOUND)
    log.finish()
    assert len(location.written) == 1


def test_head_and_tail_are_kept(logs: list[KeptLog]) -> None:
    log = kept(logs)
    for number in range(20_000):
        LOGGER.info("line %d of the training, which says a lot about what it does", number)
    body = log.text()
    reported = messages(body)
    assert len(body) <= HEAD_BYTES + TAIL_BYTES + 64
    assert reported[0].startswith("line 0 ")
    assert reported[-1].startswith("line 19999 ")
    assert reported.count("gap") == 1
    left_out = json.loads(body.splitlines()[reported.index("gap")])["leftOut"]
    assert len(reported) - 1 + left_out == 20_000


def test_a_line_longer_than_the_limit_is_left_out(logs: list[KeptLog]) -> None:
    log = kept(logs)
    LOGGER.info("x" * (TAIL_BYTES + HEAD_BYTES))
    assert messages(log.text()) == ["gap"]
    LOGGER.info("short")
    assert messages(log.text()) == ["gap", "short"]


def test_a_storage_that_refuses_is_reported_once(logs: list[KeptLog], caplog: pytest.LogCaptureFixture) -> None:
    log, location = kept(logs, interval=0.005), Location()
    location.refuses = True
    log.begin(location)
    for _ in range(3):
        location.came.clear()
        LOGGER.info("one")
        assert location.came.wait(BOUND)
    location.refuses = False
    log.finish()
    reported = [record for record in caplog.records if "could not be written" in record.getMessage()]
    assert len(reported) == 1
    assert "one" in messages(location.written[-1])


def test_a_record_that_cannot_be_formatted_is_no_failure(
    logs: list[KeptLog], capsys: pytest.CaptureFixture[str]
) -> None:
    log = kept(logs)
    log.handle(logging.LogRecord("trainyard.own", logging.INFO, "file", 1, "%d rows", ("many",), None))
    LOGGER.info("on")
    assert messages(log.text()) == ["on"]
    assert "Logging error" in capsys.readouterr().err
