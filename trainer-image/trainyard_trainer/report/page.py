"""report.html: a self-contained page, also readable on a phone."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from trainyard_api.metric_goals import BACKTEST, DATA, goal_of
from trainyard_api.modelversion import Comparison
from trainyard_api.threshold import Threshold
from trainyard_api.wire import TrainerConfig
from trainyard_trainer.artifacts.manifest import Measurements
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.evaluate.backtest import Backtest
from trainyard_trainer.evaluate.names import BASELINE, SKILL, THRESHOLD
from trainyard_trainer.frameworks.base import Evaluation, Trained
from trainyard_trainer.progress.redact import redact
from trainyard_trainer.report import figures, two_classes
from trainyard_trainer.report.backtest import backtest_section
from trainyard_trainer.report.classes import confusion_of
from trainyard_trainer.report.figures import Figure
from trainyard_trainer.report.findings import by_code, limited
from trainyard_trainer.report.forecast import forecast_section
from trainyard_trainer.report.leaderboard import leaderboard_rows
from trainyard_trainer.report.profile.changes import DataComparison
from trainyard_trainer.report.ranking import Ranking, ranking_of
from trainyard_trainer.report.svg import readable, short_number
from trainyard_trainer.report.template import render

_FEATURES: Final = 20
_FINDINGS: Final = 100
_WORST, _BEST = 6, 3
"""Number of series that are plotted."""


@dataclass(frozen=True)
class ReportInput:
    """All data that the page shows."""

    config: TrainerConfig
    dataset: Dataset
    trained: Trained
    evaluation: Evaluation
    objective: str
    created_at: str
    libraries: Mapping[str, str]
    warnings: Sequence[str]
    measurements: Measurements | None = None
    comparison: Comparison | None = None
    data_comparison: DataComparison | None = None
    forecast: pd.DataFrame | None = None
    """The forecast of the series to plot: see ``WrittenForecast.plotted`` in ``job.forecast``."""
    backtest: Backtest | None = None


@dataclass(frozen=True)
class MetricRow:
    """A metric and that of the naive model. ``tone`` is ``good`` or ``bad`` if it is known which of them is better."""

    name: str
    value: str
    naive: str
    tone: str


@dataclass(frozen=True)
class ComparedRow:
    """A metric of the new model and of the champion on equal rows. ``tone`` shows which is better."""

    name: str
    value: str
    champion: str
    difference: str
    interval: str
    tone: str


@dataclass(frozen=True)
class Card:
    """A highlighted number."""

    name: str
    value: str
    detail: str
    tone: str = ""


def render_report(source: ReportInput) -> str:
    """Return the page. All text from the user's data is escaped."""
    evaluation, dataset = source.evaluation, source.dataset
    found = limited(dataset.findings)
    ranked = ranking_of(evaluation.table, source.objective)
    rows = metric_rows({name: value for name, value in evaluation.metrics.items() if not name.startswith(BACKTEST)})
    title, overview = _overview(evaluation, dataset, source.config.spec.threshold)
    return render(
        "report.html.j2",
        source=source,
        spec=source.config.spec,
        size=size,
        created_at=source.created_at[:16].replace("T", " "),
        data_uri=redact(dataset.origin.uri),
        cards=_cards(source, rows),
        metrics=rows,
        codes=by_code(dataset.findings),
        findings_shown=found[:_FINDINGS],
        findings_left_out=max(0, len(found) - _FINDINGS),
        ranked=ranked,
        confusion=confusion_of(evaluation.table, dataset.classes),
        overview=overview,
        overview_title=title,
        naive_name=f"Naive model: {evaluation.baseline}" if evaluation.baseline else "Naive model",
        overview_legend=_overview_legend(evaluation, dataset),
        forecasts=_forecasts(evaluation, dataset, ranked),
        backtest=None if source.backtest is None else backtest_section(source.backtest),
        forecast=forecast_section(source.forecast, dataset, source.config.spec.data.target),
        importance=importance_rows(evaluation.importance),
        leaderboard=leaderboard_rows(evaluation.leaderboard),
        comparison=source.comparison,
        compared=_compared_rows(source.comparison),
        measurements=_measurement_rows(source.measurements),
        data_compared=_data_rows(source.data_comparison),
        tuned=source.trained.tuned,
        parameters=sorted(source.trained.parameters.items()),
    )


def metric_rows(metrics: Mapping[str, float]) -> list[MetricRow]:
    """Return the metrics in order, each with that of the naive model. That is empty if it was not computed."""
    return [
        MetricRow(name, readable(value), "" if naive is None else readable(naive), _tone(name, value, naive))
        for name, value in metrics.items()
        if not name.startswith((BASELINE, DATA))
        for naive in [metrics.get(BASELINE + name)]
    ]


def _compared_rows(found: Comparison | None) -> list[ComparedRow]:
    """Return the metrics of both models on equal rows, and the confidence intervals of their differences."""
    rows = []
    for one in (found.metrics or ()) if found is not None else ():
        ends = f"{_read(one.low)} to {_read(one.high)} ({one.confidence:.0%})" if one.low and one.high else ""
        tone = _tone(one.name, float(one.value), float(one.champion))
        rows.append(ComparedRow(one.name, _read(one.value), _read(one.champion), _read(one.difference), ends, tone))
    return rows


def _read(text: str | None) -> str:
    return "" if text is None else readable(float(text))


def importance_rows(importance: pd.DataFrame | None) -> list[tuple[str, str, int]]:
    """Return feature, gain, and the gain as a percentage of the first one for the bars."""
    if importance is None or importance.empty:
        return []
    top = importance.head(_FEATURES)
    largest = float(top["gain"].max()) or 1.0
    return [
        (str(item["feature"]), short_number(float(item["gain"])), round(100 * float(item["gain"]) / largest))
        for item in top.to_dict("records")
    ]


def size(count: float) -> str:
    """Return a number of bytes as text for people."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.3g} {unit}" if unit != "bytes" else f"{count:.0f} bytes"
        count /= 1024
    return f"{count:.3g} GiB"


def _tone(name: str, value: float, naive: float | None) -> str:
    goal = goal_of(name)
    against = 0.0 if name == SKILL else naive
    if goal is None or against is None or value == against:
        return ""
    return "good" if (value > against) == (goal == "Maximize") else "bad"


def _cards(source: ReportInput, rows: Sequence[MetricRow]) -> list[Card]:
    """Return the objective, the skill, and the number of series that are worse than the naive model, if available."""
    by_name = {row.name: row for row in rows}
    cards = []
    if source.objective in by_name:
        row = by_name[source.objective]
        detail = f"naive model {row.naive}" if row.naive else "the objective"
        cards.append(Card(row.name, row.value, detail, row.tone))
    if SKILL in by_name and source.objective != SKILL:
        part = source.evaluation.metrics[SKILL]
        words = "less error than the naive model" if part >= 0 else "more error than the naive model"
        cards.append(Card(SKILL, f"{part:.2f}", f"{abs(part):.0%} {words}", by_name[SKILL].tone))
    series = source.trained.series
    if series is not None and series.total > 1:
        below = source.evaluation.metrics.get("series_below_baseline")
        detail = "" if below is None else f"{below:.0f} worse than the naive model"
        cards.append(Card("series", f"{series.trained + series.fallback:,}", detail))
    cost = source.measurements
    if cost is not None and cost.latency is not None:
        cards.append(
            Card("prediction of one row", f"{cost.latency.p50_ms:.3g} ms", f"model of {size(cost.size_bytes)}")
        )
    return cards


def _overview(evaluation: Evaluation, dataset: Dataset, threshold_spec: Threshold | None) -> tuple[str, list[Figure]]:
    """Return the charts over all held-out rows."""
    rows = evaluation.holdout
    if rows is None or rows.empty:
        return "", []
    if dataset.classes:
        charts = figures.class_figures(rows, dataset.classes)
        if dataset.positive_class is not None:
            cut = evaluation.metrics.get(THRESHOLD)
            charts += two_classes.figures_of(rows, dataset.positive_class, cut, threshold_spec)
        return "Separation of the classes", charts
    if "series" in rows.columns:
        charts = [
            *figures.skill_figures(evaluation.table),
            *figures.error_by_step(rows),
            *figures.residual_figures(rows),
        ]
        return "All series together" if rows["series"].nunique() > 1 else "Errors", charts
    return "Predicted and actual", figures.number_figures(rows)


def _overview_legend(evaluation: Evaluation, dataset: Dataset) -> list[tuple[str, str]]:
    rows = evaluation.holdout
    if rows is None or rows.empty or len(dataset.classes) < 3:
        return [("model", "model"), ("naive", "naive model")] if rows is not None and "series" in rows.columns else []
    drawn = figures.drawn_classes(rows, dataset.classes)
    return [(f"class-{color}", dataset.classes[number]) for color, number in enumerate(drawn)]


def _forecasts(evaluation: Evaluation, dataset: Dataset, ranked: Ranking | None) -> list[tuple[str, list[Figure]]]:
    """Return the charts of series: the only one, or the worst and the best ones."""
    rows = evaluation.holdout
    if rows is None or rows.empty or "series" not in rows.columns:
        return []
    if ranked is None:
        names = [str(name) for name in rows["series"].unique()[:_WORST]]
        return [("Forecast and holdout", [figures.forecast_figure(name, rows, dataset) for name in names])]
    worst, best = ranked.worst_series[:_WORST], ranked.best_series[:_BEST]
    chosen = rows[rows["series"].isin([*worst, *best])]
    parts = (("The worst forecasts", worst), ("The best forecasts", best))
    return [
        (title, [figures.forecast_figure(name, chosen, dataset) for name in names]) for title, names in parts if names
    ]


def _data_rows(comparison: DataComparison | None) -> list[tuple[str, str, str, str, str]]:
    """Return the comparison with the champion's data: the largest change of each measure, and all reported changes."""
    changes = () if comparison is None else comparison.changes
    return [(one.subject, one.then, one.now, one.measure, short_number(one.value)) for one in changes]


def _measurement_rows(found: Measurements | None) -> list[tuple[str, str]]:
    if found is None:
        return []
    rows: list[tuple[str, Any]] = [("Size of the files", size(found.size_bytes))]
    if found.judged_bytes is not None:
        rows.append(("Size of the judged model", size(found.judged_bytes)))
    if found.memory_bytes is not None:
        rows.append(("Memory for loading and predicting", size(found.memory_bytes)))
    if found.latency is not None:
        calls = f"of {found.latency.calls} calls"
        rows += [
            (f"Prediction of one row, median {calls}", f"{found.latency.p50_ms:.3g} ms"),
            (f"Prediction of one row, 95th percentile {calls}", f"{found.latency.p95_ms:.3g} ms"),
        ]
    if found.onnx_max_difference is not None and math.isfinite(found.onnx_max_difference):
        rows.append(("ONNX: largest difference on the golden rows", f"{found.onnx_max_difference:.2g}"))
    return rows
