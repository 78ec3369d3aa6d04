"""Download files from web servers, with limits of time and size, retries with jitter, and resumption."""

import errno
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import requests
import tenacity

from trainyard_trainer.data.sources.addresses import Address
from trainyard_trainer.environment import DEFAULT_MAX_DOWNLOAD_BYTES
from trainyard_trainer.errors import ConfigError, DataError, InputMissing, NotPermitted, UpstreamUnavailable

CONNECT_SECONDS: Final = 10.0
SILENCE_SECONDS: Final = 60.0
"""Longest pause between two pieces of a response."""

ATTEMPTS: Final = 4
"""Limit of consecutive attempts without data. If an attempt receives data, the count starts again at 1."""

MAX_RETRY_AFTER_SECONDS: Final = 60.0
"""Upper limit for the ``Retry-After`` of a server."""

_CHUNK: Final = 64 * 1024
"""A stop takes effect between two chunks. At 10 kB/s, a chunk takes seven seconds."""

_OK, _PARTIAL, _RANGE_REFUSED = 200, 206, 416
_BUSY: Final = frozenset({408, 425, 429})
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


@dataclass(frozen=True)
class Http:
    """Settings of the requests.

    Attributes
    ----------
    wait
        Returns seconds between two attempts. A server's ``Retry-After`` is used if it is longer.
    attempts
        Limit of consecutive attempts without data.
    silence_seconds
        Read timeout. It also limits the time to connect.
    """

    session: Callable[[], requests.Session] = requests.Session
    wait: tenacity.wait.wait_base = field(default_factory=lambda: tenacity.wait_random_exponential(0.5, max=10))
    sleep: Callable[[float], None] = time.sleep
    attempts: int = ATTEMPTS
    silence_seconds: float = SILENCE_SECONDS
    max_bytes: int = DEFAULT_MAX_DOWNLOAD_BYTES


class _RetryableError(Exception):
    """A response that can succeed on a retry. The message describes the response."""

    def __init__(self, text: str, after_seconds: float = 0.0) -> None:
        super().__init__(text)
        self.after_seconds = after_seconds


_TEMPORARY: Final = (_RetryableError, requests.ConnectionError, requests.Timeout)


@dataclass
class _Download:
    """The state of one download: the bytes received, and the ETag by which the server detects changes of the file."""

    address: Address
    target: Path
    http: Http
    received: int = 0
    etag: str | None = None
    fruitless: int = 0
    """Consecutive attempts that received no data."""

    @property
    def can_resume(self) -> bool:
        return self.received > 0 and self.etag is not None

    def headers(self) -> dict[str, str]:
        # identity: the compression of a proxy would change the size and the digest of the stored bytes.
        headers = {"Accept-Encoding": "identity"}
        if self.can_resume and self.etag is not None:
            headers |= {"Range": f"bytes={self.received}-", "If-Range": self.etag}
        return headers


def download_page(address: Address, target: Path, http: Http, go_on: Callable[[], None]) -> None:
    """Download a page into a file.

    After a broken connection, the download continues at the same byte if the server supports ETag and ranges. Otherwise
    it starts again.

    Raises
    ------
    InputMissing, NotPermitted, UpstreamUnavailable, ConfigError
        The page does not exist, needs a login or cannot be loaded, or its address is wrong.
    DataError
        The page is larger than ``http.max_bytes``.
    """
    download = _Download(address, target, http)
    target.write_bytes(b"")
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(_TEMPORARY),
        wait=lambda state: max(http.wait(state), _requested_wait(state)),
        stop=lambda _: download.fruitless >= http.attempts,
        sleep=http.sleep,
        reraise=True,
    )
    try:
        with http.session() as session:
            session.adapters.pop("http://", None)  # reject redirects that leave TLS
            retrying(_attempt, session, download, go_on)
    except _TEMPORARY as error:
        so_far = f" after {download.received} bytes" if download.received else ""
        raise UpstreamUnavailable(
            f"{address} could not be read in {http.attempts} attempts{so_far}: {_plain(error)}; try again later"
        ) from error
    except requests.exceptions.InvalidSchema as error:
        raise NotPermitted(f"{address} redirects to an address without TLS; use the final https:// address") from error
    except requests.RequestException as error:
        raise ConfigError(f"{address} cannot be requested: {error}; check the address") from error
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise ConfigError(
            f"{address} does not fit into the work folder (only {download.received} bytes did); give the pod more "
            "ephemeral storage in spec.resources, or read the file from a claim"
        ) from error


def _plain(error: Exception) -> str:
    """Return a message about a download error, with a hint for TLS certificates."""
    if isinstance(error, requests.exceptions.SSLError):
        return f"its TLS certificate is not accepted ({error})"
    return str(error)


def _requested_wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    return error.after_seconds if isinstance(error, _RetryableError) else 0.0


def _attempt(session: requests.Session, download: _Download, go_on: Callable[[], None]) -> None:
    go_on()
    before = download.received
    download.fruitless += 1
    try:
        _continue(session, download, go_on)
    finally:
        if download.received > before:
            download.fruitless = 1


def _continue(session: requests.Session, download: _Download, go_on: Callable[[], None]) -> None:
    http = download.http
    timeout = (min(CONNECT_SECONDS, http.silence_seconds), http.silence_seconds)
    with session.get(download.address.uri, stream=True, timeout=timeout, headers=download.headers()) as response:
        expected = _begin(response, download)
        _limit(download, expected or 0)
        try:
            with download.target.open("r+b") as file:
                file.truncate(download.received)
                file.seek(download.received)
                for chunk in response.iter_content(_CHUNK):
                    go_on()
                    download.received += file.write(chunk)
                    _limit(download, download.received)
        except requests.exceptions.ChunkedEncodingError as error:
            raise _RetryableError(f"the response ended early, after {download.received} bytes") from error
        if expected is not None and download.received < expected:
            raise _RetryableError(f"the response ended early, after {download.received} of {expected} bytes")
        if expected is not None and download.received > expected:
            received, download.received = download.received, 0
            raise _RetryableError(f"the server sent {received} bytes but announced {expected}")


def _begin(response: requests.Response, download: _Download) -> int | None:
    """Check the headers of a response. Return the size of the whole file if it is known."""
    if response.status_code == _PARTIAL and download.can_resume:
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != download.received:
            download.received = 0
            raise _RetryableError("the server sent a different part of the file than requested")
        return None if match[2] == "*" else int(match[2])
    _judge_status(response, download)
    download.received = 0
    tag = response.headers.get("ETag", "")
    download.etag = tag if tag.startswith('"') else None  # a weak ETag does not guarantee equal bytes
    size = response.headers.get("Content-Length", "")
    return int(size) if size.isdigit() and "Content-Encoding" not in response.headers else None


def _judge_status(response: requests.Response, download: _Download) -> None:
    status, address = response.status_code, download.address
    if status == _OK:
        return
    if status in {401, 403}:
        raise NotPermitted(f"{address}: the server refused access ({status}); use an address that needs no login")
    if status in _BUSY or status >= 500:
        raise _RetryableError(f"the server answered {status}", _retry_after(response))
    if status in {_PARTIAL, _RANGE_REFUSED}:
        download.received = 0
        raise _RetryableError(f"the server answered {status}, so the download has to start again")
    raise InputMissing(f"{address}: the server answered {status}; check the address")


def _retry_after(response: requests.Response) -> float:
    seconds = response.headers.get("Retry-After", "")
    return min(float(seconds), MAX_RETRY_AFTER_SECONDS) if seconds.isdigit() else 0.0


def _limit(download: _Download, size: int) -> None:
    if size > download.http.max_bytes:
        raise DataError(
            f"{download.address} has {size} bytes or more, but the limit is {download.http.max_bytes} "
            "(TRAINYARD_MAX_DOWNLOAD_BYTES in spec.env); put the file into a bucket or a claim"
        )
