"""The profile of one column. Pure functions."""

from typing import Any, Final

import numpy as np
import pandas as pd

from trainyard_trainer.report.profile.bins import Codes, Floats, bin_count, codes_of, cuts_of, label, numbers, quantiles
from trainyard_trainer.report.profile.model import LEVELS, MAGNITUDE_LEVELS, ColumnProfile
from trainyard_trainer.report.profile.relation import Relation

_CATEGORIES: Final = 20
_DIGITS: Final = 6
_MOST_MAGNITUDES_FROM: Final = 20
"""Minimum number of values that are not 0 for the outer quantiles."""


def column_profile(column: "pd.Series[Any]") -> tuple[ColumnProfile, Codes]:
    """Return the profile of a column of numbers or categories, and the bin of each of its rows."""
    name = str(column.name)
    if isinstance(column.dtype, pd.CategoricalDtype):
        profile = ColumnProfile(name=name, kind="text", missing=0, counts=[], categories=_frequent(column))
    else:
        profile = _of_numbers(name, numbers(column))
    codes = codes_of(column, profile)
    counts = np.bincount(codes, minlength=bin_count(profile))
    missing = float(counts[-1] / len(codes)) if len(codes) else 0.0
    return profile.model_copy(update={"counts": [int(one) for one in counts], "missing": missing}), codes


def with_relation(profile: ColumnProfile, found: Relation) -> ColumnProfile:
    """Return the profile of a column with the relation of its bins to the target."""
    means = [[short(value) for value in row] for row in found.means]
    return profile.model_copy(update={"relation": means, "weight": short(found.weight)})


def quantiles_of(values: Floats) -> list[float]:
    """Return the quantiles at ``LEVELS``, or none without values."""
    return [] if len(values) == 0 else [short(value) for value in quantiles(np.sort(values), LEVELS)]


def short(value: float) -> float:
    """Return a number with the digits that a profile keeps."""
    return float(f"{value:.{_DIGITS}g}")


def _frequent(column: "pd.Series[Any]") -> list[str]:
    """Return the most frequent texts. Equally frequent ones are in alphabetical order."""
    counts = column.value_counts()
    order = sorted(((-int(count), label(name)) for name, count in counts.items() if count > 0))
    return list(dict.fromkeys(name for _, name in order[:_CATEGORIES]))


def _of_numbers(name: str, values: Floats) -> ColumnProfile:
    found = np.sort(values[~np.isnan(values)])
    empty = ColumnProfile(name=name, kind="number", missing=0, counts=[])
    if len(found) == 0:
        return empty
    with np.errstate(over="ignore", invalid="ignore"):  # the square of a very large number overflows
        mean, deviation = found.mean(), found.std()
    sizes = np.abs(found[found != 0])
    return empty.model_copy(
        update={
            "quantiles": [short(value) for value in quantiles(found, LEVELS)],
            "magnitudes": _magnitudes(sizes),
            "mean": short(mean) if np.isfinite(mean) else None,
            "deviation": short(deviation) if np.isfinite(deviation) else None,
            "zeros": short(1 - len(sizes) / len(found)),
            "cuts": cuts_of(found),
        }
    )


def _magnitudes(sizes: Floats) -> list[float]:
    if len(sizes) < _MOST_MAGNITUDES_FROM:
        return []
    return [short(value) for value in quantiles(np.sort(sizes), MAGNITUDE_LEVELS)]
