"""Evaluation of forecasts, compared with naive ones on the same holdouts. All frameworks use it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_trainer.evaluate import metrics, names
from trainyard_trainer.evaluate.judgement import Judgement
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.evaluate.scales import Ordinals, error_scales

SCALE: Final = "scale"
"""Column of a holdout: the mean absolute difference to one season earlier, in the rows before it.

NaN without a season.
"""

SQUARE_SCALE: Final = "square_scale"
"""Column of a holdout: the mean squared difference."""

_SCALED: Final = ("mase", "rmsse")
_WEIGHTED: Final = ("mae", "mase")


@dataclass(frozen=True)
class Forecast:
    """The forecast of the holdout of one series.

    Attributes
    ----------
    times, actual, predicted, baseline
        Values of the rows of the holdout, all of the same length. ``baseline`` is the naive forecast.
    known
        The values before the holdout, in order of time.
    season
        Steps per season.
    known_steps
        The step numbers of ``known`` (see ``Frequency.ordinals``): scaled errors use distances in steps, not rows.
    """

    name: str
    times: npt.NDArray[np.datetime64]
    actual: Floats
    predicted: Floats
    baseline: Floats
    known: Floats
    season: int
    known_steps: Ordinals


def judge(forecasts: Sequence[Forecast], baseline: str = "") -> Judgement:
    """Evaluate the forecasts of at least one series, each series and all rows.

    ``baseline`` is the name of the baseline.
    """
    scales = np.array([error_scales(one.known_steps, one.known, one.season) for one in forecasts])
    lengths = [len(one.actual) for one in forecasts]
    return judge_rows(
        pd.DataFrame(
            {
                "series": np.repeat(np.array([one.name for one in forecasts], dtype=object), lengths),
                "time": np.concatenate([one.times for one in forecasts]),
                "actual": np.concatenate([one.actual for one in forecasts]),
                "predicted": np.concatenate([one.predicted for one in forecasts]),
                "baseline": np.concatenate([one.baseline for one in forecasts]),
                SCALE: np.repeat(scales[:, 0], lengths),
                SQUARE_SCALE: np.repeat(scales[:, 1], lengths),
            }
        ),
        baseline,
    )


def judge_rows(holdout: pd.DataFrame, baseline: str = "") -> Judgement:
    """Evaluate rows of forecasts, which can be those of several shards.

    Parameters
    ----------
    holdout
        As in a ``Judgement``, with ``SCALE`` and ``SQUARE_SCALE``; the rows of a series must be contiguous.
    """
    actual, predicted, naive = (
        holdout[name].to_numpy(dtype=np.float64) for name in ("actual", "predicted", "baseline")
    )
    series = holdout["series"].to_numpy(dtype=object)
    starts = np.flatnonzero(np.concatenate([[True], series[1:] != series[:-1]]))
    scales = holdout[[SCALE, SQUARE_SCALE]].to_numpy(dtype=np.float64)[starts]
    of_model, of_naive = (_series_scores(actual, values, starts, scales) for values in (predicted, naive))
    of_model[names.SKILL], of_naive[names.SKILL] = _skills(of_model["mae"], of_naive["mae"]), np.zeros(len(starts))
    by_series = _table(series[starts], of_model, of_naive)
    volume = np.add.reduceat(np.abs(actual), starts)
    scores = metrics.point_scores(actual, predicted)
    found = {**scores.metrics, **_means(of_model, volume)}
    beside = {**metrics.point_scores(actual, naive).metrics, **_means(of_naive, volume)}
    skill = metrics.skill(found["mae"], beside["mae"])
    if skill is not None:
        found[names.SKILL] = skill
    overall = pd.DataFrame(metrics.rows_of(None, found, {**beside, names.SKILL: 0.0}))
    skills = of_model[names.SKILL]
    if np.isfinite(skills).any():
        found[names.SERIES_BELOW_BASELINE] = float((skills < 0).sum())
    return Judgement(
        metrics.only_finite(found | {names.BASELINE + name: value for name, value in beside.items()}),
        by_series if len(starts) == 1 else pd.concat([overall, by_series], ignore_index=True),
        holdout,
        (*scores.notes, *_notes(of_model, skill)),
        baseline,
    )


@np.errstate(divide="ignore", invalid="ignore", over="ignore")  # results that are not finite are left out
def _series_scores(
    actual: Floats, predicted: Floats, starts: npt.NDArray[np.intp], scales: Floats
) -> dict[str, Floats]:
    """Return each metric of each series, shape (series,); NaN or infinite if it is undefined.

    ``starts`` are the first rows of the series; ``scales`` has the shape (series, 2).
    """
    rows = np.diff(np.append(starts, len(actual)))

    def total(values: npt.NDArray[Any]) -> Floats:
        return np.asarray(np.add.reduceat(values, starts), dtype=np.float64)

    errors, size = np.abs(actual - predicted), np.abs(actual)
    both = size + np.abs(predicted)
    nonzero = size > 0
    squares = total(errors**2)
    mean = total(actual) / rows
    found = {
        "mae": total(errors) / rows,
        "rmse": np.sqrt(squares / rows),
        "mape": total(np.divide(errors, size, out=np.zeros_like(errors), where=nonzero)) / total(nonzero),
        "smape": 2 * total(np.divide(errors, both, out=np.zeros_like(errors), where=both > 0)) / rows,
        "wape": total(errors) / total(size),
        "r2": 1 - squares / total((actual - np.repeat(mean, rows)) ** 2),
        "bias": total(predicted - actual) / rows,
    }
    found["mase"] = found["mae"] / scales[:, 0]
    found["rmsse"] = found["rmse"] / np.sqrt(scales[:, 1])
    return found


def _skills(loss: Floats, naive: Floats) -> Floats:
    """Return the skill of each series, NaN if undefined."""
    each = (metrics.skill(*pair) for pair in zip(loss.tolist(), naive.tolist(), strict=True))
    return np.array([np.nan if one is None else one for one in each])


def _means(of_series: dict[str, Floats], volume: Floats) -> dict[str, float]:
    """Return the means over series: unweighted ones of scaled errors, and some weighted by the volume of each
    series.
    """
    found = {}
    for name in _SCALED:
        known = np.isfinite(of_series[name])
        if known.any():
            found[name] = float(of_series[name][known].mean())
    for name in _WEIGHTED:
        known = np.isfinite(of_series[name]) & (volume > 0)
        if known.any():
            found[f"weighted_{name}"] = float(np.average(of_series[name][known], weights=volume[known]))
    return found


def _notes(of_series: dict[str, Floats], skill: float | None) -> list[str]:
    notes = [] if skill is not None else ["skill is undefined: the baseline has no error"]
    unscaled = int((~np.isfinite(of_series["mase"])).sum())
    if unscaled:
        notes.append(
            f"mase and rmsse leave out {unscaled} of {len(of_series['mase'])} series: in the training part, "
            "all values equal those one season earlier, or no two rows are a season apart"
        )
    return notes


def _table(series: npt.NDArray[Any], of_model: dict[str, Floats], of_naive: dict[str, Floats]) -> pd.DataFrame:
    """Return the long table, series by series, without undefined values."""
    values = np.column_stack(list(of_model.values()))
    naive = np.column_stack([of_naive[name] for name in of_model])
    known = np.isfinite(values).ravel()
    return pd.DataFrame(
        {
            "series": np.repeat(series, values.shape[1])[known],
            "metric": np.tile(np.array(list(of_model), dtype=object), len(series))[known],
            "value": values.ravel()[known],
            "baseline": np.where(np.isfinite(naive), naive, np.nan).ravel()[known],
        }
    )
