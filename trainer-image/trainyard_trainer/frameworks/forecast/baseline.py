"""The baseline of a forecasting job: the best naive forecast, chosen before the holdout, for comparison.

There is one baseline for the whole job, chosen over all series. Two windows of one series mostly show chance: each
series would get the luckiest of three, and the comparison would be unclear. All series together show more.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_api.training import Split
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.data.series.folds import rolling_origins
from trainyard_trainer.data.values.frequency import Frequency, frequency_by
from trainyard_trainer.evaluate.baselines import NAIVES, Naive, naive_forecast
from trainyard_trainer.evaluate.forecasts import Forecast, judge
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.evaluate.scales import Ordinals, usual_move

_MOST_SERIES: Final = 500
_MOST_WINDOWS: Final = 8
"""Maximum number of series and of windows for each that are compared. More would only take time."""


@dataclass(frozen=True)
class Baseline:
    """A naive forecast by name, with the season and the frequency of the job."""

    name: Naive
    frequency: Frequency

    @classmethod
    def chosen(cls, dataset: Dataset, spec: TrainingJobSpec) -> Self:
        """Return the naive forecast with the smallest error on windows before the holdout. The holdout is not used.

        The error of each series is divided by its usual change, so that large series do not dominate. If every series
        is too short for a window, it is the seasonal naive forecast.
        """
        frequency = frequency_by(dataset.frequency or "D", dataset.clock)
        horizon = spec.forecast.horizon if spec.forecast else 1
        folds = max((spec.split or Split()).folds, _MOST_WINDOWS)
        errors = [found for found in _errors(dataset, frequency, horizon, folds) if found is not None]
        if not errors:
            return cls("seasonal naive" if frequency.season > 1 else "last value", frequency)
        return cls(NAIVES[int(np.mean(errors, axis=0).argmin())], frequency)

    @property
    def note(self) -> str:
        """A note for readers of the metrics."""
        return f"the baseline is the {self.name} forecast, the best of {', '.join(NAIVES)} before the holdout"

    def compare(
        self,
        series: str,
        steps: Ordinals,
        times: npt.NDArray[np.datetime64],
        values: Floats,
        predicted: Floats,
    ) -> Forecast:
        """Return a forecast together with the baseline.

        Parameters
        ----------
        steps, times, values
            All rows of the series up to the last forecast row; shape (rows,). Steps are as in ``Frequency.ordinals``,
            from any start.
        predicted
            Forecasts of the last of these rows; shape (forecast,).
        """
        cut = len(values) - len(predicted)
        return Forecast(
            name=series,
            times=times[cut:],
            actual=values[cut:],
            predicted=predicted,
            baseline=naive_forecast(self.name, steps[:cut], values[:cut], steps[cut:], self.frequency.season),
            known=values[:cut],
            season=self.frequency.season,
            known_steps=steps[:cut],
        )


def held_out_rows(dataset: Dataset, spec: TrainingJobSpec, predicted: Floats) -> pd.DataFrame:
    """Return the held-out rows of a dataset in the form of an evaluation: see ``Judgement.holdout``.

    Parameters
    ----------
    predicted
        Forecasts of all held-out rows, series by series; shape (held-out rows,).
    """
    baseline = Baseline.chosen(dataset, spec)
    times, values = dataset.frame["ds"].to_numpy(), dataset.frame["y"].to_numpy(dtype=np.float64)
    by_series = np.split(predicted, np.cumsum([one.holdout for one in dataset.series])[:-1])
    forecasts = []
    for one, forecast in zip(dataset.series, by_series, strict=True):
        rows = slice(one.start, one.stop)
        steps = baseline.frequency.ordinals(times[rows])
        forecasts.append(baseline.compare(one.name, steps, times[rows], values[rows], forecast))
    return judge(forecasts).holdout


def _errors(dataset: Dataset, frequency: Frequency, horizon: int, folds: int) -> Iterator[Floats | None]:
    """Yield the scaled error of each of ``NAIVES`` on the windows of a series.

    ``None`` for a series without windows.
    """
    times, rows = dataset.frame["ds"].to_numpy(), dataset.frame["y"].to_numpy(dtype=np.float64)
    count = len(dataset.series)
    for number in np.unique(np.linspace(0, count - 1, min(_MOST_SERIES, count)).round().astype(int)):
        one = dataset.series[number]
        steps, values = frequency.ordinals(times[one.start : one.stop]), rows[one.start : one.stop]
        windows = rolling_origins(steps, holdout=one.holdout, horizon=horizon, folds=folds)
        before = len(values) - one.holdout
        scale = usual_move(steps[:before], values[:before], frequency.season)
        if not windows or scale == 0:
            yield None
            continue
        found = [
            [
                np.abs(
                    naive_forecast(name, steps[: fold.cut], values[: fold.cut], steps[fold.judge], frequency.season)
                    - values[fold.judge]
                ).mean()
                for name in NAIVES
            ]
            for fold in windows
        ]
        yield np.mean(found, axis=0) / scale
