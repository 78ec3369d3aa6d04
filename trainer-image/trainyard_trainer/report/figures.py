"""The charts of the held-out rows in a report. They are few, and the same for all frameworks of a task."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from markupsafe import Markup

from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.evaluate import curves
from trainyard_trainer.evaluate.names import SKILL
from trainyard_trainer.evaluate.rows import PROBABILITY
from trainyard_trainer.report.svg import Axis, Floats, Plot, positions_of, thinned

_BINS: Final = 24
_HISTORY: Final = 2
"""Length of the history before the holdout, as a multiple of the holdout."""

_FEWEST_BEFORE: Final = 30
_FEW_SERIES: Final = 5
"""Minimum number of series for a histogram."""

_CURVES: Final = 5
"""Maximum number of classes with curves, the largest ones."""


@dataclass(frozen=True)
class Figure:
    """A chart with its caption."""

    title: str
    picture: Markup
    caption: str = ""
    legend: Sequence[tuple[str, str]] = ()


def forecast_figure(name: str, holdout: pd.DataFrame, dataset: Dataset) -> Figure:
    """Plot one series: its end before the holdout, the actual values, and the forecasts of the model and the naive
    model.
    """
    rows = holdout[holdout["series"] == name]
    times, before = rows["time"].to_numpy(), _before(name, dataset, len(rows))
    actual, predicted, naive = (rows[column].to_numpy(np.float64) for column in ("actual", "predicted", "baseline"))
    known_times, known = before["ds"].to_numpy(), before["y"].to_numpy(np.float64)
    # The line of known values continues into the holdout.
    seen_times, seen = np.concatenate([known_times[-1:], times]), np.concatenate([known[-1:], actual])
    x = Axis.of_times(np.concatenate([known_times, times]))
    plot = Plot(f"Forecast of {name}", x, Axis.over(known, actual, predicted, naive))
    plot.line(positions_of(known_times), known, "past").line(positions_of(seen_times), seen, "actual")
    plot.line(positions_of(times), naive, "naive").line(positions_of(times), predicted, "model")
    return Figure(name, plot.svg())


def _before(name: str, dataset: Dataset, length: int) -> pd.DataFrame:
    """Return the rows before the holdout. Empty if the data is not available, as after a merge of shards."""
    for series in dataset.series:
        if series.name == name:
            first = max(series.start, series.split - max(_HISTORY * length, _FEWEST_BEFORE))
            return dataset.frame.iloc[first : series.split][["ds", "y"]]
    return pd.DataFrame({"ds": np.array([], dtype="datetime64[ns]"), "y": np.array([])})


def skill_figures(table: pd.DataFrame) -> list[Figure]:
    """Plot the distribution of the skill over the series. Empty for a few series."""
    skills = table.loc[(table["metric"] == SKILL) & table["series"].notna(), "value"].to_numpy(np.float64)
    if len(skills) < _FEW_SERIES:
        return []
    shown = np.clip(skills, -1, 1)
    edges = np.linspace(-1, 1, _BINS + 1)
    counts = np.histogram(shown, edges)[0].astype(np.float64)
    worse = edges[:-1] < -1e-9
    plot = Plot("Skill of the series", Axis.over(edges), Axis.over(counts, zero=True))
    plot.bars(edges, np.where(worse, counts, 0), "bad").bars(edges, np.where(worse, 0, counts), "model")
    caption = (
        f"{len(skills)} series; right of 0, the model is better than the naive model. Values below -1 "
        "are counted at -1."
    )
    return [Figure("Skill of the series", plot.svg(), caption)]


def error_by_step(holdout: pd.DataFrame) -> list[Figure]:
    """Plot the mean error by number of steps ahead. Empty for one step."""
    step = holdout.groupby("series", sort=False, observed=True).cumcount().to_numpy() + 1
    if step.max() < 2:
        return []
    actual = holdout["actual"].to_numpy(np.float64)
    rows = np.bincount(step)[1:]
    model, naive = (
        np.bincount(step, np.abs(holdout[column].to_numpy(np.float64) - actual))[1:] / rows
        for column in ("predicted", "baseline")
    )
    ahead = np.arange(1, len(rows) + 1, dtype=np.float64)
    plot = Plot("Mean error by step ahead", Axis.over(ahead), Axis.over(model, naive, zero=True))
    plot.line(ahead, naive, "naive").line(ahead, model, "model")
    return [
        Figure("Error by step ahead", plot.svg(), "x axis: steps ahead. y axis: mean absolute error over all series.")
    ]


def residual_figures(holdout: pd.DataFrame) -> list[Figure]:
    """Plot the distribution of predicted minus actual, without 1 % on each side. Empty without finite errors."""
    every = (holdout["predicted"] - holdout["actual"]).to_numpy(np.float64)
    errors = every[np.isfinite(every)]
    if not len(errors):
        return []
    low, high = np.quantile(errors, [0.01, 0.99])
    inner = errors[(errors >= low) & (errors <= high)]
    across = Axis.over(inner)
    edges = np.linspace(across.low, across.high, _BINS + 1)
    heights = np.histogram(inner, edges)[0].astype(np.float64)
    plot = Plot("Residuals", across, Axis.over(heights, zero=True)).bars(edges, heights, "model")
    left_out = len(every) - len(inner)
    left_out_note = f"; {left_out} more extreme rows are not shown" if left_out else ""
    return [
        Figure(
            "Residuals",
            plot.svg(),
            f"Predicted minus actual, in rows; right of 0, the prediction is too large{left_out_note}.",
        )
    ]


def number_figures(holdout: pd.DataFrame) -> list[Figure]:
    """Plot predicted against actual, and the residuals against the prediction and as a distribution."""
    some = thinned(len(holdout))
    actual, predicted = (holdout[column].to_numpy(np.float64)[some] for column in ("actual", "predicted"))
    both = Axis.over(actual, predicted)
    ends = np.array([both.low, both.high])
    against = Plot("Predicted against actual", both, both).line(ends, ends, "naive").dots(actual, predicted, "model")
    errors = predicted - actual
    across = Axis.over(predicted)
    level = Plot("Residuals against predicted", across, Axis.over(errors, zero=True))
    level.line(np.array([across.low, across.high]), np.zeros(2), "naive").dots(predicted, errors, "model")
    shown = "" if len(some) == len(holdout) else f" {len(some)} of {len(holdout)} rows."
    return [
        Figure("Predicted against actual", against.svg(), f"x axis: actual. y axis: predicted.{shown}"),
        Figure(
            "Residuals against predicted", level.svg(), f"x axis: predicted. y axis: predicted minus actual.{shown}"
        ),
        *residual_figures(holdout),
    ]


def drawn_classes(holdout: pd.DataFrame, classes: Sequence[str]) -> list[int]:
    """Return the classes with curves: the second of two, else the largest ones, in the order of their colors."""
    counts = np.bincount(holdout["actual"].to_numpy(np.intp), minlength=len(classes))
    there = [int(one) for one in np.argsort(-counts, kind="stable") if 0 < counts[one] < len(holdout)]
    return [1] if len(classes) == 2 and there else there[:_CURVES]


def class_figures(holdout: pd.DataFrame, classes: Sequence[str]) -> list[Figure]:
    """Plot the ROC and the precision-recall curve of each class against the rest."""
    drawn = drawn_classes(holdout, classes)
    if not drawn:
        return []
    actual = holdout["actual"].to_numpy(np.intp)
    unit, ends = Axis.over(np.array([0.0, 1.0])), np.array([0.0, 1.0])
    roc, curve = Plot("ROC curve", unit, unit).line(ends, ends, "naive"), Plot("Precision and recall", unit, unit)
    for color, number in enumerate(drawn):
        chance = holdout[PROBABILITY + classes[number]].to_numpy(np.float64)
        (across, up), (recall, precision) = _curves(actual == number, chance)
        roc.line(across, up, f"class-{color}")
        curve.line(recall, precision, f"class-{color}")
    of = f"Class {classes[drawn[0]]}" if len(drawn) == 1 else "Each class against the rest"
    return [
        Figure(
            "ROC curve",
            roc.svg(),
            f"{of}. x axis: false positive rate. y axis: true positive rate. The dashed line is a random model.",
        ),
        Figure("Precision and recall", curve.svg(), f"{of}. x axis: recall. y axis: precision."),
    ]


def _curves(actual: npt.NDArray[Any], chance: Floats) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    cuts = curves.Cuts.of(actual, chance)
    across, up = curves.roc(cuts)
    precision, recall = curves.precision_recall(cuts.corners())
    first, second = thinned(len(across)), thinned(len(recall))
    return (across[first], up[first]), (recall[second], precision[second])
