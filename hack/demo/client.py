"""A client that sends predictions through a Service continuously and counts the results. It never retries.

Unless ``keep_alive`` is set, each request has its own connection, so it reaches the current endpoints of the Service.
"""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import requests

from cluster.model import ClusterError

Json = dict[str, Any]

_TIMEOUT = (3, 10)
"""Seconds to connect, and to wait for the answer."""
_POLL_SECONDS = 0.02
_SAMPLE: dict[str, Any] = {"BYTES": "2026-01-01", "BOOL": True}
_KEPT_FAILURES = 20


@dataclass
class Tally:
    """The results so far.

    Attributes
    ----------
    by_version
        Number of predictions by version.
    switches
        Times (``time.monotonic``) at which the version that predicts changed, with the new version.
    failures
        Messages of the first failures.
    """

    by_version: Counter[int] = field(default_factory=Counter)
    failed: int = 0
    failures: list[str] = field(default_factory=list)
    switches: list[tuple[float, int]] = field(default_factory=list)

    @property
    def answered(self) -> int:
        """Number of successful predictions."""
        return sum(self.by_version.values())

    def __str__(self) -> str:
        versions = ", ".join(f"{count} by version {version}" for version, count in sorted(self.by_version.items()))
        return f"{self.answered} predictions succeeded ({versions or 'none'}), {self.failed} failed"


class Client:
    """Sends predictions in its own thread, from ``with`` to the end of the block.

    Parameters
    ----------
    route
        Returns the base URL. It is called before each request.
    """

    def __init__(
        self, route: Callable[[], str], model: str, *, pause_seconds: float = 0.02, keep_alive: bool = False
    ) -> None:
        self._route = route
        self._path = f"/v2/models/{model}"
        self._pause = pause_seconds
        self._session = requests.Session()
        self._session.trust_env = False
        if not keep_alive:
            self._session.headers["Connection"] = "close"
        self._body: Json = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="client")
        self.tally = Tally()

    def __enter__(self) -> Self:
        """Read the columns of the model and start. Raises :class:`ClusterError` if the model does not respond."""
        try:
            described = self._session.get(f"{self._route()}{self._path}", timeout=_TIMEOUT)
            described.raise_for_status()
        except requests.RequestException as error:
            raise ClusterError(f"the model does not respond through its Service: {error}") from error
        self._body = {"inputs": [_sample(column) for column in described.json()["inputs"]]}
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the last response."""
        self._stop.set()
        self._thread.join()
        self._session.close()

    def wait_for_version(self, version: int, seconds: float, *, since: float = 0.0) -> float:
        """Return when (``time.monotonic``) this version first predicted after ``since``.

        Raises
        ------
        ClusterError
            If it has not predicted in time.
        """
        end = time.monotonic() + seconds
        while True:
            for at, to in [*self.tally.switches]:
                if to == version and at >= since:
                    return at
            if time.monotonic() > end:
                raise ClusterError(f"no prediction of version {version} within {seconds:.0f} s: {self.tally}")
            time.sleep(_POLL_SECONDS)

    def _run(self) -> None:
        while not self._stop.wait(self._pause):
            self._predict()

    def _predict(self) -> None:
        """Send one request and count it. Everything but a prediction is a failure."""
        try:
            response = self._session.post(f"{self._route()}{self._path}/infer", json=self._body, timeout=_TIMEOUT)
            if response.status_code != requests.codes.ok:
                raise _NoPredictionError(f"{response.status_code}: {response.text[:200]}")
            version = _version(response.json())
        except (requests.RequestException, ClusterError, _NoPredictionError, ValueError, KeyError) as error:
            self.tally.failed += 1
            if len(self.tally.failures) < _KEPT_FAILURES:
                self.tally.failures.append(f"{type(error).__name__}: {error}")
            return
        if not self.tally.switches or self.tally.switches[-1][1] != version:
            self.tally.switches.append((time.monotonic(), version))
        self.tally.by_version[version] += 1


class _NoPredictionError(Exception):
    """A response without a prediction."""


def _version(response: Json) -> int:
    """Return the version that predicted. Raises :class:`_NoPredictionError` for values that are not finite numbers."""
    values = next(output["data"] for output in response["outputs"] if output["datatype"] == "FP64")
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        raise _NoPredictionError(f"the values are not finite numbers: {values}")
    return int(response["model_version"])


def _sample(column: Json) -> Json:
    """Return one value that fits a column."""
    value = _SAMPLE.get(column["datatype"], 0.5)
    return {"name": column["name"], "datatype": column["datatype"], "shape": [1], "data": [value]}
