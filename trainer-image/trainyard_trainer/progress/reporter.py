"""Progress reports to the operator, from one background thread. Errors do not stop the training."""

import http.client
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from trainyard_api.wire import ProgressReport, ReportedStatus
from trainyard_trainer.progress.log import LOGGER

INTERVAL_SECONDS: Final = 5.0
_TIMEOUT_SECONDS: Final = 5.0
_MAX_PAUSE_SECONDS: Final = 60.0
_REFUSALS: Final = {
    403: "the token is that of another attempt",
    404: "the job does not exist any more",
    409: "the attempt has ended",
}
_GIVE_UP_AFTER: Final = 5
"""Limit of consecutive rejections. The operator may see a new pod late, but not minutes late."""


@dataclass(frozen=True)
class Response:
    """The response of the endpoint."""

    status: int
    retry_after: float | None = None


Send = Callable[[ReportedStatus], Response]
"""Sends one report. Raises OSError (also for TLS errors) or http.client.HTTPException if there was no response."""


class HttpsSender:
    """Sends POST requests with the attempt's token, which is read each time because the kubelet renews it."""

    def __init__(self, url: str, token_file: Path, ca_file: Path) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or 443
        self._path = parts.path
        self._token_file = token_file
        self._ca_file = ca_file

    def __call__(self, status: ReportedStatus) -> Response:
        """Send one report on a new connection, because reports are rare and the operator can move."""
        context = ssl.create_default_context(cafile=str(self._ca_file))
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=_TIMEOUT_SECONDS, context=context)
        try:
            connection.request(
                "POST",
                self._path,
                body=ProgressReport(trainer_status=status).to_json().encode(),
                headers={
                    "Authorization": f"Bearer {self._token_file.read_text().strip()}",
                    "Content-Type": "application/json",
                },
            )
            response = connection.getresponse()
            response.read()
            return Response(response.status, _seconds(response.getheader("Retry-After")))
        finally:
            connection.close()


class Reporter:
    """Sends the newest status when it is due.

    There is at most one report per interval, and only if the percentage or the stage has changed. ``close`` sends the
    last one. A failure is logged once and increases the pause. Repeated rejections (403, 404, 409) end the reporting.
    """

    def __init__(self, send: Send, interval: float = INTERVAL_SECONDS) -> None:
        self._send = send
        self._interval = interval
        self._pause = interval
        self._changed = threading.Condition()
        self._newest: ReportedStatus | None = None
        self._sent: ReportedStatus | None = None
        self._closing = False
        self._refusals = 0
        self._given_up = False
        self._has_logged = False
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
        self._thread.start()

    def submit(self, status: ReportedStatus) -> None:
        """Record the newest status. Returns immediately."""
        with self._changed:
            self._newest = status
            self._changed.notify()

    def close(self, timeout: float = 3.0) -> None:
        """Send the last status if it is not sent yet. Wait at most ``timeout`` seconds."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout)

    def _run(self) -> None:
        not_before = 0.0
        while (status := self._next(not_before)) is not None:
            self._deliver(status)
            if self._given_up:
                return
            not_before = time.monotonic() + self._pause

    def _next(self, not_before: float) -> ReportedStatus | None:
        """Wait for a status that is due. Return ``None`` to end the thread."""
        with self._changed:
            while True:
                if self._closing:
                    return self._newest if self._newest != self._sent else None
                wait = not_before - time.monotonic()
                if wait <= 0 and self._has_moved():
                    return self._newest
                self._changed.wait(wait if wait > 0 else None)

    def _has_moved(self) -> bool:
        if self._newest is None or self._sent is None:
            return self._newest is not None
        return (self._newest.progress_percentage, self._newest.stage) != (
            self._sent.progress_percentage,
            self._sent.stage,
        )

    def _deliver(self, status: ReportedStatus) -> None:
        try:
            response = self._send(status)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._failed(f"{type(error).__name__}: {error}", None, status)
            return
        self._refusals = self._refusals + 1 if response.status in _REFUSALS else 0
        if self._refusals == _GIVE_UP_AFTER:
            self._given_up = True
            LOGGER.warning("progress is no longer reported: %s (%d)", _REFUSALS[response.status], response.status)
        elif response.status >= 300:
            self._failed(f"the endpoint returned {response.status}", response.retry_after, status)
        else:
            self._sent = status
            self._pause = self._interval

    def _failed(self, why: str, retry_after: float | None, status: ReportedStatus) -> None:
        self._pause = retry_after or min(_MAX_PAUSE_SECONDS, self._pause * 2)
        if self._closing:
            self._sent = status  # the last report is tried only once, because the result has all data
        if not self._has_logged:
            self._has_logged = True
            LOGGER.warning("progress could not be reported, the training continues: %s", why)


def _seconds(retry_after: str | None) -> float | None:
    try:
        return None if retry_after is None else max(0.0, float(retry_after))
    except ValueError:
        return None  # the HTTP-date format, which the operator does not use
