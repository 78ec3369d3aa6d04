"""The percentage of the whole job, the log lines, and secrets that they never contain."""

import io
import itertools
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from trainyard_api.wire import ReportedStatus
from trainyard_trainer.progress.log import LOGGER, JsonLines, log_as_json
from trainyard_trainer.progress.redact import redact
from trainyard_trainer.progress.stages import Stage
from trainyard_trainer.progress.tracker import Tracker, metric_list


@dataclass
class RecordingListener:
    reports: list[ReportedStatus] = field(default_factory=list)
    closed: bool = False

    def submit(self, status: ReportedStatus) -> None:
        self.reports.append(status)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    logging.captureWarnings(capture=False)
    root.handlers, root.level = handlers, level
    LOGGER.setLevel(logging.NOTSET)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


TRAINING = (Stage.LOAD, Stage.PREPROCESS, Stage.TRAIN, Stage.EVALUATE, Stage.REGISTER)
PREDICTION = (Stage.LOAD, Stage.PREPROCESS, Stage.PREDICT)


@pytest.mark.parametrize("stages", [TRAINING, PREDICTION])
def test_the_stages_cover_the_whole_without_gaps(stages: tuple[Stage, ...]) -> None:
    bounds = [(stage.start, stage.end) for stage in stages]
    assert bounds[0][0] == 0
    assert bounds[-1][1] == 100
    assert all(before[1] == after[0] for before, after in itertools.pairwise(bounds))


@pytest.mark.parametrize(("fraction", "percent"), [(-1, 40), (0, 40), (0.5, 55), (1, 70), (7, 70)])
def test_a_fraction_stays_inside_its_stage(fraction: float, percent: int) -> None:
    assert Stage.TRAIN.percentage(fraction) == percent


def test_progress_never_decreases_and_keeps_the_last_metrics() -> None:
    listener = RecordingListener()
    tracker = Tracker(JsonLines(), (listener,))
    tracker.begin(Stage.TRAIN, "training")
    tracker(0.9, "far", {"mae": 1.23456789})
    tracker(0.1, "back?")
    tracker.begin(Stage.EVALUATE, "judging")
    tracker.close()
    assert [status.progress_percentage for status in listener.reports] == [40, 67, 67, 70]
    assert [status.stage for status in listener.reports] == ["train", "train", "train", "evaluate"]
    assert listener.reports[-1].metrics == metric_list({"mae": 1.23457})
    assert listener.closed


def test_log_lines_are_numbered_and_name_their_stage(stream: io.StringIO) -> None:
    tracker = Tracker(log_as_json(stream), ())
    tracker.begin(Stage.LOAD, "fetching")
    tracker.begin(Stage.TRAIN, "training")
    logging.getLogger("library").warning("careful")
    try:
        raise ValueError("https://user:pass@host/?token=abc")
    except ValueError:
        LOGGER.exception("crashed")
    found = lines(stream)
    assert [line["seq"] for line in found] == [1, 2, 3, 4]
    assert [line["stage"] for line in found] == ["load", "train", "train", "train"]
    assert [line["message"] for line in found] == ["fetching", "training", "careful", "crashed"]
    assert found[2]["logger"] == "library"
    assert "ValueError" in str(found[3]["exception"])
    assert "pass" not in str(found[3]["exception"])
    assert "abc" not in str(found[3]["exception"])


def test_frequent_progress_is_not_logged_each_time(stream: io.StringIO) -> None:
    listener = RecordingListener()
    tracker = Tracker(log_as_json(stream), (listener,))
    tracker.begin(Stage.TRAIN, "training")
    for number in range(1000):
        tracker(number / 1000, f"series {number}")
    assert len(lines(stream)) < 10
    assert len(listener.reports) == 1001


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("s3://models/a/b", "s3://models/a/b"),
        ("get https://user:pw@host/x.csv now", "get https://***@host/x.csv now"),
        ("https://h/x?X-Amz-Signature=ab12&page=2", "https://h/x?X-Amz-Signature=***&page=2"),
        ("https://h/x?sig=ab%2F&se=1", "https://h/x?sig=***&se=1"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("postgresql://u:p@db/x", "postgresql://***@db/x"),
    ],
)
def test_secrets_are_removed(text: str, clean: str) -> None:
    assert redact(text) == clean
