"""Check each series before training. Failed series are left out, and weaknesses are reported.

A job fails only if more than ``maxFailedRatio`` of its series fail, or fewer than ``minSeries`` are left.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_api.data import Data, DataValidation
from trainyard_trainer.data.dataset import Finding
from trainyard_trainer.data.values.frequency import Frequency
from trainyard_trainer.data.values.times import HOW_TO_WRITE
from trainyard_trainer.errors import DataError

_ADVICE: Final = {
    "AllZero": "use another column or other data, because there is nothing to learn from zeros",
    "TooManyZeros": "raise the limit if these zeros are correct",
    "TooFewPoints": "give more data",
    "DuplicateTimes": "if the rows belong to several series, set data.series; otherwise add up the rows of each time",
    "UnparsableTimes": HOW_TO_WRITE,
    "UnparsableTarget": "correct the data",
}
"""Advice if the only series fails, by the code of its finding."""

_OF_TIMES: Final = frozenset({"DuplicateTimes", "UnparsableTimes"})
"""Failures in the time column. Others are in the target column."""

_MANY_ZEROS: Final = 0.7
"""With a larger share of zeros, the forecast of the mean is hard to beat."""

_FEW_NEGATIVE: Final = 0.05
"""Up to this share, negative values may be errors. With more, the quantity can be negative."""

_LONGER_THAN_BEFORE: Final = 2
"""How many times longer than all earlier runs of zeros the last one must be."""


@dataclass(frozen=True)
class SortedRows:
    """Rows sorted by series, then time.

    ``starts`` has one entry per series, and the number of rows at its end. ``spoiled`` has the reason for each series
    with unreadable values, by its number.
    """

    names: tuple[str, ...]
    starts: npt.NDArray[np.intp]
    times: npt.NDArray[np.datetime64]
    values: npt.NDArray[np.float64]
    spoiled: Mapping[int, Finding] = field(default_factory=dict)

    @property
    def same_series(self) -> npt.NDArray[np.bool_]:
        """Whether row ``i + 1`` belongs to the series of row ``i``."""
        same = np.ones(max(0, len(self.times) - 1), dtype=bool)
        borders = self.starts[(self.starts > 0) & (self.starts < len(self.times))]
        same[borders - 1] = False
        return same


def judge(
    rows: SortedRows, validation: DataValidation, frequency: Frequency, horizon: int, findings: list[Finding]
) -> tuple[dict[int, npt.NDArray[np.intp]], list[Finding]]:
    """Return the row positions of each usable series by its number, and the reasons why others failed."""
    kept: dict[int, npt.NDArray[np.intp]] = {}
    failures: list[Finding] = []
    newest = rows.times.max()
    for number, name in enumerate(rows.names):
        positions = np.arange(rows.starts[number], rows.starts[number + 1])
        failure = rows.spoiled.get(number)
        if failure is None:
            positions, failure = _without_duplicates(rows, positions, name, findings)
        failure = failure or _failure(rows.values[positions], name, validation)
        if failure is not None:
            failures.append(replace(failure, series=name))
            continue
        series = _OneSeries(name, rows.times[positions], rows.values[positions])
        findings.extend(_weaknesses(series, validation, frequency))
        findings.extend(_end(series, frequency, horizon, newest))
        kept[number] = positions
    findings.extend(failures)
    return kept, failures


def _without_duplicates(
    rows: SortedRows, positions: npt.NDArray[np.intp], name: str, findings: list[Finding]
) -> tuple[npt.NDArray[np.intp], Finding | None]:
    """Drop rows that repeat the previous row. Two different values at one time are an error of the series."""
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
    """Return the reason why a series cannot be trained, if any."""
    points = len(values)
    if points < validation.min_points:
        text = f"{points} points, at least {validation.min_points} are needed (data.validation.minPoints)"
        return Finding("TooFewPoints", "error", text, series=name, count=points)
    zeros = int((values == 0).sum())
    if zeros == points:
        return Finding("AllZero", "error", f"all {points} values are zero", series=name, count=points)
    if zeros / points > validation.max_zero_ratio:
        allowed = f"{validation.max_zero_ratio:.0%} may be zero (data.validation.maxZeroRatio)"
        text = f"{zeros} of {points} values are zero, but at most {allowed}"
        return Finding("TooManyZeros", "error", text, series=name, count=zeros)
    return None


@dataclass(frozen=True)
class _OneSeries:
    name: str
    times: npt.NDArray[np.datetime64]
    values: npt.NDArray[np.float64]


def _weaknesses(series: _OneSeries, validation: DataValidation, frequency: Frequency) -> list[Finding]:
    """Return findings about weaknesses of a usable series."""
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
    found += _values(series)
    gaps = int(ordinals[-1] - ordinals[0] + 1 - points) + crowded
    if gaps > 0:
        found.append(Finding("Gaps", "info", f"{gaps} steps without a value", series.name, gaps))
    return found


def _values(series: _OneSeries) -> list[Finding]:
    """Return findings about the values."""
    values, points = series.values, len(series.values)
    if values.min() == values.max():
        return [Finding("ConstantSeries", "warning", f"every value is {values[0]:g}", series.name)]
    found: list[Finding] = []
    zeros, negative = int((values == 0).sum()), int((values < 0).sum())
    if zeros > _MANY_ZEROS * points:
        found.append(Finding("ManyZeros", "warning", f"{zeros} of {points} values are zero", series.name, zeros))
    if negative:
        rare = negative <= _FEW_NEGATIVE * points
        hint = "; they may be corrections of earlier rows" if rare else ""
        text = f"{negative} of {points} values are negative{hint}"
        found.append(Finding("NegativeValues", "warning" if rare else "info", text, series.name, negative))
    return found


def _end(series: _OneSeries, frequency: Frequency, horizon: int, newest: np.datetime64) -> list[Finding]:
    """Return a finding if a series ends long before the others, or in zeros.

    It may be discontinued and need no forecast.
    """
    patience = max(horizon, frequency.season)
    last, end = frequency.ordinals(np.array([series.times[-1], newest]))
    if end - last > patience:
        text = f"ends {end - last} steps before the newest series; it may be discontinued"
        return [Finding("DiscontinuedSeries", "warning", text, series.name, int(end - last))]
    runs = np.diff(np.concatenate([[-1], np.flatnonzero(series.values), [len(series.values)]])) - 1
    if runs[-1] > max(patience, _LONGER_THAN_BEFORE * runs[:-1].max()):
        text = f"its last {runs[-1]} values are zero; it may be discontinued"
        return [Finding("DiscontinuedSeries", "warning", text, series.name, int(runs[-1]))]
    return []


def require_enough(total: int, kept: int, failures: list[Finding], data: Data) -> None:
    """Raise DataError if too many series failed, or too few are left."""
    validation = data.validation or DataValidation()
    if not failures and kept >= validation.min_series:
        return
    if total == 1 and failures:
        raise DataError(f"{_location(failures[0], data)}: {failures[0].message}; {_ADVICE[failures[0].code]}")
    reasons = ", ".join(
        f"{code} {count}" for code, count in Counter(failure.code for failure in failures).most_common()
    )
    example = f"; first: {_location(failures[0], data)}: {failures[0].message}" if failures else ""
    if len(failures) > validation.max_failed_ratio * total:
        raise DataError(
            f"{len(failures)} of {total} series cannot be used for training ({reasons}), but at most "
            f"{validation.max_failed_ratio:.0%} may fail (data.validation.maxFailedRatio){example}; "
            "correct or leave out these series"
        )
    if kept < max(1, validation.min_series):
        raise DataError(
            f"{kept} of {total} series can be used for training, but at least {validation.min_series} are needed "
            f"(data.validation.minSeries){example}; give more series"
        )


def _location(failure: Finding, data: Data) -> str:
    """Return the location of a failure: the series, if there is a series column, and the column."""
    of, role = (data.time, "data.time") if failure.code in _OF_TIMES else (data.target, "data.target")
    series = f"series {failure.series!r} of column {data.series!r} (data.series), " if data.series else ""
    return f"{series}column {of!r} ({role})"
