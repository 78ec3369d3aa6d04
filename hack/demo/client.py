"""A client that predicts all the time through a Service and counts what comes back. It never asks twice.

Each request has a connection of its own unless ``keep_alive``: so it goes where the Service points at that moment.
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
    """What came back so far.

    Attributes
    ----------
    by_version
        Answers by the version that gave them.
    switches
        When (``time.monotonic``) the answering version changed, and to which.
    failures
        The first of them, each in words.
    """

    by_version: Counter[int] = field(default_factory=Counter)
    failed: int = 0
    failures: list[str] = field(default_factory=list)
    switches: list[tuple[float, int]] = field(default_factory=list)

    @property
    def answered(self) -> int:
        """Predictions that came back."""
        return sum(self.by_version.values())

    def __str__(self) -> str:
        versions = ", ".join(f"{count} by version {version}" for version, count in sorted(self.by_version.items()))
        return f"{self.answered} predictions answered ({versions or 'none'}), {self.failed} failed"


class Client:
    """Predicts in a thread of its own, from ``with`` to the end of the block.

    Parameters
    ----------
    route
        Returns the base URL, asked before each request.
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
        """Learn the model's columns and begin. Raises :class:`ClusterError` if the model does not answer at all."""
        try:
            described = self._session.get(f"{self._route()}{self._path}", timeout=_TIMEOUT)
            described.raise_for_status()
        except requests.RequestException as error:
            raise ClusterError(f"the model does not answer through its Service: {error}") from error
        self._body = {"inputs": [_sample(column) for column in described.json()["inputs"]]}
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the last answer."""
        self._stop.set()
        self._thread.join()
        self._session.close()

    def wait_for_version(self, version: int, seconds: float, *, since: float = 0.0) -> float:
        """Return when (``time.monotonic``) this version answered first after ``since``.

        Raises
        ------
        ClusterError
            It has not answered in time.
        """
        end = time.monotonic() + seconds
        while True:
            for at, to in [*self.tally.switches]:
                if to == version and at >= since:
                    return at
            if time.monotonic() > end:
                raise ClusterError(f"version {version} has not answered within {seconds:.0f} s: {self.tally}")
            time.sleep(_POLL_SECONDS)

    def _run(self) -> None:
        while not self._stop.wait(self._pause):
            self._predict()

    def _predict(self) -> None:
        """Ask once, and count: whatever is not a prediction is a failure."""
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
    """An answer that is none."""


def _version(response: Json) -> int:
    """Return which version predicted. Raises :class:`_NoPredictionError` for values that are no numbers."""
    values = next(output["data"] for output in response["outputs"] if output["datatype"] == "FP64")
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        raise _NoPredictionError(f"no numbers: {values}")
    return int(response["model_version"])


def _sample(column: Json) -> Json:
    """Return one value that fits a column."""
    value = _SAMPLE.get(column["datatype"], 0.5)
    return {"name": column["name"], "datatype": column["datatype"], "shape": [1], "data": [value]}
