"""The output of a script becomes lines, and lines become progress or log lines, with bounded memory."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainyard_trainer.job.script.lines import (
    LINES_AT_ONCE,
    LINES_PER_SECOND,
    MAX_LINE_BYTES,
    LineSplitter,
    OutputReader,
    ProgressMessage,
    progress_in,
)


def lines_of(*pieces: bytes) -> list[str]:
    splitter = LineSplitter()
    return [line for piece in pieces for line in splitter.feed(piece)] + list(splitter.end())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("ab é", min_size=1).map(str.rstrip).filter(bool)), st.integers(1, 7))
def test_the_lines_do_not_depend_on_the_chunks(lines: list[str], size: int) -> None:
    body = "\n".join(lines).encode()
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    assert lines_of(*pieces) == lines


def test_an_endless_line_is_truncated() -> None:
    (line,) = lines_of(*[b"x" * 1000] * 1000)
    assert line == "x" * MAX_LINE_BYTES + " …"
    assert lines_of(b"x" * 9000 + b"\nshort\n")[1] == "short"


def test_a_carriage_return_ends_a_line() -> None:
    assert lines_of(b"\r10 %\r20 %\r\n\n done \n") == ["10 %", "20 %", " done"]


@pytest.mark.parametrize(
    ("line", "reported"),
    [
        ('{"progress": 0.5}', ProgressMessage(0.5, "the script is at 50%", {})),
        ('{"progress": "0.25", "message": "epoch 1"}', ProgressMessage(0.25, "epoch 1", {})),
        ('{"progress": 7, "message": 3}', ProgressMessage(7.0, "the script is at 100%", {})),
        (
            '{"progress": 0, "metrics": {"mae": "np.float32(1.5)", "x y": 1, "r2": NaN, "a": "b"}}',
            ProgressMessage(0, "the script is at 0%", {"mae": 1.5}),
        ),
        ('{"progress": 0, "metrics": [1]}', ProgressMessage(0, "the script is at 0%", {})),
        ('{"progress": NaN}', None),
        ('{"progress": true}', None),
        ('{"progress": null}', None),
        ('{"loss": 0.5}', None),
        ("{half of it", None),
        ("[0.5]", None),
        ('{"a":' * 100_000, None),
    ],
)
def test_progress_messages(line: str, reported: ProgressMessage | None) -> None:
    assert progress_in(line) == reported


def test_at_most_64_metrics() -> None:
    reported = progress_in(json.dumps({"progress": 0, "metrics": {f"m{n}": n for n in range(100)}}))
    assert reported is not None
    assert len(reported.metrics) == 64


def test_too_many_lines_are_counted_and_few_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "trainyard")
    clock = [0.0]
    reader = OutputReader(lambda *_: None, clock=lambda: clock[0])
    for _ in range(LINES_AT_ONCE + 50):
        reader.receive(b"x\n", is_error=False)
    assert len(caplog.messages) == LINES_AT_ONCE
    clock[0] = 1.0
    reader.receive(b"y\n", is_error=False)
    assert caplog.messages[-2].startswith("script: 50 lines were not logged")
    assert caplog.messages[-1] == "script: y"
    for clock[0] in (2.0, 3.0):
        for _ in range(2 * LINES_PER_SECOND):
            reader.receive(b"z\n", is_error=False)
    assert caplog.messages[-1] == "script: z", "not reported again with every line"
    reader.close()
    assert caplog.messages[-1].startswith("script: 101 lines were not logged")


@pytest.mark.parametrize(
    ("spoken", "last"),
    [
        ([(b"a\nb\n", False)], "b"),
        ([(b"ValueError: no\n", True), (b"bye\n", False)], "ValueError: no"),
        ([(b'{"progress": 1}\n', False)], ""),
        ([(b"in /job/x/train.py", True)], "in train.py"),
        ([], ""),
    ],
)
def test_the_last_line(spoken: list[tuple[bytes, bool]], last: str) -> None:
    reader = OutputReader(lambda *_: None, "/job/x")
    for piece, is_error in spoken:
        reader.receive(piece, is_error=is_error)
    reader.close()
    assert reader.last_line == last
