"""The interface of candidates in Auto, and its implementation for each framework."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from trainyard_api.training import Candidate as Name
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.evaluate.names import searched_metric
from trainyard_trainer.frameworks.base import Context, Trained
from trainyard_trainer.frameworks.forecast.rows import Unit
from trainyard_trainer.frameworks.statsforecast.methods import Method


class Candidate(Protocol):
    """One training of one framework, in two parts. ``seconds`` is its time on one core so far."""

    seconds: float

    def windows(self, units: Sequence[Unit]) -> Floats:
        """Forecast windows before the holdout; shape (rows,). Raises the errors of the framework."""
        ...

    def train(self) -> tuple[Trained, Floats]:
        """Write both models, and return the judged one's forecasts of the holdouts, series by series; shape (rows,)."""
        ...

    def parts(self) -> Mapping[str, tuple[float, float, float]]:
        """Return error on the windows, weight and seconds of each of its own parts, by name.

        Empty if it is not a mix.
        """
        ...


class TreesCandidate:
    """One LightGBM model of all series."""

    def __init__(self, dataset: Dataset, context: Context) -> None:
        from trainyard_trainer.frameworks.lightgbm_forecast.training import TreesTraining

        began = time.process_time()
        self._training = TreesTraining(dataset, context)
        self.seconds = time.process_time() - began

    def windows(self, units: Sequence[Unit]) -> Floats:
        """Choose the features, and forecast the windows."""
        began = time.process_time()
        found = self._training.windows(units)
        self.seconds += time.process_time() - began
        return found

    def train(self) -> tuple[Trained, Floats]:
        """Fit without the holdouts and with them."""
        began = time.process_time()
        trained = self._training.train()
        self.seconds += time.process_time() - began
        return trained, trained.model.forecasts

    def parts(self) -> Mapping[str, tuple[float, float, float]]:
        """Return an empty mapping."""
        return {}


class StatsCandidate:
    """A mix of statistical methods per series."""

    def __init__(self, dataset: Dataset, context: Context, methods: Sequence[Method]) -> None:
        from trainyard_trainer.frameworks.statsforecast.fitter import Choice, StatsFitter

        self._dataset, self._context = dataset, context
        self._fitter = StatsFitter(dataset, context, methods)
        self._choice = Choice()

    @property
    def seconds(self) -> float:
        """Time on one core."""
        return float(self._fitter.seconds.sum())

    def windows(self, units: Sequence[Unit]) -> Floats:
        """Compare the methods, and combine them."""
        self._choice = self._fitter.choose(units, searched_metric(self._context.config.spec), 0.0, 0.5)
        return self._choice.forecasts

    def train(self) -> tuple[Trained, Floats]:
        """Fit the methods with a weight."""
        from trainyard_trainer.frameworks.statsforecast.framework import train_chosen

        trained = train_chosen(self._dataset, self._context, self._fitter, self._choice, 0.5)
        return trained, trained.model.forecasts

    def parts(self) -> Mapping[str, tuple[float, float, float]]:
        """Return the methods. For two groups of series, the values are means weighted by the number of windows."""
        methods = self._fitter.methods
        found: dict[str, tuple[float, float, float]] = {}
        for intermittent, selection in self._choice.selections.items():
            for index, number in enumerate(self._fitter.candidates[intermittent]):
                values = float(selection.losses[index]), float(selection.common[index])
                found[methods[number].label] = (*values, float(self._fitter.seconds[number]))
        return found


class ProphetCandidate:
    """One Prophet model per series.

    The windows are the folds on which it chooses its fallbacks, so it is trained at once.
    """

    def __init__(self, dataset: Dataset, context: Context) -> None:
        self._dataset, self._context = dataset, context
        self._trained: Trained | None = None
        self.seconds = 0.0

    def windows(self, units: Sequence[Unit]) -> Floats:
        """Train, and return the forecasts of the folds."""
        outcomes = self._finished().model.outcomes
        self.seconds = float(sum(one.seconds for one in outcomes))
        by_number = {number: one.windows for number, one in enumerate(outcomes)}
        return np.concatenate([by_number[number] for number in dict.fromkeys(unit.series for unit in units)])

    def train(self) -> tuple[Trained, Floats]:
        """Return the result of the training."""
        trained = self._finished()
        return trained, np.concatenate([one.forecast[:, 0] for one in trained.model.outcomes])

    def parts(self) -> Mapping[str, tuple[float, float, float]]:
        """Return an empty mapping."""
        return {}

    def _finished(self) -> Trained:
        if self._trained is None:
            from trainyard_trainer.frameworks.prophet.framework import ProphetFramework

            self._trained = ProphetFramework(only_prophet=True).train(self._dataset, self._context)
        return self._trained


def candidate_of(name: Name, dataset: Dataset, context: Context, methods: Sequence[Method]) -> Candidate:
    """Return the training of a framework. ``methods`` are those of StatsForecast that fit into the budget."""
    made: dict[Name, Any] = {
        "LightGBM": lambda: TreesCandidate(dataset, context),
        "StatsForecast": lambda: StatsCandidate(dataset, context, methods),
        "Prophet": lambda: ProphetCandidate(dataset, context),
    }
    found: Candidate = made[name]()
    return found
