"""Settings of the server, read from environment variables of the pod (names in :mod:`trainyard_api.meta`)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, Self, cast, get_args

from trainyard_api import meta
from trainyard_api.training import Storage
from trainyard_trainer.environment import Environment, worker_count
from trainyard_trainer.errors import ConfigError

ChecksumMode = Literal["WhenRequired", "WhenSupported"]

DEFAULT_MAX_ROWS: Final = 10_000
DEFAULT_DRAIN_SECONDS: Final = 5
"""How long requests still arrive after SIGTERM, until every node has removed the pod from its Service."""
DEFAULT_GRACE_SECONDS: Final = 20
"""Time for the last requests. Together with the drain time it is less than a pod's default grace period of 30 s."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_MOST: Final = 10**9


@dataclass(frozen=True)
class Target:
    """The one version to serve. The digest identifies its bytes; model and version are its name for people."""

    model: str
    version: int
    uri: str
    manifest_sha256: str

    @property
    def storage_uri(self) -> str:
        """The URI of the folder that contains the folder of the run."""
        return self.uri.rpartition("/")[0]

    @property
    def run(self) -> str:
        """The folder of the run, as a key below ``storage_uri``."""
        return self.uri.rpartition("/")[2]


@dataclass(frozen=True)
class Settings:
    """All settings of a server.

    ``threads`` is the number of parallel predictions; ``grace_seconds`` is the time for the last requests.
    """

    target: Target
    storage: Storage
    env: Environment
    host: str
    """The address to listen on. Empty means all addresses."""
    port: int
    threads: int
    max_rows: int
    drain_seconds: int
    grace_seconds: int

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the environment variables. Raises ConfigError, which names the missing or wrong variable."""
        target = Target(
            model=_required(environ, meta.MODEL_NAME_ENV),
            version=_number(environ, meta.MODEL_VERSION_ENV, least=1),
            uri=_artifact_uri(_required(environ, meta.ARTIFACT_URI_ENV)),
            manifest_sha256=_digest(_required(environ, meta.MANIFEST_SHA256_ENV)),
        )
        return cls(
            target=target,
            # Not validated: ``file://`` is for local runs only, and a TrainingJob does not allow it.
            storage=Storage.model_construct(
                uri=target.storage_uri,
                endpoint=environ.get(meta.STORAGE_ENDPOINT_ENV) or None,
                region=environ.get(meta.STORAGE_REGION_ENV) or None,
                checksum_mode=_checksum_mode(environ.get(meta.STORAGE_CHECKSUM_MODE_ENV) or "WhenRequired"),
            ),
            env=Environment.from_environ(environ),
            host=environ.get(meta.SERVER_HOST_ENV, "").strip(),
            port=_number(environ, meta.SERVER_PORT_ENV, default=meta.SERVER_PORT, least=1, most=65535),
            threads=worker_count(_number(environ, meta.SERVER_THREADS_ENV, default=0)),
            max_rows=_number(environ, meta.SERVER_MAX_ROWS_ENV, default=DEFAULT_MAX_ROWS, least=1),
            drain_seconds=_number(environ, meta.SERVER_DRAIN_SECONDS_ENV, default=DEFAULT_DRAIN_SECONDS),
            grace_seconds=_number(environ, meta.SERVER_GRACE_SECONDS_ENV, default=DEFAULT_GRACE_SECONDS, least=1),
        )


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "").strip()
    if not value:
        raise ConfigError(f"the variable {name} is not set; take its value from spec.artifact of the ModelVersion")
    return value


def _number(
    environ: Mapping[str, str], name: str, *, default: int | None = None, least: int = 0, most: int = _MOST
) -> int:
    text = (environ.get(name, "") if default is not None else _required(environ, name)).strip()
    if not text and default is not None:
        return default
    if not text.isdecimal() or not least <= int(text) <= most:
        raise ConfigError(f"the variable {name} is {text!r}; it must be a whole number from {least} to {most}")
    return int(text)


def _artifact_uri(text: str) -> str:
    scheme, _, path = text.partition("://")
    if scheme not in {"s3", "pvc", "file"} or "/" not in path.strip("/"):
        raise ConfigError(
            f"the variable {meta.ARTIFACT_URI_ENV} is {text!r}; "
            "it must be the folder of a run, such as s3://models/shop/demand/runs/<uid>/1"
        )
    return text.rstrip("/")


def _digest(text: str) -> str:
    if not _SHA256.fullmatch(text):
        raise ConfigError(f"the variable {meta.MANIFEST_SHA256_ENV} is {text!r}; it must be 64 hexadecimal digits")
    return text


def _checksum_mode(text: str) -> ChecksumMode:
    if text not in get_args(ChecksumMode):
        raise ConfigError(
            f"the variable {meta.STORAGE_CHECKSUM_MODE_ENV} is {text!r}; "
            f"it must be one of {', '.join(get_args(ChecksumMode))}"
        )
    return cast("ChecksumMode", text)
