"""Which candidates fit into the budget: judged by an estimate before anything runs.

A clock would let the same job choose differently on a busy machine.
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
"""Seconds of one core, where the specification says nothing."""

_STEPS_KEPT: Final = 2_500
_LIGHTGBM_SECONDS: Final = 3.0
_LIGHTGBM_PER_ROW: Final = 5e-4
_PROPHET_PER_FIT: Final = 0.15
_PROPHET_PER_ROW: Final = 7e-4
"""Seconds of one core, as measured on daily and hourly data."""


@dataclass(frozen=True)
class Plan:
    """What takes part.

    Attributes
    ----------
    names
        Of the frameworks.
    methods
        Of StatsForecast.
    left_out
        What does not, with its estimate in seconds of one core.
    """

    names: tuple[Name, ...]
    methods: tuple[Method, ...]
    left_out: Mapping[str, float]


def plan_of(dataset: Dataset, auto: Auto, stats: Mapping[str, object], windows: int) -> Plan:
    """Leave out the dearest until the rest fits; the cheapest always takes part.

    Parameters
    ----------
    stats
        The parameters of StatsForecast.
    windows
        How many windows of a series judge.
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
