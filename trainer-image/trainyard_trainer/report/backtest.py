"""The backtest in a report: its metrics, the error by step and by cutoff, and the worst series."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from trainyard_api.wire import TrainerConfig
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.evaluate.backtest import Backtest
from trainyard_trainer.progress.redact import redact
from trainyard_trainer.report.figures import Figure
from trainyard_trainer.report.findings import by_code, limited
from trainyard_trainer.report.svg import Axis, Plot, readable, thinned
from trainyard_trainer.report.template import render

_FINDINGS: Final = 100

_WORST: Final = 20
"""Maximum number of listed series."""

Row = list[str]


@dataclass(frozen=True)
class BacktestSection:
    """The section of a page about a backtest. The rows of its tables are text."""

    title: str
    metrics: list[Row]
    figures: list[Figure]
    windows: list[Row]
    series_title: str
    series: list[Row]


@dataclass(frozen=True)
class BacktestPage:
    """All data of the page of a job of ``mode: Backtest``."""

    config: TrainerConfig
    dataset: Dataset
    backtest: Backtest
    created_at: str
    warnings: Sequence[str]


def render_backtest(source: BacktestPage) -> str:
    """Return the page. All text from the user's data is escaped."""
    found = limited(source.dataset.findings)
    return render(
        "backtest.html.j2",
        source=source,
        created_at=source.created_at[:16].replace("T", " "),
        data_uri=redact(source.dataset.origin.uri),
        backtest=backtest_section(source.backtest),
        codes=by_code(source.dataset.findings),
        findings_shown=found[:_FINDINGS],
        findings_left_out=max(0, len(found) - _FINDINGS),
    )


def backtest_section(backtest: Backtest) -> BacktestSection:
    """Return the section. Series are listed by skill, worst first, because their scales differ."""
    scores = backtest.scores
    order = scores.by_series.sort_values("skill", kind="stable", ignore_index=True)
    count = len(order)
    return BacktestSection(
        title=f"{backtest.windows} cutoffs, {backtest.step} steps apart",
        metrics=[[name, readable(value)] for name, value in scores.metrics.items()],
        figures=[*_by_step(scores.by_step), *_by_window(scores.by_window)],
        windows=[
            [
                f"{pd.Timestamp(str(one.cutoff)):%Y-%m-%d %H:%M}".removesuffix(" 00:00"),
                f"{one.series:,}",
                *_numbers(one),
            ]
            for one in scores.by_window.itertuples()
        ],
        series_title="By series" if count <= _WORST else f"The {_WORST} of {count} series with the lowest skill",
        series=[
            [str(one.series), *_numbers(one), _text(one.wape), _text(one.bias)]
            for one in order.head(_WORST).itertuples()
        ],
    )


def _numbers(one: "tuple[object, ...]") -> Row:
    rows, *others = (float(getattr(one, name)) for name in ("rows", "mae", "baseline", "skill"))
    return [f"{rows:,.0f}", *(_text(value) for value in others)]


def _text(value: object) -> str:
    number = float(str(value))
    return readable(number) if math.isfinite(number) else ""


def _by_step(table: pd.DataFrame) -> list[Figure]:
    if len(table) < 2:
        return []
    some = thinned(len(table))
    step, mae, naive = (table[name].to_numpy(np.float64)[some] for name in ("step", "mae", "baseline"))
    last = len(some) - 1
    caption = (
        f"Mean absolute error by step ahead: {readable(mae[0])} at the first, {readable(mae[last])} at the last step"
    )
    plot = Plot(
        caption, Axis.over(step), Axis.over(mae, naive, zero=True), titles=("steps ahead", "mean absolute error")
    )
    plot.line(step, naive, "naive").line(step, mae, "model")
    return [Figure("Error by step ahead", plot.svg())]


def _by_window(table: pd.DataFrame) -> list[Figure]:
    if len(table) < 2:
        return []
    number = np.arange(1, len(table) + 1, dtype=np.float64)
    mae, naive = (table[name].to_numpy(np.float64) for name in ("mae", "baseline"))
    caption = f"Mean absolute error by cutoff: {readable(mae[0])} at the oldest, {readable(mae[-1])} at the newest"
    titles = ("cutoff, the newest last", "mean absolute error")
    plot = Plot(caption, Axis.over(number), Axis.over(mae, naive, zero=True), titles=titles)
    plot.line(number, naive, "naive").line(number, mae, "model")
    return [Figure("Error by cutoff", plot.svg())]
