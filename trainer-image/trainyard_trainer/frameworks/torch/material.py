"""The series of a dataset as inputs of the network: scaled, on a grid, and with cutoffs for evaluation."""

import functools
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from trainyard_api.training import Split
from trainyard_trainer.data.dataset import Dataset, Series
from trainyard_trainer.data.series.folds import Fold, rolling_origins
from trainyard_trainer.data.values.frequency import Frequency, frequency_by, frequency_of
from trainyard_trainer.evaluate.forecasts import Forecast
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.frameworks.base import Context
from trainyard_trainer.frameworks.forecast.baseline import Baseline
from trainyard_trainer.frameworks.forecast.columns import Columns
from trainyard_trainer.frameworks.torch import windows as torch_windows
from trainyard_trainer.frameworks.torch.model import steps_after
from trainyard_trainer.frameworks.torch.parameters import ForecastParameters
from trainyard_trainer.frameworks.torch.rows import Scale

_LONGEST_WINDOW: Final = 720

_MOST_ORIGINS: Final = 8
_MOST_WINDOWS: Final = 2000

Cut = tuple[int, int, int]
"""Rows to forecast from the rows before them: the number of a series, the first row, and the end of the rows."""


class Material:
    """All series of a dataset as inputs of the network, and the possible cutoffs of each."""

    def __init__(
        self, dataset: Dataset, context: Context, parameters: ForecastParameters, *, whole: bool = False
    ) -> None:
        """Prepare the series.

        If ``whole``, the network is also trained on the held-out rows, and has no rows for early stopping.
        """
        spec = self._spec = context.config.spec
        self.dataset = dataset
        self.frequency = frequency_of(dataset.frequency or "D")
        self.horizon = spec.forecast.horizon if spec.forecast else 1
        self.split = spec.split or Split()
        self._times = dataset.frame["ds"].to_numpy(dtype="datetime64[ns]")
        self._values = dataset.frame["y"].to_numpy(dtype=np.float64)
        self._regressors = (
            dataset.frame[list(dataset.features)].to_numpy(dtype=np.float64) if dataset.features else None
        )
        self.whole = whole
        known = np.concatenate([np.arange(one.start, self.end(one)) for one in dataset.series])
        self.description = torch_windows.Description(
            columns=Columns.of(dataset, spec.data),
            frequency=self.frequency.alias,
            length=_length(parameters, self.frequency, self.horizon, dataset.series),
            horizon=self.horizon,
            regressor_scales=()
            if self._regressors is None
            else tuple(Scale.of(one) for one in self._regressors[known].T),
            country=spec.forecast.holidays_country if spec.forecast else None,
            hidden=parameters.hidden,
            dropout=parameters.dropout,
            zone=frequency_by(self.frequency.alias, dataset.clock).zone,
        )
        self.scales = [Scale.of(self._values[one.start : self.end(one)]) for one in dataset.series]

    def end(self, one: Series) -> int:
        """Return the end of the training rows of a series."""
        return one.stop if self.whole else one.split

    def grid(self, number: int, stop: int) -> torch_windows.Grid:
        """Return the grid of a series up to a row of the frame."""
        one = self.dataset.series[number]
        rows = slice(one.start, stop)
        regressor_values = None if self._regressors is None else self._regressors[rows]
        return torch_windows.grid_of(
            self._times[rows], self._values[rows], regressor_values, self.scales[number], self.description
        )

    def context(self, number: int, stop: int) -> torch_windows.Context:
        """Return the start of a forecast that knows a series up to a row of the frame."""
        one = self.dataset.series[number]
        values, regressors = torch_windows.last_of(self.grid(number, stop), self.description.length)
        known = self._values[one.start : stop]
        floor = 0.0 if known.min() >= 0 else None
        return torch_windows.Context(one.name, self._times[stop - 1], values, regressors, self.scales[number], floor)

    def forecasts(self, cuts: Sequence[Cut], run: torch_windows.Run) -> list[Forecast]:
        """Forecast rows ``[cut, stop)`` of series from the rows before them. ``cuts`` are (series, cut, stop)."""
        asked = []
        for number, cut, stop in cuts:
            regressor_values = None if self._regressors is None else self._regressors[cut:stop]
            asked.append(torch_windows.Asked(self.context(number, cut), self._steps(cut, stop), regressor_values))
        outputs = torch_windows.forecast(asked, self.description, run)
        return [self._judged(number, stop, values) for (number, _, stop), values in zip(cuts, outputs, strict=True)]

    def steps(self, cuts: Sequence[Cut]) -> npt.NDArray[np.int64]:
        """Return the number of steps ahead of each row of :meth:`forecasts`, from 1; shape (rows,)."""
        return np.concatenate([self._steps(cut, stop) for _, cut, stop in cuts])

    def _steps(self, cut: int, stop: int) -> npt.NDArray[np.int64]:
        return steps_after(self._times[cut - 1], self._times[cut:stop], self.frequency.alias)

    @functools.cached_property
    def baseline(self) -> Baseline:
        """The naive forecast for comparison."""
        return Baseline.chosen(self.dataset, self._spec)

    def _judged(self, number: int, stop: int, predicted: Floats) -> Forecast:
        one = self.dataset.series[number]
        rows = slice(one.start, stop)
        steps = self.baseline.frequency.ordinals(self._times[rows])
        return self.baseline.compare(one.name, steps, self._times[rows], self._values[rows], predicted)

    def folds(self) -> list[Cut]:
        """Return rolling origins of all series, as the cuts of :meth:`forecasts`, oldest first."""
        found: list[tuple[int, int, int, int]] = []
        for number, one in enumerate(self.dataset.series):
            made = self._origins(one, self.split.folds)
            found += [(-age, number, one.start + fold.cut, one.start + fold.stop) for age, fold in _by_age(made)]
        return [cut[1:] for cut in sorted(found)]

    def windows(self) -> list[Cut]:
        """Return windows for the quantiles: rolling origins in the rows for early stopping, series by series.

        There are more of them than folds if they fit. If there are very many, evenly spread ones are used.
        """
        found: list[Cut] = []
        for number, one in enumerate(self.dataset.series):
            count = max(self.split.folds, min(_MOST_ORIGINS, self.validated(one) // self.horizon))
            found += [(number, one.start + fold.cut, one.start + fold.stop) for fold in self._origins(one, count)]
        return found[:: -(-len(found) // _MOST_WINDOWS) or 1]

    def _origins(self, one: Series, folds: int) -> tuple[Fold, ...]:
        ordinals = self.frequency.ordinals(self._times[one.start : one.stop])
        return rolling_origins(ordinals, holdout=one.holdout, horizon=self.horizon, folds=folds)

    def validated(self, series: Series) -> int:
        """Return how many rows of a series before its holdout are for early stopping: at least those of all folds."""
        known = series.split - series.start
        wanted = max(self.horizon * max(1, self.split.folds), round(known * self.split.validation_fraction))
        return min(wanted, known // 2)


def _by_age(folds: tuple[Fold, ...]) -> Iterator[tuple[int, Fold]]:
    return enumerate(reversed(folds))


def holdouts(dataset: Dataset) -> list[Cut]:
    """Return the holdouts of all series, as the cuts of ``Material.forecasts``."""
    return [(number, one.split, one.stop) for number, one in enumerate(dataset.series)]


def _length(parameters: ForecastParameters, frequency: Frequency, horizon: int, series: Sequence[Series]) -> int:
    """Return the number of input steps: two weeks of hours or four weeks of days, three horizons, and two seasons.

    It is at most half of the length of a typical series.
    """
    if isinstance(parameters.input_size, int):
        return parameters.input_size
    day = frequency.per_year / 365.25
    weeks = round(14 * day) if day > 1 else 28 if frequency.season in {5, 7} else 0
    usual = int(np.median([one.split - one.start for one in series]))
    wanted = max(weeks, 3 * horizon, 2 * frequency.season)
    return max(1, min(wanted, _LONGEST_WINDOW, max(frequency.season, usual // 2)))
