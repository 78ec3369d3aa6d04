"""The known covariates of the steps after the end of each series, computed while the covariate tables are in memory."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_trainer.data.dataset import CovariateTable, Finding, Series
from trainyard_trainer.data.tables.joins import join_ahead, rows_by_series
from trainyard_trainer.data.values.frequency import Frequency
from trainyard_trainer.data.values.times import LAST_DAY
from trainyard_trainer.errors import ConfigError

Floats = npt.NDArray[np.float64]

_DAYS_PER_MONTH: Final = 30.5
_NANOSECONDS_PER_DAY: Final = 86_400e9


def check_reach(newest: np.datetime64, horizon: int, frequency: Frequency) -> None:
    """Check that the horizon ends before the last valid time. Otherwise its times would overflow without an error.

    Raises
    ------
    ConfigError
        If it does not. The message names the field and the solution.
    """
    days = frequency.nanoseconds / _NANOSECONDS_PER_DAY
    if frequency.months:
        days = frequency.months * _DAYS_PER_MONTH
    elif frequency.opening is not None:
        days = 7 / frequency.opening.per_week + 0.1
    if horizon * days > (LAST_DAY - newest.astype("datetime64[D]")).astype(int):
        raise ConfigError(
            f"spec.forecast.horizon {horizon}: the horizon, in steps of {frequency.alias} from "
            f"{pd.Timestamp(newest).date()}, ends after {LAST_DAY}, the last supported day; set a shorter horizon"
        )


def covariates_ahead(
    frame: pd.DataFrame,
    series: tuple[Series, ...],
    frequency: Frequency,
    horizon: int,
    covariates: tuple[CovariateTable, ...],
) -> tuple[Mapping[str, Floats], list[Finding]]:
    """Return the covariates of the horizon after each series, and a warning for each that ends earlier.

    Parameters
    ----------
    frame
        Frame with the times of all rows in ``ds``.
    covariates
        The covariates that are known in the future, by the clock of ``frame``.

    Returns
    -------
    By the name of the series, the values with shape (horizon, columns of all covariates), NaN if unknown; and the
    findings.
    """
    if not covariates:
        return {}, []
    rows_of = rows_by_series(covariates)
    times = frequency.after(frame["ds"].to_numpy()[[one.stop - 1 for one in series]], horizon)
    found = {
        one.name: join_ahead(ahead, one.name, frequency, rows_of(one.name))
        for one, ahead in zip(series, times, strict=True)
    }
    gaps = sum(np.isnan(values).sum(axis=0) for values in found.values())
    return found, _lacking(covariates, np.asarray(gaps), len(series) * horizon, times.max())


def _lacking(
    covariates: tuple[CovariateTable, ...], gaps: npt.NDArray[np.int64], steps: int, last: np.datetime64
) -> list[Finding]:
    findings = []
    begin = 0
    for covariate in covariates:
        stop = begin + len(covariate.columns)
        missing = int(gaps[begin:stop].max())
        if missing:
            text = (
                f"covariate {covariate.name!r} has no value for {missing} of {steps} steps of the forecast, so these "
                f"values count as missing; add rows up to {pd.Timestamp(last).date()}"
            )
            findings.append(Finding("CovariateEndsEarly", "warning", text, count=missing))
        begin = stop
    return findings
