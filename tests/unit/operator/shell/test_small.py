import asyncio
import itertools
import json
import logging
from pathlib import Path

import kopf
import pytest

from trainyard_operator.kube.credentials import Credentials, FixedToken
from trainyard_operator.shell.config import ConfigError, load_config
from trainyard_operator.shell.freshness import GRACE_SECONDS, SILENT_SECONDS, Freshness
from trainyard_operator.shell.login import MAX_LOGINS, Login
from trainyard_operator.shell.logs import JsonFormatter
from trainyard_operator.shell.main import run
from trainyard_operator.shell.settings import SERVER_TIMEOUT_SECONDS, Backoffs, configure


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_without_a_file_the_defaults_apply() -> None:
    assert load_config({}).namespace == "trainyard"


def test_a_configuration_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("namespaces: [a]\nclient: {qps: 5}\nprogress: {tlsSecret: mine}\n")
    config = load_config({"TRAINYARD_CONFIG_FILE": str(file)})
    assert (config.namespaces, config.client.qps, config.progress.tls_secret) == (("a",), 5, "mine")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("client: {qps: 0}", "client.qps: Input should be greater than 0; correct it in the chart's values"),
        ("clients: {}\nworkers: many", r"\(and 1 more errors\)"),
        ("a: [", "is not YAML"),
        ("- a", "the file: "),
    ],
)
def test_an_invalid_file_gives_one_message_and_exit_code_64(
    tmp_path: Path, text: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=expected) as raised:
        load_config({"TRAINYARD_CONFIG_FILE": str(file)})
    assert run({"TRAINYARD_CONFIG_FILE": str(file)}) == 64
    error_output = capsys.readouterr().err
    assert error_output == f"trainyard-operator: {raised.value}\n"
    assert str(file) in error_output


def test_a_missing_file_gives_exit_code_64(capsys: pytest.CaptureFixture[str]) -> None:
    assert run({"TRAINYARD_CONFIG_FILE": "/no/such/file"}) == 64
    assert "/no/such/file cannot be read (No such file or directory)" in capsys.readouterr().err


def test_missing_credentials_give_exit_code_64(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run({"HOME": str(tmp_path)}) == 64
    assert "set KUBECONFIG" in capsys.readouterr().err


def test_the_server_ends_watches_before_they_count_as_silent() -> None:
    assert SERVER_TIMEOUT_SECONDS < SILENT_SECONDS


def test_kopf_is_configured_to_write_nothing() -> None:
    settings = kopf.OperatorSettings()
    configure(settings)
    assert settings.scanning.disabled
    assert not settings.posting.enabled
    assert settings.process.ultimate_exiting_timeout is None, "the end of kopf must not end the process"


def test_kopf_retries_requests_without_end_and_watches_before_they_count_as_stuck() -> None:
    settings = kopf.OperatorSettings()
    configure(settings)
    backoffs = settings.networking.error_backoffs
    assert isinstance(backoffs, Backoffs)
    for _ in range(2):  # again for the next request
        pauses = list(itertools.islice(backoffs, 10_000))
        assert len(pauses) == 10_000
        longest = max(pauses) + (settings.networking.request_timeout or 0)
        assert longest < GRACE_SECONDS


async def test_a_login_that_is_refused_repeatedly_gives_up() -> None:
    clock = Clock()
    refused = asyncio.Event()
    login = Login(Credentials("http://h", None, FixedToken("t")), Freshness(()), refused=refused, clock=clock)
    sessions = [login.session() for _ in range(MAX_LOGINS)]
    assert login.session() is None
    assert refused.is_set()
    clock.now = 61
    sessions.append(login.session())
    for session in sessions:
        assert session is not None
        await session.aiohttp_session.close()


def test_logs_are_json_lines() -> None:
    try:
        raise ValueError("no")
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.LogRecord("a.b", logging.WARNING, __file__, 1, "line one\n%s", ("two",), info)
    text = JsonFormatter().format(record)
    entry = json.loads(text)
    assert "\n" not in text
    assert (entry["level"], entry["logger"], entry["message"]) == ("warning", "a.b", "line one\ntwo")
    assert "ValueError: no" in entry["error"]
