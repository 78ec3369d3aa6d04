"""Convert fractions of a stage to the total percentage, and report it to log, terminal and operator."""

import time
from collections.abc import Mapping
from typing import Final, Protocol

from trainyard_api.batch import Metric
from trainyard_api.wire import ReportedStatus
from trainyard_trainer.progress.log import LOGGER
from trainyard_trainer.progress.redact import redact
from trainyard_trainer.progress.stages import Stage

_LOG_SECONDS: Final = 1.0
"""Minimum time between two log lines. A framework can report a hundred times per second."""

_ETA_FROM_PERCENT: Final = 5
_MESSAGE_LENGTH: Final = 1024
_METRICS: Final = 64


class Listener(Protocol):
    """A receiver of progress: the reporter, or a progress bar."""

    def submit(self, status: ReportedStatus) -> None:
        """Process the newest status. Must return immediately."""
        ...

    def close(self) -> None:
        """Show or send the last status."""
        ...


class StageNamer(Protocol):
    """Adds the current stage to each log line."""

    stage: str


class StageNamers:
    """Sets the stage of several receivers."""

    def __init__(self, *namers: StageNamer) -> None:
        self._namers = namers

    @property
    def stage(self) -> str:
        """The current stage."""
        return self._namers[0].stage

    @stage.setter
    def stage(self, name: str) -> None:
        for each in self._namers:
            each.stage = name


class Tracker:
    """The :class:`~trainyard_trainer.progress.port.Progress` of all stages.

    Call ``begin`` per stage; frameworks call the tracker itself. The percentage never decreases.
    """

    def __init__(self, namer: StageNamer, listeners: tuple[Listener, ...]) -> None:
        self._namer = namer
        self._listeners = listeners
        self._stage = Stage.LOAD
        self._percentage = 0
        self._metrics: list[Metric] = []
        self._logged: tuple[str, float] = ("", 0.0)
        self._started = time.monotonic()
        self._estimates = True

    @property
    def stage(self) -> Stage:
        """The current stage."""
        return self._stage

    @property
    def elapsed(self) -> float:
        """Seconds since the start of the training in this process."""
        return time.monotonic() - self._started

    def without_estimate(self) -> None:
        """Report no remaining time, because another process does the long part and its speed is unknown."""
        self._estimates = False

    def begin(self, stage: Stage, message: str) -> None:
        """Start a stage."""
        self._stage = stage
        self._namer.stage = stage.label
        self._logged = ("", 0.0)
        self(0.0, message)

    def __call__(self, fraction: float, message: str, metrics: Mapping[str, float] | None = None) -> None:
        """Record the progress of the stage."""
        self._percentage = max(self._percentage, self._stage.percentage(fraction))
        if metrics is not None:
            self._metrics = metric_list(metrics)[:_METRICS]
        self._log(message)
        status = ReportedStatus(
            progress_percentage=self._percentage,
            estimated_remaining_seconds=self._remaining_seconds(),
            stage=self._stage.label,
            message=redact(message)[:_MESSAGE_LENGTH],
            metrics=self._metrics or None,
        )
        for listener in self._listeners:
            listener.submit(status)

    def close(self) -> None:
        """Flush all listeners."""
        for listener in self._listeners:
            listener.close()

    def _log(self, message: str) -> None:
        last, moment = self._logged
        now = time.monotonic()
        if message != last and now - moment >= _LOG_SECONDS:
            self._logged = (message, now)
            LOGGER.info("%s", message)

    def _remaining_seconds(self) -> int | None:
        if not self._estimates or self._percentage < _ETA_FROM_PERCENT:
            return None
        elapsed = time.monotonic() - self._started
        return round(elapsed / self._percentage * (100 - self._percentage))


def metric_value(value: float) -> str:
    """Return a finite number with few digits, for a status."""
    return format(value, ".6g")


def metric_list(metrics: Mapping[str, float]) -> list[Metric]:
    """Return metrics in the form of the API: text, in the given order."""
    return [Metric(name=name, value=metric_value(value)) for name, value in metrics.items()]
