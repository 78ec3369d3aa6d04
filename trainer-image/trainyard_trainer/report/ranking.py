"""Series ranked from worst to best, with their most important metrics."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd

from trainyard_api.metric_goals import goal_of
from trainyard_trainer.evaluate.names import SKILL
from trainyard_trainer.report.svg import readable

_SHOWN: Final = 10
_USUAL: Final = "mae"
_OTHER_METRICS: Final = ("wape", "mase", SKILL)


@dataclass(frozen=True)
class Ranking:
    """The worst and the best series by a metric. No series is in both lists.

    A row has the series, the metric, that of the naive model, and other metrics.
    """

    metric: str
    worst_word: str
    best_word: str
    head: Sequence[str]
    worst: Sequence[Sequence[str]]
    best: Sequence[Sequence[str]]

    @property
    def worst_series(self) -> list[str]:
        """Names of the worst series, worst first."""
        return [row[0] for row in self.worst]

    @property
    def best_series(self) -> list[str]:
        """Names of the best series, best first."""
        return [row[0] for row in self.best]


def ranking_of(table: pd.DataFrame, objective: str) -> Ranking | None:
    """Rank by the objective, or by ``mae`` if series do not have it. Return ``None`` for fewer than two series.

    Rows without a series, which are for all rows, are ignored. ``table`` is the long form of
    :class:`~trainyard_trainer.frameworks.base.Evaluation`.
    """
    of_series = table[table["series"].notna()].dropna(subset=["value"])
    metric = objective if (of_series["metric"] == objective).any() else _USUAL
    rows = of_series[of_series["metric"] == metric]
    if rows["series"].nunique() < 2:
        return None
    higher = goal_of(metric) == "Maximize"
    best_first = rows.sort_values("value", ascending=not higher, kind="stable")
    worst = best_first.iloc[::-1].head(min(_SHOWN, (len(best_first) + 1) // 2))
    best = best_first.head(min(_SHOWN, len(best_first) - len(worst)))
    others = [name for name in _OTHER_METRICS if name != metric and (of_series["metric"] == name).any()]
    shown = of_series[of_series["series"].isin([*best["series"], *worst["series"]])]
    values = {
        (str(s), str(m)): float(v) for s, m, v in zip(shown["series"], shown["metric"], shown["value"], strict=True)
    }

    def lines(of: pd.DataFrame) -> list[list[str]]:
        return [
            [str(item["series"]), _text(item["value"]), _text(item["baseline"])]
            + [_text(values.get((str(item["series"]), name))) for name in others]
            for item in of.to_dict("records")
        ]

    words = ("smallest", "largest") if higher else ("largest", "smallest")
    return Ranking(metric, *words, ["Series", metric, "Naive model", *others], lines(worst), lines(best))


def _text(value: float | None) -> str:
    return "" if value is None or pd.isna(value) else readable(value)
