"""Time series: one table of many series becomes sorted slices, each judged on its own before anything is fitted."""

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_api.data import Data, DataValidation
from trainyard_api.training import Split
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_trainer.data.columns import codes_by_name, target_numbers
from trainyard_trainer.data.frequency import Frequency, detect_frequency, frequency_of
from trainyard_trainer.data.joins import coverage, join_steps, usable_ahead
from trainyard_trainer.data.splits import digest_of
from trainyard_trainer.data.times import parse_times
from trainyard_trainer.errors import ConfigError, DataError
from trainyard_trainer.frameworks.base import CovariateTable, Dataset, Finding, Series, Table

ONLY_SERIES: Final = "all"
"""The name of the one series of a table without a series column."""

_ADVICE: Final = {
    "AllZero": "there is nothing to learn, name another column or give other data",
    "TooManyZeros": "raise the limit if so many are right",
    "TooFewPoints": "give more data",
    "DuplicateTimes": "name the column that tells the rows apart in data.series, or add the rows up",
}
"""What to do when the only series fails, by the code of its finding."""

_MAX_FINDINGS_PER_CODE: Final = 50
"""A report of ten thousand equal lines helps nobody: the rest is counted."""


@dataclass(frozen=True)
class _Sorted:
    """Rows sorted by series, then time. ``starts`` has one entry per series and the number of rows at its end."""

    names: tuple[str, ...]
    starts: npt.NDArray[np.intp]
    times: npt.NDArray[np.datetime64]
    values: npt.NDArray[np.float64]

    @property
    def same_series(self) -> npt.NDArray[np.bool_]:
        """Whether row ``i + 1`` belongs to the series of row ``i``."""
        same = np.ones(max(0, len(self.times) - 1), dtype=bool)
        borders = self.starts[(self.starts > 0) & (self.starts < len(self.times))]
        same[borders - 1] = False
        return same


def prepare_series(table: Table, spec: TrainingJobSpec) -> Dataset:
    """Sort, check and hold out.

    The holdout of a series is its last ``forecast.horizon`` steps, at most ``split.testFraction`` of its rows: what a
    forecast will be asked for, judged where it can be.

    Raises
    ------
    DataError
        For times or targets that cannot be read, or when fewer than ``minSeries`` or more than ``maxFailedRatio`` of
        the series fail.
    """
    if spec.forecast is None:
        raise ConfigError("task Forecast needs the section forecast (at least forecast.horizon)")
    findings: list[Finding] = list(table.findings)
    rows = _sorted_rows(table, spec, findings)
    frequency = _frequency(spec, spec.forecast.frequency, rows, findings)
    validation = spec.data.validation or DataValidation()
    kept, failures = _judge(rows, validation, frequency, findings)
    _require_enough(len(rows.names), kept, failures, spec.data)
    frame, series = _slices(rows, kept, frequency, spec.forecast.horizon, spec.split or Split())
    _note_short_holdouts(series, spec.forecast.horizon, findings)
    frame, features = _with_covariates(frame, series, frequency, table.covariates, findings)
    return Dataset(
        task="Forecast",
        frame=frame,
        target="y",
        features=features,
        findings=_limited(findings),
        origin=table.origin,
        holdout_digest=_holdout_digest(frame, series),
        rows=len(frame),
        series=series,
        series_total=len(rows.names),
        frequency=frequency.alias,
    )


def _sorted_rows(table: Table, spec: TrainingJobSpec, findings: list[Finding]) -> _Sorted:
    data, frame = spec.data, table.frame
    if data.time is None:
        raise ConfigError("task Forecast needs data.time")
    values = target_numbers(frame[data.target], data.target)
    times, notes = parse_times(frame[data.time], data.time)
    findings.extend(notes)
    codes, names = _series_codes(frame, data.series)
    instants = times.to_numpy(dtype="datetime64[ns]")
    missing_time, missing_value, nameless = np.isnat(instants), np.isnan(values), codes < 0
    for code, column, gone in (
        ("MissingTime", data.time, missing_time),
        ("MissingTarget", data.target, missing_value),
        ("MissingSeries", data.series, nameless),
    ):
        if gone.any():
            text = f"{int(gone.sum())} rows without a value in {column!r} were left out"
            findings.append(Finding(code, "warning", text, count=int(gone.sum())))
    rows = np.flatnonzero(~(missing_time | missing_value | nameless))
    if len(rows) == 0:
        raise DataError(
            f"no row has both a time in column {data.time!r} (data.time) and a number in column {data.target!r} "
            "(data.target); check the columns' names"
        )
    rows = rows[np.lexsort((instants[rows], codes[rows]))]
    sizes = np.bincount(codes[rows], minlength=len(names))
    return _Sorted(names, np.concatenate([[0], np.cumsum(sizes)]).astype(np.intp), instants[rows], values[rows])


def _series_codes(frame: pd.DataFrame, column: str | None) -> tuple[npt.NDArray[np.intp], tuple[str, ...]]:
    if column is None:
        return np.zeros(len(frame), dtype=np.intp), (ONLY_SERIES,)
    return codes_by_name(frame[column])


def _frequency(spec: TrainingJobSpec, wanted: str, rows: _Sorted, findings: list[Finding]) -> Frequency:
    if wanted != "Auto":
        frequency = frequency_of(wanted)
    elif (found := detect_frequency(rows.times, rows.same_series)) is not None:
        frequency = found
    else:
        raise DataError(
            f"no series has two different times in column {spec.data.time!r} (data.time); check data.time and "
            "data.series, or set forecast.frequency"
        )
    findings.append(Finding("Frequency", "info", f"frequency {frequency.alias}, season of {frequency.season} steps"))
    return frequency


def _judge(
    rows: _Sorted, validation: DataValidation, frequency: Frequency, findings: list[Finding]
) -> tuple[dict[int, npt.NDArray[np.intp]], list[Finding]]:
    """Return the row positions of each usable series by its number, and why the others failed."""
    kept: dict[int, npt.NDArray[np.intp]] = {}
    failures: list[Finding] = []
    for number, name in enumerate(rows.names):
        positions = np.arange(rows.starts[number], rows.starts[number + 1])
        positions, failure = _without_duplicates(rows, positions, name, findings)
        failure = failure or _failure(rows.values[positions], name, validation)
        if failure is not None:
            failures.append(failure)
            continue
        series = _OneSeries(name, rows.times[positions], rows.values[positions])
        findings.extend(_weaknesses(series, validation, frequency))
        kept[number] = positions
    findings.extend(failures)
    return kept, failures


def _without_duplicates(
    rows: _Sorted, positions: npt.NDArray[np.intp], name: str, findings: list[Finding]
) -> tuple[npt.NDArray[np.intp], Finding | None]:
    """Drop rows that repeat their predecessor; two different values at one time are an error of the series."""
    if len(positions) < 2:
        return positions, None
    times, values = rows.times[positions], rows.values[positions]
    repeated = np.concatenate([[False], times[1:] == times[:-1]])
    if not repeated.any():
        return positions, None
    contradicting = repeated & np.concatenate([[False], values[1:] != values[:-1]])
    count = int(repeated.sum())
    if contradicting.any():
        instant = pd.Timestamp(times[int(contradicting.argmax())]).isoformat()
        text = f"{count} times occur more than once with different values (first: {instant})"
        return positions, Finding("DuplicateTimes", "error", text, series=name, count=count)
    findings.append(
        Finding("RepeatedRows", "warning", f"{count} repeated rows were left out", series=name, count=count)
    )
    return positions[~repeated], None


def _failure(values: npt.NDArray[np.float64], name: str, validation: DataValidation) -> Finding | None:
    """Return why nothing can be trained on a series."""
    points = len(values)
    if points < validation.min_points:
        text = f"{points} points, at least {validation.min_points} are needed (data.validation.minPoints)"
        return Finding("TooFewPoints", "error", text, series=name, count=points)
    zeros = int((values == 0).sum())
    if zeros == points:
        return Finding("AllZero", "error", f"all {points} values are zero", series=name, count=points)
    if zeros / points > validation.max_zero_ratio:
        allowed = f"{validation.max_zero_ratio:.0%} may be (data.validation.maxZeroRatio)"
        text = f"{zeros} of {points} values are zero, at most {allowed}"
        return Finding("TooManyZeros", "error", text, series=name, count=zeros)
    return None


@dataclass(frozen=True)
class _OneSeries:
    name: str
    times: npt.NDArray[np.datetime64]
    values: npt.NDArray[np.float64]


def _weaknesses(series: _OneSeries, validation: DataValidation, frequency: Frequency) -> list[Finding]:
    """Return what will make the forecasts of a usable series worse."""
    found: list[Finding] = []
    points = len(series.values)
    if points < validation.recommended_points:
        text = f"{points} points, {validation.recommended_points} are recommended"
        found.append(Finding("FewPoints", "warning", text, series.name, points))
    ordinals = frequency.ordinals(series.times)
    crowded = int((np.diff(ordinals) == 0).sum())
    if crowded:
        text = f"{crowded} rows lie between the steps of frequency {frequency.alias}"
        found.append(Finding("IrregularTimes", "warning", text, series.name, crowded))
    gaps = int(ordinals[-1] - ordinals[0] + 1 - points) + crowded
    if gaps > 0:
        found.append(Finding("Gaps", "info", f"{gaps} steps without a value", series.name, gaps))
    if series.values.min() == series.values.max():
        found.append(Finding("ConstantSeries", "warning", f"every value is {series.values[0]:g}", series.name))
    return found


def _require_enough(total: int, kept: dict[int, npt.NDArray[np.intp]], failures: list[Finding], data: Data) -> None:
    validation = data.validation or DataValidation()
    if not failures and len(kept) >= validation.min_series:
        return
    if total == 1 and failures:
        raise DataError(f"{_place(failures[0], data)}: {failures[0].message}; {_ADVICE[failures[0].code]}")
    reasons = ", ".join(
        f"{code} {count}" for code, count in Counter(failure.code for failure in failures).most_common()
    )
    example = f"; first: {_place(failures[0], data)}: {failures[0].message}" if failures else ""
    if len(failures) > validation.max_failed_ratio * total:
        raise DataError(
            f"{len(failures)} of {total} series cannot be trained on ({reasons}), at most "
            f"{validation.max_failed_ratio:.0%} may fail (data.validation.maxFailedRatio){example}; "
            "correct or leave out these series"
        )
    if len(kept) < max(1, validation.min_series):
        raise DataError(
            f"{len(kept)} of {total} series can be trained on, at least {validation.min_series} are needed "
            f"(data.validation.minSeries){example}; give more series"
        )


def _place(failure: Finding, data: Data) -> str:
    """Say where a failure lies: the series, if a column tells them apart, and the column that is at fault."""
    of = data.time if failure.code == "DuplicateTimes" else data.target
    role = "data.time" if failure.code == "DuplicateTimes" else "data.target"
    series = f"series {failure.series!r} of column {data.series!r} (data.series), " if data.series else ""
    return f"{series}column {of!r} ({role})"


def _slices(
    rows: _Sorted, kept: dict[int, npt.NDArray[np.intp]], frequency: Frequency, horizon: int, split: Split
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


def _with_covariates(
    frame: pd.DataFrame,
    series: tuple[Series, ...],
    frequency: Frequency,
    covariates: tuple[CovariateTable, ...],
    findings: list[Finding],
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the frame with the covariates that a forecast can have, and their names."""
    usable, warnings = usable_ahead(covariates)
    findings += warnings
    names = tuple(name for covariate in usable for name in covariate.columns)
    if not names:
        return frame, ()
    times = frame["ds"].to_numpy()
    values = np.concatenate(
        [join_steps(times[one.start : one.stop], one.name, frequency, usable) for one in series], axis=0
    )
    findings += coverage(usable, values, times.max())
    return frame.assign(**{name: values[:, number] for number, name in enumerate(names)}), names


def _note_short_holdouts(series: tuple[Series, ...], horizon: int, findings: list[Finding]) -> None:
    short = [one for one in series if one.holdout < horizon]
    if short:
        least = min(one.holdout for one in short)
        text = f"{len(short)} series are judged by fewer rows than the horizon of {horizon} steps (at least {least})"
        findings.append(Finding("ShortHoldout", "info", text, count=len(short)))


def _limited(findings: list[Finding]) -> tuple[Finding, ...]:
    seen: Counter[str] = Counter()
    kept: list[Finding] = []
    for finding in findings:
        seen[finding.code] += 1
        if seen[finding.code] <= _MAX_FINDINGS_PER_CODE:
            kept.append(finding)
    for code, count in seen.items():
        if count > _MAX_FINDINGS_PER_CODE:
            rest = count - _MAX_FINDINGS_PER_CODE
            kept.append(Finding(code, "info", f"{rest} more findings of this kind are not listed", count=rest))
    return tuple(kept)


def _holdout_digest(frame: pd.DataFrame, series: tuple[Series, ...]) -> str:
    positions = np.concatenate([np.arange(one.split, one.stop) for one in series])
    names = np.repeat(np.array([one.name for one in series], dtype=object), [one.holdout for one in series])
    return digest_of(frame[["ds", "y"]].iloc[positions].assign(series=names))
