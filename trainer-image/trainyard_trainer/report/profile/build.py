"""Compute the profile of a dataset.

Pure functions with bounded time: for large data, a sample with a fixed seed is used.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_trainer.data.dataset import Dataset, Series
from trainyard_trainer.data.values.frequency import frequency_of
from trainyard_trainer.data.values.row_hash import hash_rows
from trainyard_trainer.report.profile.bins import Floats, bin_count, label, numbers, text_codes
from trainyard_trainer.report.profile.columns import column_profile, with_relation
from trainyard_trainer.report.profile.model import MAX_COLUMNS, Profile, bounded
from trainyard_trainer.report.profile.relation import Totals, fitted_to, memberships, ranks, relation_of, strength_of
from trainyard_trainer.report.profile.series import Panel, panel_of, series_profile

MAX_ROWS: Final = 200_000
_MAX_CELLS: Final = 5_000_000
_SEED: Final = 0
_HASHED: Final = 20
_SKETCH: Final = 256
_DISTINCT: Final = 0.9
_OUTCOMES: Final = 10
"""Maximum number of classes, the most frequent ones, whose relation to the features is stored."""


@dataclass(frozen=True)
class Sample:
    """The rows that are profiled. For a forecast, these are whole series.

    Attributes
    ----------
    positions
        Positions of the rows in the frame of the dataset, ascending.
    target
        Numbers, or categories with the names of the classes. Its name is that of the user's column.
    panel
        The rows as series; ``None`` for tables.
    """

    dataset: Dataset
    positions: npt.NDArray[np.intp]
    target: "pd.Series[Any]"
    panel: Panel | None

    @classmethod
    def of(cls, dataset: Dataset, target: str) -> "Sample":
        """Return the sample, which is the same for the same data.

        ``target`` is the name of the column in the source.
        """
        if dataset.task == "Forecast":
            series = _some(dataset.series)
            positions = np.concatenate([np.arange(one.start, one.stop) for one in series])
            values = dataset.frame["y"].take(positions).rename(target)
            panel = panel_of(dataset.frame, series, frequency_of(dataset.frequency or "D"))
            return cls(dataset, positions, values, panel)
        limit = min(MAX_ROWS, max(20_000, _MAX_CELLS // max(1, len(dataset.features))))
        positions = np.arange(len(dataset.frame), dtype=np.intp)
        if len(positions) > limit:
            positions = np.sort(np.random.default_rng(_SEED).choice(positions, limit, replace=False))
        column = dataset.frame[dataset.target].take(positions).rename(target)
        if dataset.classes:
            kinds = pd.CategoricalDtype(list(dataset.classes))
            codes = column.to_numpy(dtype=np.intp)
            column = pd.Series(pd.Categorical.from_codes(codes, dtype=kinds), name=target)  # type: ignore[arg-type] # the stubs know no arrays
        return cls(dataset, positions, column, None)

    def column(self, name: str) -> "pd.Series[Any]":
        """Return the rows of a feature."""
        column = self.dataset.frame[name]
        return column if len(self.positions) == len(column) else column.take(self.positions)

    def hashes(self, names: list[str]) -> npt.NDArray[np.uint64]:
        """Return a hash of each row from the first of these features that exist."""
        known = [name for name in names[:_HASHED] if name in self.dataset.features]
        if not known:
            return np.zeros(len(self.positions), dtype=np.uint64)
        frame = self.dataset.frame[known]
        return hash_rows(frame if len(self.positions) == len(frame) else frame.take(self.positions))

    def outcomes(self, names: list[str]) -> Floats:
        """Return the target in the form of the relations; shape (rows, outcomes)."""
        if self.dataset.classes:
            return memberships(text_codes(self.target, names), len(names))
        return ranks(numbers(self.target))


def profile_of(sample: Sample) -> Profile:
    """Return the profile of a sample of a dataset."""
    dataset = sample.dataset
    target, _ = column_profile(sample.target)
    features = dataset.features[:MAX_COLUMNS]
    described = [column_profile(sample.column(name)) for name in features]
    profile = Profile(
        task=dataset.task,
        rows=dataset.rows,
        sampled_rows=len(sample.positions),
        target=target,
        columns=[one for one, _ in described],
        left_out=len(dataset.features) - len(features),
    )
    if sample.panel is not None:
        series = series_profile(sample.panel, len(dataset.series))
        return bounded(profile.model_copy(update={"forecast": series}))
    names = target.categories[:_OUTCOMES] if dataset.classes else ["rank"]
    wanted = sample.outcomes(names)
    totals = Totals.of(wanted)
    relations = [relation_of(codes, bin_count(one), wanted, totals) for one, codes in described]
    columns = [with_relation(one, found) for (one, _), found in zip(described, relations, strict=True)]
    half = np.random.default_rng(_SEED).permutation(len(wanted)) % 2 == 0
    strength = strength_of(((codes, bin_count(one)) for one, codes in described), wanted, half)
    reported = {
        "columns": columns,
        "outcomes": [label(name) for name in names],
        "strength": strength,
        "fitted": fitted_to(((codes, one) for (_, codes), one in zip(described, relations, strict=True)), wanted),
        "sketch": sketch_of(sample.hashes([one.name for one in columns])),
    }
    return bounded(profile.model_copy(update=reported))


def sketch_of(hashes: npt.NDArray[np.uint64]) -> list[int]:
    """Return the smallest hashes. Empty if rows are repeated, because other data has them by chance."""
    distinct = np.unique(hashes)
    return [int(one) for one in distinct[:_SKETCH]] if len(distinct) >= _DISTINCT * len(hashes) else []


def _some(series: tuple[Series, ...]) -> tuple[Series, ...]:
    """Return series with at most ``MAX_ROWS`` rows in total. A single longer series is limited to its newest rows."""
    total = sum(one.stop - one.start for one in series)
    if total <= MAX_ROWS:
        return series
    order = np.random.default_rng(_SEED).permutation(len(series))
    kept: list[int] = []
    rows = 0
    for index in order:
        rows += series[index].stop - series[index].start
        if rows > MAX_ROWS and kept:
            break
        kept.append(int(index))
    chosen = tuple(series[index] for index in sorted(kept))
    if len(chosen) > 1 or chosen[0].stop - chosen[0].start <= MAX_ROWS:
        return chosen
    one = chosen[0]
    return (Series(one.name, one.stop - MAX_ROWS, one.stop, min(one.holdout, MAX_ROWS)),)
