"""report.html: one self-contained page, readable on a phone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from trainyard_api.wire import TrainerConfig
from trainyard_trainer.artifacts.manifest import Measurements
from trainyard_trainer.evaluate.names import BASELINE
from trainyard_trainer.frameworks.base import Dataset, Evaluation, Trained
from trainyard_trainer.progress.redact import redact
from trainyard_trainer.progress.tracker import metric_value
from trainyard_trainer.report.findings import by_code, limited

_SERIES: Final = 10
_FEATURES: Final = 20
_FINDINGS: Final = 100


SeriesRow = tuple[str, str, str]
"""A series, its metric, and the naive model's."""


@dataclass(frozen=True)
class ReportInput:
    """Everything the page shows."""

    config: TrainerConfig
    dataset: Dataset
    trained: Trained
    evaluation: Evaluation
    objective: str
    created_at: str
    libraries: Mapping[str, str]
    warnings: Sequence[str]
    measurements: Measurements | None = None


def render_report(source: ReportInput) -> str:
    """Return the page. Everything that comes from the user's data is escaped."""
    environment = Environment(
        loader=PackageLoader("trainyard_trainer.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    spec = source.config.spec
    findings = limited(source.dataset.findings)
    worst, best = series_ranking(source.evaluation.table, source.objective)
    return environment.get_template("report.html.j2").render(
        source=source,
        spec=spec,
        data_uri=redact(source.dataset.origin.uri),
        metrics=metric_rows(source.evaluation.metrics),
        codes=by_code(source.dataset.findings),
        findings=findings[:_FINDINGS],
        findings_left_out=max(0, len(findings) - _FINDINGS),
        worst=worst,
        best=best,
        importance=importance_rows(source.evaluation.importance),
        parameters=sorted(source.trained.parameters.items()),
    )


def metric_rows(metrics: Mapping[str, float]) -> list[tuple[str, str, str]]:
    """Return name, value and the naive model's value (empty where none was taken)."""
    return [
        (name, metric_value(value), metric_value(metrics[BASELINE + name]) if BASELINE + name in metrics else "")
        for name, value in metrics.items()
        if not name.startswith(BASELINE)
    ]


def series_ranking(table: pd.DataFrame, metric: str) -> tuple[list[SeriesRow], list[SeriesRow]]:
    """Return the ten worst and the ten best series by a metric, worst by its value; nothing for a single series.

    Lines without a series, for all rows together, do not take part. ``table`` is the long form of
    :class:`~trainyard_trainer.frameworks.base.Evaluation`.
    """
    rows = table[(table["metric"] == metric) & table["series"].notna()].dropna(subset=["value"])
    if rows["series"].nunique() < 2:
        return [], []
    ascending = rows.sort_values("value")
    best, worst = ascending.head(_SERIES), ascending.iloc[::-1].head(_SERIES)
    return [_row(item) for item in worst.to_dict("records")], [_row(item) for item in best.to_dict("records")]


def importance_rows(importance: pd.DataFrame | None) -> list[tuple[str, str, int]]:
    """Return feature, gain, and the gain in percent of the first, for the bars."""
    if importance is None or importance.empty:
        return []
    top = importance.head(_FEATURES)
    largest = float(top["gain"].max()) or 1.0
    return [
        (str(item["feature"]), metric_value(item["gain"]), round(100 * float(item["gain"]) / largest))
        for item in top.to_dict("records")
    ]


def _row(item: Mapping[Any, Any]) -> SeriesRow:
    baseline = item.get("baseline")
    naive = "" if baseline is None or pd.isna(baseline) else metric_value(baseline)
    return str(item["series"]), metric_value(item["value"]), naive
