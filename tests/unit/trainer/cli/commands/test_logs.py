"""The command ``logs``: by the address of the logs, of one log file, or of a run of the same job."""

from pathlib import Path

import pytest

from trainyard_trainer.cli.main import main

UID = "7c0b"
FIRST, SECOND = "20260101T000000Z-attempt-1-fetch-aaaaaa.jsonl", "20260101T000500Z-attempt-1-register-bbbbbb.jsonl"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return the folder of a model with two logs of a job and one of another."""
    folder = tmp_path / "shop/demand"
    for uid, name, text in ((UID, SECOND, "two\n"), (UID, FIRST, "one\n"), ("other", FIRST, "else\n")):
        (folder / "logs" / uid).mkdir(parents=True, exist_ok=True)
        (folder / "logs" / uid / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("location", "printed"),
    [
        (f"logs/{UID}", "one\ntwo\n"),
        (f"logs/{UID}/", "one\ntwo\n"),
        (f"logs/{UID}/{SECOND}", "two\n"),
        (f"runs/{UID}/1", "one\ntwo\n"),
        (f"runs/{UID}", "one\ntwo\n"),
        (f"backtests/{UID}/2", "one\ntwo\n"),
    ],
)
def test_the_logs_of_a_job_are_in_the_order_of_the_pods(
    model: Path, capfdbinary: pytest.CaptureFixture[bytes], location: str, printed: str
) -> None:
    assert main(["logs", f"file://{model}/{location}"]) == 0
    assert capfdbinary.readouterr().out == printed.encode()


def test_a_list(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs", f"file://{model}/logs/{UID}", "--list"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["WRITTEN", "SIZE", "LOG"]
    assert [row.split()[-1] for row in rows] == [FIRST, SECOND]


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("logs/nobody", "contains no log: give status.result.log"),
        (f"logs/{UID}/20270101T000000Z.jsonl", "contains no log 20270101T000000Z.jsonl"),
        ("versions/00000001", "is not the address of logs"),
        ("", "is not the address of logs"),
    ],
)
def test_missing_logs_are_an_error(
    model: Path, capsys: pytest.CaptureFixture[str], location: str, message: str
) -> None:
    assert main(["logs", f"file://{model}/{location}"]) == 66
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err
