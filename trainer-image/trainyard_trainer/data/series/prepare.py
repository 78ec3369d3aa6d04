"""Prepare time series: sort a table of many series into slices, and check each before training."""

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_api.data import Data, DataValidation
from trainyard_api.training import Forecast, Split
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_trainer.data.dataset import Clock, CovariateTable, Dataset, Finding, Series, Static, Table
from trainyard_trainer.data.series.checks import SortedRows, judge, require_enough
from trainyard_trainer.data.series.demand import demand_classes
from trainyard_trainer.data.series.future import check_reach, covariates_ahead
from trainyard_trainer.data.series.own_features import own_features
from trainyard_trainer.data.series.static import static_of
from trainyard_trainer.data.tables.joins import coverage, join_steps, only_past, rows_by_series
from trainyard_trainer.data.tables.splits import digest_of
from trainyard_trainer.data.values.columns import codes_by_name, notes_of, read_target, target_numbers, without_sentinel
from trainyard_trainer.data.values.frequency import Frequency, detect_frequency, frequency_of, opened_in
from trainyard_trainer.data.values.times import parse_times, read_times
from trainyard_trainer.data.values.zones import by_clock, clock_of
from trainyard_trainer.errors import ConfigError, DataError

ONLY_SERIES: Final = "all"
"""The name of the single series of a table without a series column."""


def prepare_series(table: Table, spec: TrainingJobSpec) -> Dataset:
    """Sort and check the series, and hold out their last rows.

    The holdout of a series is its last ``forecast.horizon`` steps, as in a later forecast, but at most
    ``split.testFraction`` of its rows.

    Raises
    ------
    DataError
        If times or targets cannot be read, if fewer than ``minSeries`` series are usable, or if more than
        ``maxFailedRatio`` of them fail.
    """
    if spec.forecast is None:
        raise ConfigError("task Forecast needs spec.forecast (at least forecast.horizon)")
    findings: list[Finding] = list(table.findings)
    rows, clock, own, static = _sorted_rows(table, spec, findings)
    frequency = _frequency(spec, spec.forecast, rows, clock, findings)
    clock = replace(clock, opening=frequency.alias if frequency.opening is not None else "")
    validation = spec.data.validation or DataValidation()
    kept, failures = judge(rows, validation, frequency, spec.forecast.horizon, findings)
    require_enough(len(rows.names), len(kept), failures, spec.data)
    frame, series = _slices(rows, kept, frequency, spec.forecast.horizon, spec.split or Split())
    _note_short_holdouts(series, spec.forecast.horizon, findings)
    check_reach(frame["ds"].to_numpy().max(), spec.forecast.horizon, frequency)
    covariates = tuple(covariate.by(lambda times: by_clock(times, clock)) for covariate in (*own, *table.covariates))
    covariates, sentinels = _without_sentinels(covariates, spec.data, findings)
    usable = tuple(one for one in covariates if one.known_in_future)
    frame, features = _with_covariates(frame, series, frequency, usable, findings)
    frame, lagged = _with_covariates(
        frame, series, frequency, tuple(one for one in covariates if not one.known_in_future), findings
    )
    findings += only_past(table.covariates)
    ahead, warnings = covariates_ahead(frame, series, frequency, spec.forecast.horizon, usable)
    findings += warnings
    return Dataset(
        task="Forecast",
        frame=frame,
        target="y",
        features=features,
        findings=tuple(findings),
        origin=table.origin,
        holdout_digest=_holdout_digest(frame, series),
        rows=len(frame),
        series=series,
        series_total=len(rows.names),
        frequency=frequency.alias,
        clock=clock,
        demand=demand_classes({one.name: frame["y"].to_numpy()[one.start : one.split] for one in series}),
        ahead=ahead,
        sentinels=sentinels,
        lagged=lagged,
        static=static,
    )


def _sorted_rows(
    table: Table, spec: TrainingJobSpec, findings: list[Finding]
) -> tuple[SortedRows, Clock, tuple[CovariateTable, ...], Static]:
    data, frame = spec.data, table.frame
    if data.time is None:
        raise ConfigError("task Forecast needs data.time")
    codes, names = _series_codes(frame, data.series)
    target = read_target(frame[data.target], data.target, table.notation)
    findings += notes_of(target, data.target)
    values, no_numbers = without_sentinel(target.values, data.target, data, findings)[0], target.bad
    read = read_times(frame[data.time], data.time, data.time_zone, codes, data.time_format)
    times, no_times = read.instants, read.bad
    findings.extend(read.findings)
    spoiled = {
        **_spoiled(codes, no_numbers, frame[data.target], "UnparsableTarget", "is not a number"),
        **_spoiled(codes, no_times, frame[data.time], "UnparsableTimes", "is not a time"),
    }
    if len(spoiled) == len(names):  # if all series have such values, the strict readers raise an error with advice
        target_numbers(frame[data.target], data.target, table.notation)
        parse_times(frame[data.time], data.time, data.time_zone, data.time_format)
    clock = replace(clock_of(times, data.time_zone), form=read.form)
    instants = by_clock(times, clock).to_numpy(dtype="datetime64[ns]")
    if clock.zone is not None:
        how = "are days" if clock.wall else "are stored in UTC; times without an offset are read as times"
        findings.append(Finding("TimeZone", "info", f"times {how} of {clock.zone}"))
    missing_time, missing_value, nameless = np.isnat(instants), np.isnan(values), codes < 0
    own, ahead = own_features(table, data, times, codes, names, ~missing_value, findings)
    for code, column, missing in (
        ("MissingTime", data.time, missing_time & ~no_times),
        ("MissingTarget", data.target, missing_value & ~no_numbers & ~ahead),
        ("MissingSeries", data.series, nameless),
    ):
        if missing.any():
            text = f"{int(missing.sum())} rows without a value in {column!r} were left out"
            findings.append(Finding(code, "warning", text, count=int(missing.sum())))
    rows = np.flatnonzero(~(missing_time | missing_value | nameless))
    if len(rows) == 0:
        raise DataError(
            f"no row has both a time in column {data.time!r} (data.time) and a number in column {data.target!r} "
            "(data.target); check the columns' names"
        )
    rows = rows[np.lexsort((instants[rows], codes[rows]))]
    sizes = np.bincount(codes[rows], minlength=len(names))
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.intp)
    static = static_of(table, data, rows, codes, names, findings)
    return SortedRows(names, starts, instants[rows], values[rows], spoiled), clock, own, static


def _spoiled(
    codes: npt.NDArray[np.intp], bad: npt.NDArray[np.bool_], column: pd.Series, code: str, what: str
) -> dict[int, Finding]:
    """Return the reason for each series that fails because of unreadable values, by its number."""
    rows = np.flatnonzero(bad & (codes >= 0))
    numbers, first, counts = np.unique(codes[rows], return_index=True, return_counts=True)
    found: dict[int, Finding] = {}
    for number, row, count in zip(numbers, rows[first], counts, strict=True):
        text = f"data row {row + 1}: {str(column.iloc[row])!r} {what}"
        found[int(number)] = Finding(code, "error", text, count=int(count))
    return found


def _series_codes(frame: pd.DataFrame, column: str | None) -> tuple[npt.NDArray[np.intp], tuple[str, ...]]:
    if column is None:
        return np.zeros(len(frame), dtype=np.intp), (ONLY_SERIES,)
    return codes_by_name(frame[column])


def _frequency(
    spec: TrainingJobSpec, asked: Forecast, rows: SortedRows, clock: Clock, findings: list[Finding]
) -> Frequency:
    may_close = asked.calendar == "Auto"
    if asked.frequency != "Auto":
        frequency = opened_in(frequency_of(asked.frequency), clock)
    elif (found := detect_frequency(rows.times, rows.same_series, may_close=may_close, clock=clock)) is not None:
        frequency = found
    else:
        raise DataError(
            f"no series has two different times in column {spec.data.time!r} (data.time); check data.time and "
            "data.series, or set forecast.frequency"
        )
    closed = f"; {frequency.opening.describe()}" if frequency.opening is not None else ""
    text = f"frequency {frequency.alias}, season of {frequency.season} steps{closed}"
    findings.append(Finding("Frequency", "info", text))
    return frequency


def _slices(
    rows: SortedRows, kept: dict[int, npt.NDArray[np.intp]], frequency: Frequency, horizon: int, split: Split
) -> tuple[pd.DataFrame, tuple[Series, ...]]:
    series: list[Series] = []
    start = 0
    for number, positions in kept.items():
        stop = start + len(positions)
        ordinals = frequency.ordinals(rows.times[positions])
        within = int((ordinals > ordinals[-1] - horizon).sum())
        holdout = max(1, min(within, round(len(positions) * split.test_fraction)))
        series.append(Series(rows.names[number], start, stop, holdout))
        start = stop
    order = np.concatenate(list(kept.values()))
    frame = pd.DataFrame({"ds": rows.times[order], "y": rows.values[order]}, copy=False)
    return frame, tuple(series)


def _without_sentinels(
    covariates: tuple[CovariateTable, ...], data: Data, findings: list[Finding]
) -> tuple[tuple[CovariateTable, ...], dict[str, float]]:
    """Return the covariates with sentinels replaced by NaN, and the sentinels by column."""
    clean, sentinels = [], {}
    for covariate in covariates:
        changed = {}
        for name in covariate.columns:
            values, sentinel = without_sentinel(covariate.frame[name].to_numpy(np.float64), name, data, findings)
            if sentinel is not None:
                changed[name], sentinels[name] = values, sentinel
        clean.append(replace(covariate, frame=covariate.frame.assign(**changed)) if changed else covariate)
    return tuple(clean), sentinels


def _with_covariates(
    frame: pd.DataFrame,
    series: tuple[Series, ...],
    frequency: Frequency,
    covariates: tuple[CovariateTable, ...],
    findings: list[Finding],
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the frame with the covariates, and their names."""
    names = tuple(name for covariate in covariates for name in covariate.columns)
    if not names:
        return frame, ()
    times, rows_of = frame["ds"].to_numpy(), rows_by_series(covariates)
    values = np.concatenate(
        [join_steps(times[one.start : one.stop], one.name, frequency, rows_of(one.name)) for one in series], axis=0
    )
    findings += coverage(covariates, values, times.max())
    return frame.assign(**{name: values[:, number] for number, name in enumerate(names)}), names


def _note_short_holdouts(series: tuple[Series, ...], horizon: int, findings: list[Finding]) -> None:
    short = [one for one in series if one.holdout < horizon]
    if short:
        least = min(one.holdout for one in short)
        text = f"{len(short)} series hold out fewer rows than the horizon of {horizon} steps (the fewest: {least})"
        findings.append(Finding("ShortHoldout", "info", text, count=len(short)))


def _holdout_digest(frame: pd.DataFrame, series: tuple[Series, ...]) -> str:
    positions = np.concatenate([np.arange(one.split, one.stop) for one in series])
    names = np.repeat(np.array([one.name for one in series], dtype=object), [one.holdout for one in series])
    return digest_of(frame[["ds", "y"]].iloc[positions].assign(series=names))
