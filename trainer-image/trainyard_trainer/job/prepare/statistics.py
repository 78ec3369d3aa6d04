"""Statistics of the profile report: for each column, for the time range, and for each series."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd

from trainyard_trainer.artifacts.datasets import Role
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.data.values.frequency import frequency_of
from trainyard_trainer.job.prepare.table import PreparedTable

TOP_VALUES: Final = 5
MAX_SERIES: Final = 50
_SHOWN: Final = 40


@dataclass(frozen=True)
class ColumnProfile:
    """Statistics of one column.

    Attributes
    ----------
    facts
        Name and value as text: quartiles of numbers, the most frequent texts, the first and last time.
    is_number
        Whether it can be plotted.
    """

    name: str
    role: Role
    kind: str
    rows: int
    missing: int
    distinct: int
    facts: tuple[tuple[str, str], ...]
    is_number: bool

    @property
    def missing_share(self) -> str:
        """Missing values as a percentage of the rows, as text."""
        return f"{self.missing / self.rows:.1%}" if self.rows and self.missing else ""


@dataclass(frozen=True)
class SeriesProfile:
    """Statistics of one series. ``gaps`` is the number of missing steps between its first and last row."""

    name: str
    rows: int
    first: str
    last: str
    gaps: int
    mean: str
    zeros: str
    held_out: int


def profile_columns(table: PreparedTable) -> list[ColumnProfile]:
    """Return the statistics of all columns except the split."""
    return [_profile(table.frame[name], role) for name, role in table.roles.items() if role != "split"]


def profile_series(dataset: Dataset) -> list[SeriesProfile]:
    """Return the statistics of the first series of a forecast. Empty for a table."""
    if not dataset.series or dataset.frequency is None:
        return []
    frequency = frequency_of(dataset.frequency)
    found = []
    for one in dataset.series[:MAX_SERIES]:
        rows = dataset.frame.iloc[one.start : one.stop]
        ordinals = frequency.ordinals(rows["ds"].to_numpy())
        found.append(
            SeriesProfile(
                name=one.name,
                rows=len(rows),
                first=_moment(rows["ds"].iloc[0]),
                last=_moment(rows["ds"].iloc[-1]),
                gaps=int(ordinals[-1] - ordinals[0]) + 1 - len(rows),
                mean=_number(rows["y"].mean()),
                zeros=f"{(rows['y'] == 0).mean():.0%}",
                held_out=one.holdout,
            )
        )
    return found


def split_counts(table: PreparedTable) -> list[tuple[str, int]]:
    """Return the parts of the split and their numbers of rows."""
    name = table.of_role("split")
    if name is None:
        raise AssertionError("every prepared table has a split")
    counts = table.frame[name].value_counts(sort=False)
    return [(str(part), int(count)) for part, count in counts.items()]


def class_counts(table: PreparedTable, classes: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the rows of each class by part of the split, as text. Empty if the target is a number."""
    target, split = table.of_role("target"), table.of_role("split")
    if not classes or target is None or split is None:
        return []
    counts = pd.crosstab(table.frame[target], table.frame[split], dropna=False)
    return [
        (str(name), *(str(int(count)) for count in row))
        for name, row in zip(counts.index, counts.to_numpy(), strict=True)
    ]


def _profile(column: pd.Series, role: Role) -> ColumnProfile:
    values = column.dropna()
    is_time = pd.api.types.is_datetime64_any_dtype(column.dtype)
    is_number = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
    facts: tuple[tuple[str, str], ...]
    if values.empty:
        kind, facts = "empty", ()
    elif is_time:
        kind, facts = "time", (("first", _moment(values.min())), ("last", _moment(values.max())))
    elif is_number:
        kind, facts = "number", _numeric_facts(values)
    else:
        kind, facts = "text", _frequent(values)
    return ColumnProfile(
        name=str(column.name),
        role=role,
        kind=kind,
        rows=len(column),
        missing=len(column) - len(values),
        distinct=int(values.nunique()),
        facts=facts,
        is_number=is_number and not values.empty,
    )


def _numeric_facts(values: pd.Series) -> tuple[tuple[str, str], ...]:
    numbers = values.astype("float64")
    low, quarter, half, three, high = numbers.quantile([0, 0.25, 0.5, 0.75, 1])
    return (
        ("min", _number(low)),
        ("25 %", _number(quarter)),
        ("median", _number(half)),
        ("75 %", _number(three)),
        ("max", _number(high)),
        ("mean", _number(numbers.mean())),
        ("deviation", _number(numbers.std(ddof=0))),
        ("zeros", f"{(numbers == 0).mean():.1%}"),
    )


def _frequent(values: pd.Series) -> tuple[tuple[str, str], ...]:
    counts = values.astype("string").value_counts().head(TOP_VALUES)
    return tuple((_short(str(value)), f"{count / len(values):.1%}") for value, count in counts.items())


def _number(value: float) -> str:
    return format(float(value), ".5g")


def _moment(value: pd.Timestamp) -> str:
    return value.tz_localize(None).isoformat(sep=" ", timespec="seconds").removesuffix(" 00:00:00")


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
