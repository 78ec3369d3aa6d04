"""Public holidays by country, as a feature of steps. Their library is imported only if a job names a country."""

import functools

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_trainer.errors import ConfigError


def check_country(country: str | None) -> None:
    """Raise ConfigError for a country without known holidays."""
    if country is None:
        return
    import holidays

    try:
        holidays.country_holidays(country)
    except NotImplementedError as error:
        raise ConfigError(f"spec.forecast.holidaysCountry {country} has no known holidays; leave it out") from error


def is_holiday(times: pd.DatetimeIndex, country: str) -> npt.NDArray[np.float32]:
    """Return 1 for times, by the clock of the country, on one of its public holidays, else 0; shape (times,)."""
    if len(times) == 0:
        return np.empty(0, dtype=np.float32)
    days = times.tz_localize(None).normalize()
    return np.asarray(days.isin(_days_of(country, int(days.year.min()), int(days.year.max()))), dtype=np.float32)


@functools.cache
def _days_of(country: str, first_year: int, last_year: int) -> pd.DatetimeIndex:
    import holidays

    known = holidays.country_holidays(country, years=range(first_year, last_year + 1))
    return pd.DatetimeIndex([pd.Timestamp(day) for day in known])
