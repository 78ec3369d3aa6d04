"""Choose the candidates that fit into the budget, by an estimate of their time.

Measured time is not used, because the same job could choose differently on a busy machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from trainyard_api.training import Auto
from trainyard_api.training import Candidate as Name
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.data.values.frequency import frequency_of
from trainyard_trainer.frameworks.forecast.windows import SERIES_COMPARED
from trainyard_trainer.frameworks.statsforecast.methods import Method, asked_methods, default_methods, seconds_of

ALL: Final[tuple[Name, ...]] = ("StatsForecast", "LightGBM", "Prophet")

_BUDGET: Final = 600
_BUDGET_PER_SERIES: Final = 0.5
"""Default budget in seconds of one core."""

_STEPS_KEPT: Final = 2_500
_LIGHTGBM_SECONDS: Final = 3.0
_LIGHTGBM_PER_ROW: Final = 5e-4
_PROPHET_PER_FIT: Final = 0.15
_PROPHET_PER_ROW: Final = 7e-4
"""Seconds of one core, measured on daily and hourly data."""


@dataclass(frozen=True)
class Plan:
    """The chosen candidates.

    Attributes
    ----------
    names
        Names of the frameworks.
    methods
        Methods of StatsForecast.
    left_out
        Candidates that were left out, with their estimate in seconds of one core.
    """

    names: tuple[Name, ...]
    methods: tuple[Method, ...]
    left_out: Mapping[str, float]


def plan_of(dataset: Dataset, auto: Auto, stats: Mapping[str, object], windows: int) -> Plan:
    """Return the candidates that fit. The most expensive ones are left out first; the cheapest is always kept.

    Parameters
    ----------
    stats
        The parameters of StatsForecast.
    windows
        Number of windows per series.
    """
    wanted = auto.candidates or list(ALL)
    costs: dict[str, float] = {}
    methods = {one.label: one for one in _methods(dataset, stats)} if "StatsForecast" in wanted else {}
    series, steps = len(dataset.series), float(np.mean([one.stop - one.start for one in dataset.series]))
    fits = windows * min(series, SERIES_COMPARED) + 2 * series
    costs |= {label: seconds_of([one], int(min(steps, _STEPS_KEPT)), fits) for label, one in methods.items()}
    if "LightGBM" in wanted:
        costs["LightGBM"] = _LIGHTGBM_SECONDS + _LIGHTGBM_PER_ROW * dataset.rows
    if "Prophet" in wanted:
        costs["Prophet"] = series * (windows + 2) * (_PROPHET_PER_FIT + _PROPHET_PER_ROW * steps)
    left_out: dict[str, float] = {}
    budget = auto.budget_seconds or _BUDGET + _BUDGET_PER_SERIES * series
    while sum(costs.values()) > budget and len(costs) > 1:
        dearest = max(costs, key=lambda one: costs[one])
        left_out[dearest] = costs.pop(dearest)
    kept = tuple(one for label, one in methods.items() if label in costs)
    names = tuple(name for name in ALL if name in costs or (name == "StatsForecast" and kept))
    return Plan(names, kept, left_out)


def _methods(dataset: Dataset, stats: Mapping[str, object]) -> list[Method]:
    asked = asked_methods(stats)
    if asked:
        return list(asked)
    season = frequency_of(dataset.frequency or "D").season
    kinds = {dataset.demand.get(one.name) == "Intermittent" for one in dataset.series}
    found = [one for kind in sorted(kinds) for one in default_methods(intermittent=kind, season=season)]
    return list({one.label: one for one in found}.values())
