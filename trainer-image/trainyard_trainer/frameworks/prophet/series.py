"""Prophet on the rows of one series: built by their span and step, fitted, asked, saved. Imported on the first fit."""

import json
import logging
import math
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import zstandard

from trainyard_trainer.data.dataset import DemandClass
from trainyard_trainer.data.values.frequency import Frequency
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.search.space import Space

Times = npt.NDArray[np.datetime64]
Kind = Literal["prophet", "seasonal-naive", "tsb", "imapa"]
"""What answers for a series, by the name in its record."""

FLAT_BELOW_DAYS: Final = 180
"""Over a shorter span a season looks like a trend, and the forecast runs away with it."""

YEARLY_FROM_DAYS: Final = 365
WEEKLY_FROM_DAYS: Final = 14
DAILY_FROM_DAYS: Final = 2
_MAX_ORDERS: Final = {"yearly": 10, "weekly": 3, "daily": 4}
"""Prophet's own numbers of Fourier terms; a season of few steps carries fewer."""


@dataclass(frozen=True)
class SearchPlan:
    """What the searches of all series have in common.

    Attributes
    ----------
    deadline
        By the monotonic clock, which all processes of the machine share.
    workers
        How many searches run side by side until then.
    """

    space: Space
    deadline: float
    workers: int


@dataclass(frozen=True)
class FitSpec:
    """What is the same for all series of a job.

    Attributes
    ----------
    parameters
        Of Prophet's constructor, over our rules.
    work_dir
        Of files that live as long as a fit.
    horizon, folds
        Rolling origins before the holdout: steps of each, and how many at most.
    metric
        What is compared on them.
    levels
        Of the quantiles that are asked for.
    alone
        Whether nothing may replace Prophet but where it cannot be fitted: somebody else compares.
    """

    frequency: str
    parameters: Mapping[str, Any]
    holidays_country: str | None
    seed: int
    work_dir: str
    horizon: int = 1
    folds: int = 0
    metric: str = "mae"
    levels: tuple[float, ...] = ()
    search: SearchPlan | None = None
    alone: bool = False


@dataclass(frozen=True)
class Task:
    """The rows of one series (``times`` ascending, same length as ``values``); the last ``holdout`` rows judge.

    Attributes
    ----------
    golden
        So many holdout rows are answered by the kept model too, before it is saved.
    regressors
        One column per covariate; NaN where a value is missing.
    trials
        At most so many parameter sets are tried.
    share
        The trials of this series and of all behind it, per trial of this one: its share of the time that is left.
    previous
        What the search for the model's last version found.
    """

    name: str
    times: Times
    values: Floats
    holdout: int
    golden: int
    fit_spec: FitSpec
    regressors: Floats | None = None
    demand: DemandClass = "High"
    trials: int = 0
    share: float = 1.0
    previous: Mapping[str, Any] = field(default_factory=dict)

    def beside(self, rows: slice) -> Floats | None:
        """Return the regressors of these rows."""
        return None if self.regressors is None else self.regressors[rows]


@dataclass(frozen=True)
class Fitted:
    """A fitted Prophet, and what counts where a regressor has no value: its mean over the rows fitted on."""

    model: Any
    fills: tuple[float, ...] = ()


def seasonalities(span_days: float, frequency: Frequency) -> dict[str, Any]:
    """Return growth and seasonalities by the span and the step of a series.

    Prophet's own rule turns the yearly season off below two years, and then takes a summer for a trend: on 50 bakery
    products of 20 months the mean error falls from 17.9 to 5.1 with it on.
    """

    def order(season: str, steps: float, from_days: float) -> int | bool:
        terms = min(_MAX_ORDERS[season], math.floor(steps / 2))
        return terms if span_days >= from_days and terms >= 1 else False

    return {
        "growth": "flat" if span_days < FLAT_BELOW_DAYS else "linear",
        "yearly_seasonality": order("yearly", frequency.per_year, YEARLY_FROM_DAYS),
        "weekly_seasonality": order("weekly", frequency.per_year / 52, WEEKLY_FROM_DAYS),
        "daily_seasonality": order("daily", frequency.per_year / 365.25, DAILY_FROM_DAYS),
    }


def quiet_prophet() -> Any:
    """Import Prophet and return its package, without its plots, and what it and CmdStan would print."""
    # At import, Prophet reports the missing libraries of its plots as errors; nobody here asks for plots.
    logging.getLogger("prophet.plot").setLevel(logging.CRITICAL)
    with _without("matplotlib"):
        import prophet
        import prophet.make_holidays
        import prophet.serialize

    logging.getLogger("prophet").setLevel(logging.ERROR)
    # It sets its own level on its first use, so that a level set here would not last. Its errors come as exceptions.
    logging.getLogger("cmdstanpy").disabled = True
    return prophet


@contextmanager
def _without(package: str) -> Iterator[None]:
    """Let an import find a package missing, unless it is there already. Matplotlib is half of Prophet's import."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = cast("Any", None)  # what Python takes for "not installed"
    try:
        yield
    finally:
        del sys.modules[package]


def build(parameters: Mapping[str, Any], holidays_country: str | None) -> Any:
    """Return an unfitted Prophet. Raises what its constructor raises for wrong values."""
    model = quiet_prophet().Prophet(**{"uncertainty_samples": 0, **parameters})
    if holidays_country:
        model.add_country_holidays(holidays_country)
    return model


def fit(task: Task, rows: slice, frequency: Frequency, parameters: Mapping[str, Any]) -> Fitted:
    """Fit Prophet to some rows; ``parameters`` go over those of the job. Raises whatever Prophet raises."""
    fit_spec, times = task.fit_spec, task.times[rows]
    span_days = float((times[-1] - times[0]) / np.timedelta64(1, "D"))
    wanted = {**seasonalities(span_days, frequency), **fit_spec.parameters, **parameters}
    model = build(wanted, fit_spec.holidays_country)
    beside = task.beside(rows)
    fills = () if beside is None else tuple(_mean_of_known(column) for column in beside.T)
    for number in range(len(fills)):
        model.add_regressor(_regressor(number))
    table = _table(times, beside, fills).assign(y=task.values[rows])
    # Without a folder of its own, CmdStan leaves two files per fit until the process ends.
    with tempfile.TemporaryDirectory(prefix="stan-", dir=fit_spec.work_dir) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.stan_backend.model = FilesWritten(model.stan_backend.model, Path(folder))
        model.fit(table, seed=fit_spec.seed, output_dir=folder)
    # Prophet saves its arguments too; the folder is gone, and its name would make every file differ.
    model.fit_kwargs = {"seed": fit_spec.seed}
    return Fitted(model, fills)


class FilesWritten:
    """CmdStan, given files instead of numbers: to write them takes its own interface a third of a fit."""

    def __init__(self, model: Any, folder: Path) -> None:
        self._model, self._folder = model, folder

    def optimize(self, *, data: Mapping[str, Any], inits: Mapping[str, Any], **options: Any) -> Any:
        """Do as ``CmdStanModel.optimize``."""
        files = self._write("data", data), self._write("inits", inits)
        return self._model.optimize(data=files[0], inits=files[1], **options)

    def _write(self, name: str, values: Mapping[str, Any]) -> str:
        path = self._folder / f"{name}.json"
        path.write_text(json.dumps(values, default=_plain))
        return str(path)


def _plain(value: np.generic) -> Any:
    return value.item()


def _regressor(number: int) -> str:
    """Return the name of a regressor inside of Prophet, which reserves many: the user's stand in the index."""
    return f"regressor_{number}"


def _mean_of_known(column: Floats) -> float:
    known = column[~np.isnan(column)]
    return float(known.mean()) if len(known) else 0.0


def _table(times: Times, regressors: Floats | None, fills: tuple[float, ...]) -> pd.DataFrame:
    table = pd.DataFrame({"ds": times})
    for number, fill in enumerate(fills):
        column = np.full(len(times), np.nan) if regressors is None else regressors[:, number]
        table[_regressor(number)] = np.where(np.isnan(column), fill, column)
    return table


def question(fitted: Fitted, times: Times, regressors: Floats | None) -> pd.DataFrame:
    """Return the table that Prophet is asked with; see :func:`forecast_at`."""
    return _table(times, regressors, fitted.fills)


def forecast_at(fitted: Fitted, times: Times, regressors: Floats | None, *, floor: float | None) -> Floats:
    """Return Prophet's forecasts at ``times``, in their order; shape (times,).

    ``regressors`` has the shape (times, regressors of the model); NaN counts as the mean of the training.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = fitted.model.predict(question(fitted, times, regressors))
    # predict sorts by time.
    forecast = np.empty(len(times))
    forecast[np.argsort(times, kind="stable")] = table["yhat"].to_numpy()
    return forecast if floor is None else np.maximum(forecast, floor)


def prophet_record(fitted: Fitted, floor: float | None) -> dict[str, Any]:
    """Return what is saved of a model; Prophet's own JSON is text under ``model``."""
    from prophet.serialize import model_to_json

    return {
        "kind": "prophet",
        "floor": floor,
        "fills": fitted.fills,
        "model": model_to_json(fitted.model),
    }


def read_prophet(record: Mapping[str, Any]) -> Fitted:
    """Return the model of a record."""
    model = quiet_prophet().serialize.model_from_json(record["model"])
    return Fitted(model, tuple(record.get("fills", ())))


def floor_of(values: Floats) -> float | None:
    """Return 0 where no value is negative: demand and counts are never forecast below it."""
    return 0.0 if values.min() >= 0 else None


def read_record(compressed: bytes) -> dict[str, Any]:
    """Return a record as it was before :func:`write_record`."""
    record: dict[str, Any] = json.loads(zstandard.decompress(compressed))
    return record


def write_record(series: str, record: Mapping[str, Any]) -> bytes:
    """Return the record of a series as one compressed frame: a line of JSON."""
    return zstandard.compress((json.dumps({"series": series, **record}) + "\n").encode(), 9)
