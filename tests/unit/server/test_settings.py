"""The environment of a server pod: defaults, and one message for each error."""

from pathlib import Path

import pytest

from trainyard_server.cli import main
from trainyard_server.settings import Settings
from trainyard_trainer.errors import ConfigError

GOOD = {
    "TRAINYARD_MODEL_NAME": "demand",
    "TRAINYARD_MODEL_VERSION": "3",
    "TRAINYARD_ARTIFACT_URI": "s3://models/shop/demand/runs/0/1/",
    "TRAINYARD_MANIFEST_SHA256": "a" * 64,
}


def test_variables_of_the_operator_and_defaults() -> None:
    settings = Settings.from_environ(GOOD | {"TRAINYARD_STORAGE_ENDPOINT": "http://store:7070"})
    assert (settings.target.model, settings.target.version) == ("demand", 3)
    assert (settings.target.storage_uri, settings.target.run) == ("s3://models/shop/demand/runs/0", "1")
    assert (settings.storage.endpoint, settings.storage.checksum_mode) == ("http://store:7070", "WhenRequired")
    assert (settings.host, settings.port, settings.max_rows) == ("", 8080, 10_000)
    assert settings.threads >= 1
    assert settings.drain_seconds + settings.grace_seconds < 30
    assert settings.env.storage_secret_dir == Path("/var/run/secrets/trainyard/storage")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"TRAINYARD_MODEL_NAME": ""}, "TRAINYARD_MODEL_NAME is not set"),
        ({"TRAINYARD_MODEL_VERSION": "v3"}, "TRAINYARD_MODEL_VERSION is 'v3'; it must be a whole number from 1"),
        ({"TRAINYARD_MODEL_VERSION": "0"}, "TRAINYARD_MODEL_VERSION is '0'"),
        ({"TRAINYARD_ARTIFACT_URI": "models/demand"}, "it must be the folder of a run"),
        ({"TRAINYARD_ARTIFACT_URI": "s3://models"}, "it must be the folder of a run"),
        ({"TRAINYARD_MANIFEST_SHA256": "A" * 64}, "it must be 64 hexadecimal digits"),
        ({"TRAINYARD_STORAGE_CHECKSUM_MODE": "Never"}, "it must be one of WhenRequired, WhenSupported"),
        ({"TRAINYARD_SERVER_PORT": "70000"}, "TRAINYARD_SERVER_PORT is '70000'; it must be a whole number from 1 to"),
        ({"TRAINYARD_SERVER_THREADS": "-1"}, "TRAINYARD_SERVER_THREADS is '-1'"),
    ],
)
def test_an_invalid_variable_is_named(change: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.from_environ(GOOD | change)
    assert message in str(caught.value)


def test_the_version_option_needs_no_model(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("trainyard-server ")
