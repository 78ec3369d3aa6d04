"""Quantiles of a global model: the forecast plus quantiles of its errors.

The errors are from windows before the holdout, on which the model was not trained. They are divided by the usual change
of each series within a season, so that all series can be combined. They are grouped by the number of steps ahead.
Prophet does not use this, because it samples from its own uncertainty.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.data.values.frequency import frequency_by
from trainyard_trainer.errors import DataError
from trainyard_trainer.evaluate.forecasts import Forecast
from trainyard_trainer.evaluate.judgement import Judgement
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.evaluate.quantiles import quantile_scores
from trainyard_trainer.evaluate.scales import usual_move
from trainyard_trainer.frameworks.forecast.columns import quantile_columns

QUANTILES_FILE: Final = "quantiles.json"

_ERRORS_PER_STEP: Final = 50
"""Minimum number of errors for the quantiles of a step. With fewer, errors of the next steps are added."""

_METHOD: Final = "weibull"
"""Of n errors, the k-th is the level k / (n + 1), as in conformal prediction. Levels in between are interpolated."""

Steps = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ErrorQuantiles:
    """The distances of the quantiles from a forecast.

    Attributes
    ----------
    levels
        Ascending; empty if no quantiles were requested.
    offsets
        Distance by step ahead and level, in units of the scale of a series; shape (horizon, levels), ascending in each
        row.
    scales
        Known scales by the name of the series.
    """

    levels: tuple[float, ...] = ()
    offsets: Floats = field(default_factory=lambda: np.zeros((1, 0)))
    scales: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, levels: Sequence[float], horizon: int, windows: Sequence[Forecast], steps: Steps) -> Self:
        """Compute the quantiles. The scales of the series are set later, see :meth:`with_final_scales`.

        Parameters
        ----------
        windows
            Forecasts of rows that the model was not trained on.
        steps
            Number of steps ahead of each of their rows, from 1; shape (rows,).
        """
        lengths = [len(one.actual) for one in windows]
        scales = np.repeat([_scale_of(one) for one in windows], lengths)
        errors = np.concatenate([one.actual - one.predicted for one in windows])
        moves = scales > 0
        return cls(tuple(levels), _offsets(levels, horizon, errors[moves] / scales[moves], steps[moves]))

    def with_final_scales(self, dataset: Dataset, season: int) -> Self:
        """Return a copy with the scale of each series at its end."""
        frequency = frequency_by(dataset.frequency or "D", dataset.clock)
        times, values = dataset.frame["ds"].to_numpy(), dataset.frame["y"].to_numpy(dtype=np.float64)
        scales = {}
        for one in dataset.series:
            rows = slice(one.start, one.stop)
            scales[one.name] = usual_move(frequency.ordinals(times[rows]), values[rows], season)
        return type(self)(self.levels, self.offsets, scales)

    def with_new_scales(self, dataset: Dataset, season: int) -> Self:
        """Return a copy that also has the scales of the unknown series of a dataset, each at its end."""
        if not self.levels:
            return self
        new = self.with_final_scales(dataset.part(lambda name: name not in self.scales), season)
        return replace(self, scales={**new.scales, **self.scales})

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return quantile_columns(self.levels)

    def scale(self, series: str) -> float:
        """Return the scale of a series, or 0 if there are no quantiles."""
        return self.scales[series] if self.levels else 0.0

    def around(self, forecast: Floats, steps: Steps, scales: Floats | float, floors: Floats | float) -> Floats:
        """Return the quantiles of forecasts without crossings; shape (rows, levels).

        After the horizon, those of its last step widen with the square root of the distance.

        Parameters
        ----------
        forecast, steps
            The forecasts, and their numbers of steps ahead, from 1; shape (rows,).
        scales, floors
            Scale and floor of the series of each row, or of all rows. No quantile is below the floor; minus infinity
            means no floor.
        """
        horizon = len(self.offsets)
        spread = scales * np.sqrt(np.maximum(steps / horizon, 1.0))
        found = forecast[:, None] + self.offsets[np.minimum(steps, horizon) - 1] * spread[:, None]
        return np.asarray(np.maximum(found, np.reshape(floors, (-1, 1))))

    def at_forecasts(self, forecasts: Sequence[Forecast], steps: Steps) -> Floats:
        """Return the quantiles of some forecasts; shape (rows, levels). ``steps`` as in :meth:`of`."""
        if not self.levels:
            return np.empty((len(steps), 0))
        lengths = [len(one.actual) for one in forecasts]
        scales = np.repeat([_scale_of(one) for one in forecasts], lengths)
        floors = np.repeat([0.0 if one.known.min() >= 0 else -np.inf for one in forecasts], lengths)
        return self.around(np.concatenate([one.predicted for one in forecasts]), steps, scales, floors)

    def save(self, folder: Path) -> tuple[str, ...]:
        """Write the quantiles if there are any. Return the names of the files."""
        if not self.levels:
            return ()
        fields = {"levels": self.levels, "offsets": self.offsets.tolist(), "scales": dict(self.scales)}
        (folder / QUANTILES_FILE).write_text(json.dumps(fields, ensure_ascii=False) + "\n")
        return (QUANTILES_FILE,)


def with_quantiles(found: Judgement, levels: Sequence[float], quantiles: Floats) -> Judgement:
    """Return an evaluation with the quantiles of its rows, shape (rows, levels), which are also evaluated."""
    columns = dict(zip(quantile_columns(levels), quantiles.T, strict=True))
    scores = quantile_scores(found.holdout["actual"].to_numpy(np.float64), quantiles, levels)
    return replace(found, metrics=found.metrics | scores, holdout=found.holdout.assign(**columns))


def load_quantiles(folder: Path) -> ErrorQuantiles:
    """Read the file that :meth:`ErrorQuantiles.save` wrote."""
    file = folder / QUANTILES_FILE
    if not file.exists():
        return ErrorQuantiles()
    fields = json.loads(file.read_text())
    return ErrorQuantiles(tuple(fields["levels"]), np.array(fields["offsets"], dtype=np.float64), fields["scales"])


def levels_of(spec: TrainingJobSpec) -> tuple[float, ...]:
    """Return the distinct requested levels in ascending order."""
    return tuple(sorted(set(spec.forecast.quantiles or ()))) if spec.forecast is not None else ()


def no_windows(uri: str) -> DataError:
    """Return the error for quantiles if every series is too short for a window."""
    return DataError(
        f"{uri}: no series is long enough to compare forecasts with the rows before its holdout, as "
        "spec.forecast.quantiles require; give longer series, or leave quantiles out"
    )


def _scale_of(forecast: Forecast) -> float:
    return usual_move(forecast.known_steps, forecast.known, forecast.season)


def _offsets(levels: Sequence[float], horizon: int, errors: Floats, steps: Steps) -> Floats:
    """Return the error quantiles of each step, including those of neighboring steps. Zeros if there are no errors."""
    found = np.zeros((horizon, len(levels)))
    if len(errors) == 0:
        return found
    order = np.argsort(steps, kind="stable")
    errors, ordered = errors[order], steps[order]
    least = min(_ERRORS_PER_STEP, len(errors))
    for step in range(1, horizon + 1):
        near = np.clip(step, ordered[0], ordered[-1])
        begin = end = reach = 0
        while end - begin < least:
            begin, end = np.searchsorted(ordered, [near - reach, near + reach + 1])
            reach += 1
        found[step - 1] = np.quantile(errors[begin:end], levels, method=_METHOD)
    return np.sort(found, axis=1)  # rounding in the interpolation can swap two of them
