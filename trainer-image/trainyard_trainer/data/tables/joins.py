"""Join covariates to the rows of the data, without information from after the time of a row.

A row of a table gets the newest covariate row before its time. A covariate row at the same time only counts if it is
known in the future, because a daily total is not known in the morning. A step of a forecast gets the mean of the
covariate in this step, or in the newest step before. At the origin of a forecast, covariates that are not known in the
future are missing. A framework uses their values from one horizon before, or not at all.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_trainer.data.dataset import CovariateTable, Finding
from trainyard_trainer.data.tables.covariates import KEY, TIME
from trainyard_trainer.data.values.frequency import Frequency

_ROW: Final = "row"


def join_rows(
    times: pd.Series, keys: pd.Series | None, covariates: tuple[CovariateTable, ...]
) -> tuple[pd.DataFrame, list[Finding]]:
    """Return the covariates of each row of a table, by its time. If a covariate has keys, also by its series.

    Parameters
    ----------
    times, keys
        Times (``datetime64[ns]``) and series (text) of each row. A row without a time gets no values.
    """
    columns: dict[str, pd.Series] = {}
    findings: list[Finding] = []
    for covariate in covariates:
        rows = _newest_before(times, keys if covariate.keyed else None, covariate)
        for name in covariate.columns:
            columns[name] = covariate.frame[name].reindex(rows).reset_index(drop=True)
        findings += _lacking(covariate, int((rows < 0).sum()), len(rows))
        findings += _coverage(covariate, times.max())
    return pd.DataFrame(columns, index=range(len(times))), findings


def _newest_before(times: pd.Series, keys: pd.Series | None, covariate: CovariateTable) -> npt.NDArray[np.intp]:
    """Return the position of the covariate row for each row, -1 for none."""
    left = pd.DataFrame({TIME: times.to_numpy("datetime64[ns]"), _ROW: np.arange(len(times))})
    right = pd.DataFrame({TIME: covariate.frame[TIME], "found": np.arange(len(covariate.frame))})
    by = None
    if keys is not None:
        by = KEY
        left[KEY], right[KEY] = keys.astype("string").to_numpy(object), covariate.frame[KEY].to_numpy(object)
    left = left.dropna().sort_values(TIME, kind="stable")
    joined = pd.merge_asof(left, right, on=TIME, by=by, allow_exact_matches=covariate.known_in_future)
    rows = np.full(len(times), -1, dtype=np.intp)
    rows[joined[_ROW].to_numpy()] = joined["found"].fillna(-1).to_numpy(dtype=np.intp)
    return rows


def join_steps(
    times: npt.NDArray[np.datetime64], series: str, frequency: Frequency, covariates: tuple[CovariateTable, ...]
) -> npt.NDArray[np.float64]:
    """Return the covariates of each step of one series.

    Parameters
    ----------
    times
        Ascending ``datetime64[ns]``; shape (rows,).

    Returns
    -------
    Shape (rows, columns of all covariates). NaN before the start of a covariate.
    """
    parts = [np.empty((len(times), 0))]
    steps = _steps(times, times[0], frequency, within=False)
    for covariate in covariates:
        frame = covariate.frame[covariate.frame[KEY] == series] if covariate.keyed else covariate.frame
        values = frame[list(covariate.columns)].to_numpy(dtype=np.float64)
        covariate_steps = _steps(frame[TIME].to_numpy("datetime64[ns]"), times[0], frequency, within=True)
        parts.append(_at_steps(steps, covariate_steps, values))
    return np.concatenate(parts, axis=1)


def _steps(
    times: npt.NDArray[np.datetime64], origin: np.datetime64, frequency: Frequency, *, within: bool
) -> npt.NDArray[np.int64]:
    """Return step numbers, counted from ``origin``.

    With ``within``, a step lasts from its time to the next; else times are rounded.
    """
    if frequency.months:
        return times.astype("datetime64[M]").astype(np.int64) // frequency.months
    since = times.astype(np.int64) - np.int64(origin.astype("datetime64[ns]").astype(np.int64))
    rounding = 0 if within else frequency.nanoseconds // 2
    return (since + rounding) // frequency.nanoseconds


def _at_steps(
    steps: npt.NDArray[np.int64], covariate_steps: npt.NDArray[np.int64], values: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the mean of ``values`` in each step, or in the newest step before."""
    if len(covariate_steps) == 0:
        return np.full((len(steps), values.shape[1]), np.nan)
    distinct, begins = np.unique(covariate_steps, return_index=True)
    known = ~np.isnan(values)
    counts = np.add.reduceat(known, begins, axis=0, dtype=np.int64)
    sums = np.add.reduceat(np.where(known, values, 0.0), begins, axis=0)
    means = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    position = np.searchsorted(distinct, steps, side="right") - 1
    return np.where((position >= 0)[:, None], means[np.maximum(position, 0)], np.nan)


def join_ahead(
    times: npt.NDArray[np.datetime64], series: str, frequency: Frequency, covariates: tuple[CovariateTable, ...]
) -> npt.NDArray[np.float64]:
    """Return the covariates of future steps, as :func:`join_steps` does for past steps.

    After the last row of the covariate's table, the values are NaN.
    """
    values = join_steps(times, series, frequency, covariates)
    steps = _steps(times, times[0], frequency, within=False)
    begin = 0
    for covariate in covariates:
        stop = begin + len(covariate.columns)
        if len(covariate.frame):
            ends = covariate.frame[TIME].to_numpy("datetime64[ns]")[-1:]
            values[steps > _steps(ends, times[0], frequency, within=True), begin:stop] = np.nan
        begin = stop
    return values


def rows_by_series(covariates: tuple[CovariateTable, ...]) -> Callable[[str], tuple[CovariateTable, ...]]:
    """Return a function that returns the covariates with only the rows of one series. The groups are computed once."""
    positions: list[Mapping[str, npt.NDArray[np.intp]] | None] = [
        {str(key): np.asarray(rows) for key, rows in one.frame.groupby(KEY, sort=False).indices.items()}
        if one.keyed
        else None
        for one in covariates
    ]
    no_rows = np.empty(0, dtype=np.intp)

    def of(series: str) -> tuple[CovariateTable, ...]:
        return tuple(
            one if known is None else replace(one, frame=one.frame.iloc[known.get(series, no_rows)])
            for one, known in zip(covariates, positions, strict=True)
        )

    return of


def only_past(covariates: tuple[CovariateTable, ...]) -> list[Finding]:
    """Return a warning for each covariate that is not known in the future."""
    return [
        Finding(
            "CovariateNotKnownInFuture",
            "warning",
            f"covariate {covariate.name!r} is not knownInFuture: LightGBM uses its values from one horizon before",
        )
        for covariate in covariates
        if not covariate.known_in_future
    ]


def coverage(
    covariates: tuple[CovariateTable, ...], values: npt.NDArray[np.float64], end: np.datetime64
) -> list[Finding]:
    """Return findings about missing values of covariates, and about covariates that end before the last step
    ``end``.
    """
    findings: list[Finding] = []
    begin = 0
    for covariate in covariates:
        stop = begin + len(covariate.columns)
        findings += _lacking(covariate, int(np.isnan(values[:, begin:stop]).any(axis=1).sum()), len(values))
        findings += _coverage(covariate, pd.Timestamp(end))
        begin = stop
    return findings


def _lacking(covariate: CovariateTable, lacking: int, rows: int) -> list[Finding]:
    if not lacking:
        return []
    text = f"covariate {covariate.name!r} has no value for {lacking} of {rows} rows; they count as missing"
    return [Finding("CovariateGaps", "warning", text, count=lacking)]


def _coverage(covariate: CovariateTable, needed: pd.Timestamp) -> list[Finding]:
    last = covariate.frame[TIME].max()
    if pd.isna(needed) or (not pd.isna(last) and last >= needed.normalize()):
        return []
    ends, effect = ("is empty", "all its values are missing")
    if not pd.isna(last):
        ends, effect = f"ends on {last.date()}", "its last values are used for later rows"
    text = f"covariate {covariate.name!r} {ends}, but {needed.date()} is needed; {effect}"
    return [Finding("CovariateEnds", "warning", text)]
