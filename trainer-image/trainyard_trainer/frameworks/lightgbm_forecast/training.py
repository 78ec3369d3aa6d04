"""The steps of one training: choose the features, forecast the windows and the holdouts, and fit the final model."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import lightgbm
import numpy as np
import numpy.typing as npt

from trainyard_api.trainingjob import SeriesCount
from trainyard_trainer.artifacts.layout import JUDGED
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.frameworks.base import Context, Trained
from trainyard_trainer.frameworks.forecast.columns import Columns
from trainyard_trainer.frameworks.forecast.quantiles import ErrorQuantiles, levels_of, no_windows
from trainyard_trainer.frameworks.forecast.rows import Unit
from trainyard_trainer.frameworks.lightgbm_forecast.fit import Choice, Fitter, rounds_of
from trainyard_trainer.frameworks.lightgbm_forecast.model import ForecastModel
from trainyard_trainer.frameworks.lightgbm_forecast.origins import TreeRows

FORMAT: Final = "lightgbm-forecast"


@dataclass(frozen=True)
class Fitted:
    """The final model, the judged one, and the judged one's forecasts of the holdouts, series by series."""

    kept: ForecastModel
    judged: ForecastModel
    units: tuple[Unit, ...]
    forecasts: Floats
    rows: TreeRows

    @property
    def steps(self) -> npt.NDArray[np.int64]:
        """The number of steps ahead of each forecast, from 1."""
        return self.rows.positions(self.units)[1] + 1


class TreesTraining:
    """One training. Results from the data are computed once and reused."""

    def __init__(self, dataset: Dataset, context: Context) -> None:
        lightgbm.register_logger(logging.getLogger("lightgbm"))
        self._dataset, self._context = dataset, context
        self._fitter = Fitter(dataset, context)
        self._parameters = self._fitter.parameters(context.parameters)
        self._chosen: Choice | None = None

    def choose(self) -> Choice:
        """Choose the features and the number of rounds, once. Raises the errors of ``Fitter.choose``."""
        if self._chosen is None:
            progress = self._context.progress
            self._chosen = self._fitter.choose(self._parameters, lambda done, text: progress(0.6 * done, text))
        return self._chosen

    def windows(self, units: Sequence[Unit]) -> Floats:
        """Forecast windows with a fit on the rows before the first window of each series; shape (rows,)."""
        chosen, fitter = self.choose(), self._fitter
        cuts = fitter.splits.copy()
        for unit in units:
            cuts[unit.series] = min(cuts[unit.series], unit.cut)
        trees = chosen.trees
        if trees is None or fitter.origins is None or not np.array_equal(cuts, fitter.origins.cuts):
            trees = fitter.fit(
                chosen.feature_spec, cuts, rounds_of(self._parameters, chosen.rounds), self._part(0.6, 0.6)
            )
        return fitter.rows.forecast(trees, units, self._parameters["num_threads"])

    def _part(self, begin: float, end: float) -> Callable[[float, str], None]:
        """Return a progress callback for a part of the training."""
        return lambda done, text: self._context.progress(begin + done * (end - begin), text)

    def _quantiles(self, levels: tuple[float, ...]) -> ErrorQuantiles:
        """Return the error quantiles of a fit on the rows before the windows. Without levels, nothing is forecast."""
        if not levels:
            return ErrorQuantiles()
        fitter = self._fitter
        if fitter.origins is None:
            raise no_windows(self._dataset.origin.uri)
        units = fitter.origins.units
        steps = fitter.rows.positions(units)[1] + 1
        return ErrorQuantiles.of(levels, fitter.horizon, fitter.rows.judged(units, self.windows(units)), steps)

    def train(self) -> Trained:
        """Fit without the holdouts and with them, and write both models."""
        dataset, context, fitter = self._dataset, self._context, self._fitter
        chosen = self.choose()
        final = rounds_of(self._parameters, chosen.rounds)
        threads = self._parameters["num_threads"]
        quantiles = self._quantiles(levels_of(context.config.spec))
        units = tuple(Unit(number, one.split, one.stop) for number, one in enumerate(dataset.series))
        judged = fitter.fit(chosen.feature_spec, fitter.splits, final, self._part(0.6, 0.8))
        forecasts = fitter.rows.forecast(judged, units, threads)
        trees = fitter.fit(chosen.feature_spec, fitter.stops, final, self._part(0.8, 1.0))
        ends = tuple(Unit(number, one.stop, one.stop) for number, one in enumerate(dataset.series))
        columns = Columns.of(dataset, context.config.spec.data)
        quantiles = quantiles.with_final_scales(dataset, fitter.rows.frequency.season)
        kept = ForecastModel(trees, fitter.rows.state(chosen.feature_spec, ends), columns, fitter.horizon, quantiles)
        at_split = ForecastModel(
            judged, fitter.rows.state(chosen.feature_spec, units), columns, fitter.horizon, quantiles
        )
        fitted = Fitted(kept, at_split, units, forecasts, fitter.rows)
        judged_files = (f"{JUDGED}/{name}" for name in at_split.save(context.output / JUDGED))
        short = int((~kept.state.fitted).sum())
        return Trained(
            formats=(FORMAT,),
            files=(*kept.save(context.output), *judged_files),
            model=fitted,
            judged=at_split,
            parameters={
                **self._parameters,
                "best_iteration": chosen.rounds,
                "frequency": dataset.frequency,
                "features": chosen.feature_spec.names,
                "base": None
                if chosen.feature_spec.base is None
                else chosen.feature_spec.names[chosen.feature_spec.base],
            },
            series=SeriesCount(
                total=dataset.series_total,
                trained=len(dataset.series) - short,
                fallback=short,
                failed=dataset.series_total - len(dataset.series),
            ),
            warnings=_warnings(chosen.feature_spec.shortest, short),
        )


def _warnings(shortest: int, short: int) -> tuple[str, ...]:
    if not short:
        return ()
    return (f"{short} series use the seasonal naive model, because they have fewer than {shortest} steps",)
