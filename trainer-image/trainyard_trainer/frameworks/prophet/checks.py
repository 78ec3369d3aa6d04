"""Checks of the settings for Prophet before any data is read: names, values and search space."""

import difflib
import inspect
import tempfile
from collections.abc import Collection, Mapping
from typing import Any, Final

import numpy as np

from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_trainer.errors import ConfigError
from trainyard_trainer.frameworks.prophet.choice import fit_series
from trainyard_trainer.frameworks.prophet.series import FitSpec, Task, build, quiet_prophet
from trainyard_trainer.search.space import Space, parse

_NOT_SETTABLE: Final = {
    "holidays": "use spec.forecast.holidaysCountry",
    "stan_backend": "it cannot be changed",
    "mcmc_samples": "sampling is not supported",
    "uncertainty_samples": "intervals come from spec.forecast.quantiles",
}

_SPACE: Final[Mapping[str, Any]] = {
    "changepoint_prior_scale": {"type": "Float", "low": 0.001, "high": 0.5, "log": True, "default": 0.05},
    "seasonality_prior_scale": {"type": "Float", "low": 0.01, "high": 10.0, "log": True, "default": 10.0},
    "seasonality_mode": {"choices": ["additive", "multiplicative"], "default": "additive"},
}
_HOLIDAYS: Final = {"holidays_prior_scale": {"type": "Float", "low": 0.01, "high": 10.0, "log": True, "default": 10.0}}


def check_prophet(spec: TrainingJobSpec) -> None:
    """Check parameters, country and search. Prophet validates the values on a few synthetic rows.

    Raises
    ------
    ConfigError
        If a setting is invalid. The message names the field and a valid value.
    """
    parameters = spec.parameters or {}
    country = spec.forecast.holidays_country if spec.forecast is not None else None
    _check_names(parameters, "spec.parameters")
    if spec.search is not None:
        _check_names(spec.search.space or {}, "spec.search.space")
        space_of(spec)
    _check_country(country)
    _try_out(parameters)


def space_of(spec: TrainingJobSpec) -> Space:
    """Return ``spec.search.space``, or else the default space, without parameters that ``spec.parameters`` sets.

    Raises
    ------
    ConfigError
        If the space is invalid, or if nothing is left.
    """
    own = spec.search.space if spec.search is not None else None
    has_holidays = spec.forecast is not None and spec.forecast.holidays_country is not None
    words = own or {**_SPACE, **(_HOLIDAYS if has_holidays else {})}
    free = {name: word for name, word in words.items() if name not in (spec.parameters or {})}
    if not free:
        raise ConfigError(
            f"spec.parameters sets all parameters of spec.search ({', '.join(sorted(words))}); leave one of both out"
        )
    return parse(free)


def _check_names(names: Collection[str], field: str) -> None:
    if not names:
        return  # without an import of Prophet
    known = set(inspect.signature(quiet_prophet().Prophet).parameters) - set(_NOT_SETTABLE)
    for name in names:
        if name in _NOT_SETTABLE:
            raise ConfigError(f"{field}.{name} cannot be set for Prophet: {_NOT_SETTABLE[name]}; leave it out")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=2)
            hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(sorted(known))}"
            raise ConfigError(f"{field}.{name} is not a parameter of Prophet; {hint}")


def _check_country(country: str | None) -> None:
    if country is None:
        return
    try:
        build({}, country)
    except (AttributeError, NotImplementedError, ValueError) as error:
        raise ConfigError(f"spec.forecast.holidaysCountry {country} has no known holidays; leave it out") from error


def _try_out(parameters: Mapping[str, Any]) -> None:
    """Fit sixty synthetic rows. Otherwise, a value that Prophet rejects would make every series fail."""
    if not parameters:
        return
    if parameters.get("growth") == "logistic":
        raise ConfigError(
            "spec.parameters.growth logistic needs a cap in each row, which spec.data does not support; use linear"
        )
    times = np.arange("2024-01-01", "2024-03-01", dtype="datetime64[D]").astype("datetime64[ns]")
    # With noise, because CmdStan takes seconds to fit data without errors.
    values = np.linspace(10.0, 20.0, len(times)) + np.random.default_rng(0).standard_normal(len(times))
    with tempfile.TemporaryDirectory() as folder:
        outcome = fit_series(Task("trial", times, values, 7, 0, FitSpec("D", dict(parameters), None, 0, folder)))
    refusal = outcome.failures.get("prophet")
    if refusal is not None:
        raise ConfigError(f"spec.parameters: Prophet refused a value: {refusal}")
