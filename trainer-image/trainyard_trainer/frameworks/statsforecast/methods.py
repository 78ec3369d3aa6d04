"""The supported methods of statsforecast, their arguments, and the default methods.

This module is fast to import. statsforecast takes seconds, and only the processes that fit need it.
"""

import difflib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from trainyard_trainer.errors import ConfigError
from trainyard_trainer.evaluate.metrics import Floats

SECONDS_PER_STEP: Final[Mapping[str, float]] = {
    "AutoARIMA": 8e-3,
    "AutoTBATS": 3e-3,
    "TBATS": 1e-3,
    "AutoMFLES": 1.3e-3,
    "AutoETS": 8e-4,
    "AutoTheta": 2e-4,
    "MSTL": 2e-4,
    "DynamicOptimizedTheta": 1.2e-4,
    "OptimizedTheta": 1.2e-4,
    "MFLES": 1e-4,
    "AutoCES": 8e-5,
    "HoltWinters": 1e-4,
    "Holt": 5e-5,
    "DynamicTheta": 4e-5,
    "Theta": 4e-5,
    "SimpleExponentialSmoothingOptimized": 1e-5,
    "SeasonalExponentialSmoothingOptimized": 1e-5,
    "CrostonClassic": 1e-6,
    "CrostonOptimized": 1e-6,
    "CrostonSBA": 1e-6,
    "ADIDA": 1e-6,
    "IMAPA": 1e-6,
    "TSB": 1e-6,
    "Naive": 1e-6,
    "SeasonalNaive": 1e-6,
    "RandomWalkWithDrift": 1e-6,
    "HistoricAverage": 1e-6,
    "WindowAverage": 1e-6,
    "SeasonalWindowAverage": 1e-6,
}
"""Estimated seconds of one core per step of a series for one fit, measured on daily and hourly data."""

_STEADY: Final = (
    *("AutoETS", "DynamicOptimizedTheta", "AutoCES", "MSTL", "MFLES"),
    *("SeasonalNaive", "Naive", "RandomWalkWithDrift"),
)
_INTERMITTENT: Final = (
    *("CrostonOptimized", "CrostonSBA", "TSB", "IMAPA", "ADIDA"),
    *("DynamicOptimizedTheta", "SeasonalNaive", "HistoricAverage"),
)
_ONLY_SEASONAL: Final = frozenset({"MSTL", "MFLES", "SeasonalNaive"})
"""Methods that need a season. Without one, they fail or are equal to another method."""

_SEVERAL_SEASONS: Final = frozenset({"MSTL", "MFLES", "AutoMFLES", "TBATS", "AutoTBATS"})
_USUAL: Final[Mapping[str, Any]] = {"alpha_d": 0.1, "alpha_p": 0.1, "window_size": 4, "test_size": 1}
"""Required arguments of methods that have no default."""

_NAMES: Final = frozenset({"models", "input_size"})
_CYCLES: Final = 3
"""Minimum number of cycles in the data for the decomposition of a season."""

_TRIED: Final = 42


@dataclass(frozen=True)
class Method:
    """A class of ``statsforecast.models``, and the user's arguments."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The name in reports."""
        return str(self.arguments.get("alias", self.name))

    def as_json(self) -> Any:
        """Return the method in the form of ``spec.parameters.models``."""
        return {self.name: dict(self.arguments)} if self.arguments else self.name

    def forecast(self, values: Floats, steps: int, season: int, seasons: Sequence[int]) -> Floats:
        """Fit to the values of a series, without gaps, and return its next steps; shape (steps,).

        Raises
        ------
        ValueError
            If the forecast is not finite, or is far outside of the range of the series.
        Exception
            Any error of statsforecast.
        """
        from statsforecast import models

        make = getattr(models, self.name)
        settings = {
            **self._settings(make, season, [one for one in seasons if one * _CYCLES <= len(values)]),
            **self.arguments,
        }
        found = np.asarray(make(**settings).forecast(y=values, h=steps)["mean"], dtype=np.float64)
        if not np.isfinite(found).all():
            raise ValueError("the forecast is not finite")
        low, high = values.min(), values.max()
        margin = _FAR * (high - low) + np.abs(values).max()
        if found.min() < low - margin or found.max() > high + margin:
            raise ValueError("the forecast is far outside the range of the series")
        return np.maximum(found, 0.0) if low >= 0 else found

    def _settings(self, make: Any, season: int, seasons: list[int]) -> dict[str, Any]:
        needed = inspect.signature(make).parameters
        settings = {name: value for name, value in _USUAL.items() if name in needed}
        settings = {name: value for name, value in settings.items() if needed[name].default is inspect.Parameter.empty}
        if "season_length" in needed:
            several = self.name in _SEVERAL_SEASONS and len(seasons) > 1
            settings["season_length"] = seasons if several else season
        return settings


_FAR: Final = 10
"""Limit of the distance of a forecast from the series, as a multiple of its range and of its size."""


def default_methods(*, intermittent: bool, season: int) -> tuple[Method, ...]:
    """Return the methods to try if ``spec.parameters.models`` is not set."""
    names = _INTERMITTENT if intermittent else _STEADY
    return tuple(Method(name) for name in names if season > 1 or name not in _ONLY_SEASONAL)


def seconds_of(methods: Sequence[Method], steps: int, fits: int) -> float:
    """Return the estimated seconds of one core for this many fits of some methods to this many steps."""
    return sum(SECONDS_PER_STEP[one.name] for one in methods) * steps * fits


def asked_methods(parameters: Mapping[str, Any]) -> tuple[Method, ...]:
    """Return the methods in ``spec.parameters.models``, or none if it is not set. Raises ConfigError."""
    wanted = parameters.get("models")
    if wanted is None:
        return ()
    if not isinstance(wanted, list) or not wanted:
        raise ConfigError(
            "spec.parameters.models must be a list of methods such as [AutoETS, SeasonalNaive], or left out"
        )
    found = tuple(_method(one) for one in wanted)
    labels = [one.label for one in found]
    twice = [label for label in labels if labels.count(label) > 1]
    if twice:
        raise ConfigError(f"spec.parameters.models contains {twice[0]} twice; give one of them another alias")
    return found


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Check ``spec.parameters``. statsforecast validates the arguments on a few synthetic rows.

    Raises
    ------
    ConfigError
        If it is invalid. The message names the field and a valid value.
    """
    for name in parameters:
        if name not in _NAMES:
            near = difflib.get_close_matches(name, _NAMES, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConfigError(
                f"spec.parameters.{name} is unknown: framework StatsForecast has models and input_size{hint}"
            )
    size = parameters.get("input_size")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
        raise ConfigError(f"spec.parameters.input_size {size!r} must be a number of steps, at least 1")
    for one in asked_methods(parameters):
        if one.arguments:
            _try_out(one)


def _method(wanted: Any) -> Method:
    arguments: Any = None
    if isinstance(wanted, str):
        name = wanted
    elif isinstance(wanted, dict) and len(wanted) == 1:
        ((name, arguments),) = wanted.items()
    else:
        raise ConfigError(
            f"spec.parameters.models: {wanted!r} must be the name of a method, or one name with its arguments, such as "
            "{AutoETS: {model: ZZA}}"
        )
    if name not in SECONDS_PER_STEP:
        near = difflib.get_close_matches(str(name), SECONDS_PER_STEP, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"spec.parameters.models: there is no method {name!r} among {', '.join(SECONDS_PER_STEP)}{hint}"
        )
    if arguments is not None and not isinstance(arguments, dict):
        raise ConfigError(f"spec.parameters.models: the arguments of {name} must map names to values")
    return Method(name, arguments or {})


def _try_out(method: Method) -> None:
    day = np.arange(_TRIED, dtype=np.float64)
    values = 20 + np.sin(day) + 3 * (day % 7 == 0)
    try:
        method.forecast(values, 2, 7, (7,))
    except Exception as error:
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ConfigError(f"spec.parameters.models: {method.name} does not accept its arguments: {text}") from error
