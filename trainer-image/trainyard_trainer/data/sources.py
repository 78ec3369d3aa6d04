"""From an address to a file on local disk, with its digest. The only room that knows schemes.

``pvc://`` and ``file://`` are read where they lie; the others are copied to the work folder first: a copy can be read
twice (once for its dialect, once for its values), retried in one piece, and hashed.
"""

import contextlib
import hashlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final, Protocol
from urllib.parse import unquote, urlsplit

import requests
import tenacity

from trainyard_api.wire import TrainerConfig
from trainyard_trainer.environment import Environment
from trainyard_trainer.errors import ConfigError, InputMissing, Interrupted, NotPermitted, UpstreamUnavailable

HTTP_TIMEOUT: Final = (10.0, 60.0)
"""Seconds to connect, and between two pieces of the answer."""

HTTP_ATTEMPTS: Final = 4
_CHUNK: Final = 64 * 1024
"""Between two of them a stop takes effect: on a line of 10 kB/s that is seven seconds."""
_PIECE: Final = 1 << 20
_BUSY: Final = frozenset({408, 425, 429})


@dataclass(frozen=True)
class Source:
    """A readable local file. ``digest`` is that of the stored bytes; ``name`` is the last part of the address."""

    path: Path
    name: str
    uri: str
    digest: str
    size_bytes: int


@dataclass(frozen=True)
class Http:
    """How pages are asked for: where a session comes from, and how long to wait between attempts."""

    session: Callable[[], requests.Session] = requests.Session
    wait: tenacity.wait.wait_base = field(default_factory=lambda: tenacity.wait_random_exponential(0.5, max=10))


class ObjectStore(Protocol):
    """Reads one object into a file, or raises a TrainerError that names the bucket and the key."""

    def download(self, bucket: str, key: str, target: Path, received: Callable[[int], None]) -> None:
        """Write the object to ``target``; tell of each piece by its size. What ``received`` raises ends it."""
        ...


class S3Store:
    """The object store behind ``s3://``; its client is made on the first use."""

    def __init__(self, make_client: Callable[[], Any]) -> None:
        self._make_client = make_client

    def download(self, bucket: str, key: str, target: Path, received: Callable[[int], None]) -> None:
        """Fetch by ranges in parallel, with boto3's own retries."""
        import boto3.exceptions
        import botocore.exceptions

        from trainyard_trainer.credentials import translate_s3_error

        client = self._make_client()
        try:
            try:
                client.download_file(bucket, key, str(target), Callback=received)
            except botocore.exceptions.ClientError as error:
                # download_file begins with HEAD, whose 404 has no body: GET tells whether bucket or key is missing.
                if error.response["ResponseMetadata"].get("HTTPStatusCode") == 404:
                    client.get_object(Bucket=bucket, Key=key)["Body"].close()
                raise
        except (botocore.exceptions.BotoCoreError, boto3.exceptions.Boto3Error) as error:
            raise translate_s3_error(error, "reading the data", f"s3://{bucket}/{key}") from error
        except botocore.exceptions.ClientError as error:
            raise translate_s3_error(error, "reading the data", f"s3://{bucket}/{key}") from error


@contextlib.contextmanager
def fetch(
    config: TrainerConfig,
    env: Environment,
    stop: Callable[[], bool],
    store: ObjectStore | None = None,
    http: Http | None = None,
) -> Iterator[Source]:
    """Make the data of a job readable; copies vanish with the context.

    Parameters
    ----------
    stop
        Asked between two pieces of the data, whether to go on.

    Raises
    ------
    InputMissing
        The bucket, key, file or page does not exist.
    NotPermitted
        The credentials were refused.
    UpstreamUnavailable
        The server did not answer properly after several attempts.
    ConfigError
        The address itself is malformed.
    Interrupted
        ``stop`` turned true.
    """
    uri = config.spec.data.uri or ""

    def go_on(_: int = 0) -> None:
        if stop():
            raise Interrupted(f"stopped by a signal while reading data.uri {uri}; the next attempt starts again")

    parts = urlsplit(uri)
    name = PurePosixPath(unquote(parts.path)).name
    match parts.scheme:
        case "pvc":
            yield _describe(_inside_claim(uri, env), name, uri, go_on)
        case "file":
            yield _describe(Path(unquote(parts.path)), name, uri, go_on)
        case "s3" | "https":
            if not name:
                raise ConfigError(f"data.uri {uri} names no object: write it as s3://bucket/key or https://host/path")
            env.work_dir.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="data-", dir=env.work_dir) as folder:
                target = Path(folder) / "source"
                if parts.scheme == "s3":
                    # Not urlsplit: a key may hold "#" and "?".
                    bucket, _, key = uri.removeprefix("s3://").partition("/")
                    (store or _own_store(config, env)).download(bucket, key, target, go_on)
                    name = PurePosixPath(key).name
                else:
                    _download_page(uri, target, http or Http(), go_on)
                yield _describe(target, name, uri, go_on)
        case _:
            raise ConfigError(f"data.uri {uri} must start with s3://, https://, pvc:// or, in local runs, file://")


def _own_store(config: TrainerConfig, env: Environment) -> ObjectStore:
    from trainyard_trainer.credentials import data_client

    return S3Store(lambda: data_client(config, env))


def _inside_claim(uri: str, env: Environment) -> Path:
    path = env.claim_path(uri)
    claim = env.claims_dir / uri.removeprefix("pvc://").partition("/")[0]
    if not path.resolve().is_relative_to(claim.resolve()):
        raise NotPermitted(f"{uri} leads out of its claim by a symbolic link; name a file inside the claim")
    return path


def _describe(path: Path, name: str, uri: str, go_on: Callable[[], None]) -> Source:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                go_on()
                digest.update(piece)
            return Source(path, name, uri, f"sha256:{digest.hexdigest()}", file.tell())
    except FileNotFoundError as error:
        raise InputMissing(f"data.uri {uri} does not exist; check the path") from error
    except IsADirectoryError as error:
        raise InputMissing(f"data.uri {uri} is a folder; name one file in it") from error
    except PermissionError as error:
        raise NotPermitted(f"data.uri {uri} may not be read by the trainer; check its owner and mode") from error


class _TryAgainError(Exception):
    """An answer that may be better next time; its text says what came."""


def _download_page(uri: str, target: Path, http: Http, go_on: Callable[[], None]) -> None:
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type((_TryAgainError, requests.ConnectionError, requests.Timeout)),
        wait=http.wait,
        stop=tenacity.stop_after_attempt(HTTP_ATTEMPTS),
        reraise=True,
    )
    try:
        with http.session() as session:
            session.adapters.pop("http://", None)  # no redirect may leave TLS
            retrying(_download_once, session, uri, target, go_on)
    except (_TryAgainError, requests.ConnectionError, requests.Timeout) as error:
        raise UpstreamUnavailable(
            f"data.uri {uri} could not be read in {HTTP_ATTEMPTS} attempts: {error}; it may work later"
        ) from error
    except requests.exceptions.InvalidSchema as error:
        raise NotPermitted(
            f"data.uri {uri} redirects to an address without TLS; give the final https:// address"
        ) from error
    except requests.RequestException as error:
        raise ConfigError(f"data.uri {uri} cannot be requested: {error}") from error


def _download_once(session: requests.Session, uri: str, target: Path, go_on: Callable[[], None]) -> None:
    go_on()
    # Identity: a proxy's compression would break both the size check and the digest of the stored bytes.
    with session.get(uri, stream=True, timeout=HTTP_TIMEOUT, headers={"Accept-Encoding": "identity"}) as answer:
        _judge_answer(answer, uri)
        received = 0
        try:
            with target.open("wb") as file:
                for chunk in answer.iter_content(_CHUNK):
                    go_on()
                    received += file.write(chunk)
        except requests.exceptions.ChunkedEncodingError as error:
            raise _TryAgainError(f"the answer broke off after {received} bytes") from error
        expected = answer.headers.get("Content-Length")
        if expected is not None and "Content-Encoding" not in answer.headers and received != int(expected):
            raise _TryAgainError(f"{received} of {expected} bytes arrived")


def _judge_answer(answer: requests.Response, uri: str) -> None:
    status = answer.status_code
    if status == 200:
        return
    if status in {401, 403}:
        raise NotPermitted(f"data.uri {uri}: the server refused access ({status}); give an address that needs no login")
    if status in _BUSY or status >= 500:
        raise _TryAgainError(f"the server answered {status}")
    raise InputMissing(f"data.uri {uri}: the server answered {status}; check the address")
