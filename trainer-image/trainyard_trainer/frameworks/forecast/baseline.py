"""The baseline of a forecasting job: the best naive forecast, chosen before the holdout, and put beside each forecast.

One name for the whole job, chosen over all series together. Two windows of one series tell chance (each series would
get the luckiest of three, and no reader could say what the model was compared with); all series together tell more.
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
"""Of so many series, evenly spread, so many windows each decide: more would only take time."""


@dataclass(frozen=True)
class Baseline:
    """A naive forecast by its name, and the season and steps of the job that it is used in."""

    name: Naive
    frequency: Frequency

    @classmethod
    def chosen(cls, dataset: Dataset, spec: TrainingJobSpec) -> Self:
        """Return the naive forecast with the least error on windows before the holdout, which takes no part.

        The error of each series is divided by how far it usually moves, so that large series do not decide alone.
        Where every series is too short for a window, it is the seasonal naive forecast.
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
        """One message for the reader of the metrics."""
        return f"the baseline is the {self.name} forecast: the best of {', '.join(NAIVES)} before the holdout"

    def beside(
        self,
        series: str,
        steps: Ordinals,
        times: npt.NDArray[np.datetime64],
        values: Floats,
        predicted: Floats,
    ) -> Forecast:
        """Return a forecast with the baseline beside it.

        Parameters
        ----------
        steps, times, values
            All rows of the series up to the last one that was forecast; shape (rows,). Steps as by
            ``Frequency.ordinals``, counted from anywhere.
        predicted
            Of the last of these rows; shape (forecast,).
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
    """Return the held-out rows of a dataset as the judges of forecasts give them: see ``Judgement.holdout``.

    Parameters
    ----------
    predicted
        For all of them, series by series; shape (held-out rows,).
    """
    baseline = Baseline.chosen(dataset, spec)
    times, values = dataset.frame["ds"].to_numpy(), dataset.frame["y"].to_numpy(dtype=np.float64)
    said = np.split(predicted, np.cumsum([one.holdout for one in dataset.series])[:-1])
    forecasts = []
    for one, forecast in zip(dataset.series, said, strict=True):
        rows = slice(one.start, one.stop)
        steps = baseline.frequency.ordinals(times[rows])
        forecasts.append(baseline.beside(one.name, steps, times[rows], values[rows], forecast))
    return judge(forecasts).holdout


def _errors(dataset: Dataset, frequency: Frequency, horizon: int, folds: int) -> Iterator[Floats | None]:
    """Yield the scaled error of each of ``NAIVES`` on the windows of a series; ``None`` for one that cannot tell."""
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
