"""Forecast one series from several cutoffs with several methods. This runs in a worker process."""

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.frameworks.statsforecast.methods import Method

Cut = tuple[int, int]
"""Number of known steps of a series, and number of steps to forecast after them."""


@dataclass(frozen=True)
class Task:
    """The forecasts to make.

    Attributes
    ----------
    values
        Value of each step of the series, without gaps; shape (steps,).
    season, seasons
        The main season in steps, and all possible seasons of the frequency.
    input_size
        Number of the newest known steps to fit to.
    """

    name: str
    values: Floats
    cuts: tuple[Cut, ...]
    methods: tuple[Method, ...]
    season: int
    seasons: tuple[int, ...]
    input_size: int


@dataclass(frozen=True)
class Outcome:
    """A finished series.

    Attributes
    ----------
    forecasts
        Forecasts of each cut; shape (methods, steps). NaN if a method failed.
    seconds
        Time of each method on one core; shape (methods,).
    failures
        By the label of a method, the reason of its first failure.
    """

    name: str
    forecasts: tuple[Floats, ...]
    seconds: Floats
    failures: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the fields for the checkpoints."""
        return {
            "forecasts": [one.tolist() for one in self.forecasts],
            "seconds": self.seconds.tolist(),
            "failures": dict(self.failures),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Outcome":
        """Read the fields of :meth:`as_json`."""
        forecasts = tuple(np.array(one, dtype=np.float64) for one in fields["forecasts"])
        return cls(fields["name"], forecasts, np.array(fields["seconds"]), fields["failures"])


NEEDED = ("forecasts", "seconds", "failures")


def forecast_series(task: Task, stop: Callable[[], bool]) -> Outcome:  # noqa: ARG001 - a series takes seconds
    """Forecast from each cut with each method. An error of a method does not end the job: see ``Outcome.failures``."""
    forecasts: list[Floats] = []
    failures: dict[str, str] = {}
    seconds = np.zeros(len(task.methods))
    for known, steps in task.cuts:
        found = np.full((len(task.methods), steps), np.nan)
        values = task.values[max(0, known - task.input_size) : known]
        for number, method in enumerate(task.methods):
            began = time.thread_time()
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found[number] = method.forecast(values, steps, task.season, task.seasons)
            except Exception as error:  # noqa: BLE001 - the other methods replace it; it is counted and reported
                failures.setdefault(method.label, f"{type(error).__name__}: {error}".splitlines()[0])
            seconds[number] += time.thread_time() - began
        forecasts.append(found)
    return Outcome(task.name, tuple(forecasts), seconds, failures)
