"""Compare the data with that of the champion, with results as numbers and as text. Pure functions."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from trainyard_api.data import Data
from trainyard_trainer.evaluate.data_metrics import (
    MISSING_INCREASE,
    RELATION_SHIFT,
    ROWS_RATIO,
    SCALE_RATIO,
    SHIFT,
    TARGET_SHIFT,
)
from trainyard_trainer.report.profile.bins import Floats, bin_count, codes_of
from trainyard_trainer.report.profile.build import Sample
from trainyard_trainer.report.profile.changes import Change, DataComparison, Severity
from trainyard_trainer.report.profile.columns import column_profile
from trainyard_trainer.report.profile.measures import (
    MOVED,
    SHIFTED,
    chance_of_missing,
    independence_of,
    kept_share,
    loss_of,
    missing_increase,
    scale_ratio,
    stability_index,
)
from trainyard_trainer.report.profile.messages import about_missing, about_scale, shown
from trainyard_trainer.report.profile.model import ColumnProfile, Measured, Profile
from trainyard_trainer.report.profile.relation import correlation, scores

FEWER_ROWS: Final = 0.7
MORE_MISSING: Final = 0.1
OTHER_SCALE: Final = 10.0
WEAKER: Final = 3.0
"""Limits for a warning. Those of the PSI are in ``measures``."""


@dataclass(frozen=True)
class _Pair:
    """An old and a new column, and the new rows in the bins of the old one."""

    then: ColumnProfile
    now: ColumnProfile
    counts: tuple[int, ...]


def compare(then: Profile, now: Profile, sample: Sample, version: int, data: Data) -> DataComparison:
    """Compare the data with the profile of a version. Both must have the same task and target.

    Parameters
    ----------
    sample
        The sample of ``now``. Its rows are counted in the bins of ``then``.
    data
        Shows which columns the user leaves out.
    """
    name = f"version {version}"
    pairs, missing_columns, score = _columns(then, now, sample, data)
    target = _target(then, now, sample)
    columns = [*pairs, target]
    shifts = _shifts(then, now, columns, name)
    changed = bool(missing_columns) or any(one.value >= SHIFTED for one in shifts)
    groups = {
        ROWS_RATIO: [_rows(then, now, name)],
        MISSING_INCREASE: [
            *_missing(columns, name),
            *_missing_columns(missing_columns, name),
            *_steps(then, now, name),
        ],
        SCALE_RATIO: [*_scales(columns, name), *_levels(then, now, name)],
        RELATION_SHIFT: _relations(then, now, _strengths(then, sample, score), name, changed=changed),
        SHIFT: shifts,
        TARGET_SHIFT: shifts[-1:],
    }
    metrics = {measure: max((one.value for one in group), default=0.0) for measure, group in groups.items()}
    metrics[SCALE_RATIO] = max(1.0, metrics[SCALE_RATIO])
    excluded = _excluded(then, sample, data)
    if excluded:
        del metrics[RELATION_SHIFT], groups[RELATION_SHIFT]
    groups[SHIFT] = shifts[:-1]
    explained = {one.subject for one in (*groups[MISSING_INCREASE], *groups[SCALE_RATIO]) if one.message}
    reported = [
        replace(one, message="") if one.measure in {SHIFT, TARGET_SHIFT} and one.subject in explained else one
        for group in groups.values()
        for one in shown(group)
    ]
    return DataComparison(version, metrics, (*reported, *_not_related(excluded, name), *_new(then, sample)))


def _columns(
    then: Profile, now: Profile, sample: Sample, data: Data
) -> tuple[list[_Pair], list[ColumnProfile], Floats]:
    """Return the common features, those that are missing now, and the scores of the new rows from the old relations."""
    known = {one.name: one for one in now.columns}
    features = set(sample.dataset.features)
    pairs: list[_Pair] = []
    missing_columns: list[ColumnProfile] = []
    total = np.zeros((len(sample.positions), max(1, len(then.outcomes))))
    for old in then.columns:
        if old.name not in features:
            missing_columns += [old] if _wanted(old.name, data) else []
            continue
        new = known.get(old.name) or column_profile(sample.column(old.name))[0]
        if new.kind != old.kind:
            missing_columns.append(old)
            continue
        codes = codes_of(sample.column(old.name), old)
        pairs.append(_Pair(old, new, tuple(np.bincount(codes, minlength=bin_count(old)).tolist())))
        if old.relation and old.weight > 0:
            means, counts = np.array(old.relation), np.array(old.counts, dtype=np.float64)
            overall = counts @ means / max(1.0, counts.sum())
            total += scores([(codes, old.weight * (means - overall))], len(codes), len(overall))
    return pairs, missing_columns, total


@dataclass(frozen=True)
class _Strengths:
    """The strength of the relations: expected and actual, and the correlation of their errors."""

    expected: Measured | None
    found: Measured | None
    common: float = 0


def _strengths(then: Profile, sample: Sample, score: Floats) -> _Strengths:
    """Return the strengths. On rows that were used for the relations, the strength is larger than on others."""
    if then.strength is None:
        return _Strengths(None, None)
    hashes = sample.hashes([one.name for one in then.columns])
    known = int(np.isin(np.array(then.sketch, dtype=np.uint64), hashes).sum())
    kept = kept_share(known, len(then.sketch)) * then.sampled_rows
    part = min(1.0, kept / max(1, len(hashes)))
    expected = part * then.fitted + (1 - part) * then.strength.value
    common = kept / math.sqrt(max(1, then.sampled_rows * len(hashes)))
    return _Strengths(
        Measured(value=expected, error=then.strength.error),
        correlation(score, sample.outcomes(then.outcomes)),
        common,
    )


def _wanted(name: str, data: Data) -> bool:
    """Return whether a column would be a feature if it existed. Otherwise the user has left it out."""
    return name not in (data.exclude or ()) and (not data.features or name in data.features)


def _excluded(then: Profile, sample: Sample, data: Data) -> list[str]:
    """Return the columns that were related to the target and are now left out by the user.

    Their part of the old strength cannot be subtracted. So a weaker relation without them is not informative.
    """
    features = set(sample.dataset.features)
    return [
        one.name for one in then.columns if one.weight > 0 and one.name not in features and not _wanted(one.name, data)
    ]


def _target(then: Profile, now: Profile, sample: Sample) -> _Pair:
    codes = codes_of(sample.target, then.target)
    return _Pair(then.target, now.target, tuple(np.bincount(codes, minlength=bin_count(then.target)).tolist()))


def _rows(then: Profile, now: Profile, name: str) -> Change:
    ratio = now.rows / max(1, then.rows)
    series = ""
    if then.forecast is not None and now.forecast is not None and now.forecast.series != then.forecast.series:
        series = f"; {now.forecast.series:,} series now, {then.forecast.series:,} then"
    message = ""
    if ratio < FEWER_ROWS:
        message = (
            f"{1 - ratio:.0%} of the rows are missing: {now.rows:,} now, {then.rows:,} when {name} was "
            f"trained{series}: check that the source is complete"
        )
    return Change(ROWS_RATIO, "rows", f"{then.rows:,}", f"{now.rows:,}", ratio, message, "warning")


def _shifts(then: Profile, now: Profile, columns: list[_Pair], name: str) -> list[Change]:
    """Return one change per column, that of the target last."""
    independence = min(independence_of(then.forecast), independence_of(now.forecast))
    found = []
    for pair in columns:
        value = stability_index(pair.then.counts, pair.counts, len(columns), independence)
        what = "the target" if pair is columns[-1] else "column"
        message = ""
        if value >= MOVED:
            much = "has changed strongly since" if value >= SHIFTED else "has changed slightly since"
            message = (
                f"{what} {pair.then.name!r}: the distribution {much} {name} was trained "
                f"(PSI {value:.2f}; {SHIFTED} is a major change): {_most(pair)}"
            )
        severity: Severity = "warning" if value >= SHIFTED else "info"
        measure = TARGET_SHIFT if pair is columns[-1] else SHIFT
        reported = (_typical(pair.then), _typical(pair.now))
        found.append(Change(measure, pair.then.name, *reported, value, message, severity))
    return found


def _most(pair: _Pair) -> str:
    """Return text about the bin whose share has changed most."""
    p = np.array(pair.then.counts) / max(1, sum(pair.then.counts))
    q = np.array(pair.counts) / max(1, sum(pair.counts))
    index = int(np.abs(q - p).argmax())
    return f"{_bin(pair.then, index)} {p[index]:.0%} then, {q[index]:.0%} now"


def _bin(column: ColumnProfile, index: int) -> str:
    if index == len(column.counts) - 1:
        return "missing"
    if column.kind == "text":
        return repr(column.categories[index]) if index < len(column.categories) else "other values"
    if not column.cuts:
        return "values"
    if index == 0:
        return f"up to {column.cuts[0]:.6g}"
    return f"above {column.cuts[index - 1]:.6g}" + (f" to {column.cuts[index]:.6g}" if index < len(column.cuts) else "")


def _typical(column: ColumnProfile) -> str:
    if column.kind == "number":
        return f"median {column.quantiles[len(column.quantiles) // 2]:.6g}" if column.quantiles else "no value"
    if not column.categories:
        return "no value"
    return f"{column.categories[0]} {column.counts[0] / max(1, sum(column.counts)):.0%}"


def _missing(columns: list[_Pair], name: str) -> list[Change]:
    found = []
    for pair in columns:
        value = missing_increase(pair.then, pair.now)
        much = value >= MORE_MISSING + chance_of_missing(pair.then, pair.now)
        message = about_missing(pair.then, pair.now, name) if much else ""
        reported = (f"{pair.then.missing:.1%} missing", f"{pair.now.missing:.1%} missing")
        found.append(Change(MISSING_INCREASE, pair.then.name, *reported, value, message, "warning"))
    return found


def _missing_columns(columns: list[ColumnProfile], name: str) -> list[Change]:
    return [
        Change(
            MISSING_INCREASE,
            one.name,
            f"{one.missing:.1%} missing",
            "missing",
            missing_increase(one, None),
            f"column {one.name!r} of {name} is missing: the data does not have it, it has only one value, or "
            f"it is no longer {'a column of numbers' if one.kind == 'number' else 'text'}; check the source, "
            "or leave the column out with data.exclude",
            "warning",
        )
        for one in columns
    ]


def _steps(then: Profile, now: Profile, name: str) -> list[Change]:
    if then.forecast is None or now.forecast is None:
        return []
    before, after = then.forecast.missing_steps, now.forecast.missing_steps
    message = (
        f"{after:.0%} of the steps between the first and the last row of the series have no row, {before:.0%} when "
        f"{name} was trained: check that the source is complete"
    )
    value = max(0.0, after - before)
    reported = (f"{before:.1%} missing", f"{after:.1%} missing")
    return [Change(MISSING_INCREASE, "steps", *reported, value, message if value >= MORE_MISSING else "", "warning")]


def _scales(columns: list[_Pair], name: str) -> list[Change]:
    found = []
    for pair in columns:
        if pair.then.kind != "number":
            continue
        value = scale_ratio(pair.then.magnitudes, pair.now.magnitudes)
        message = about_scale(pair.then, pair.now, value, name) if value >= OTHER_SCALE else ""
        reported = (_typical(pair.then), _typical(pair.now))
        found.append(Change(SCALE_RATIO, pair.then.name, *reported, value, message, "warning"))
    return found


def _levels(then: Profile, now: Profile, name: str) -> list[Change]:
    """Compare how far the newest season is outside of all earlier seasons."""
    if then.forecast is None or now.forecast is None:
        return []
    before, after = then.forecast.jump, now.forecast.jump
    value = max(1.0, after / before)
    message = (
        f"series {now.forecast.jump_series!r}: the values of its newest season are outside the range of "
        f"all earlier seasons by a factor of {after:,.0f}, at most {before:,.1f} when {name} was "
        "trained: check the unit of its newest rows"
    )
    reported = (f"outside by {before:.3g}", f"outside by {after:.3g}")
    return [
        Change(SCALE_RATIO, "newest season", *reported, value, message if value >= OTHER_SCALE else "", "warning"),
    ]


def _relations(then: Profile, now: Profile, strengths: _Strengths, name: str, *, changed: bool) -> list[Change]:
    """Return the changes of the relations. ``changed`` is true if the columns have changed."""
    if then.forecast is not None and now.forecast is not None:
        same = then.forecast.season == now.forecast.season
        pairs = [
            ("one step later", then.forecast.lag_one, now.forecast.lag_one),
            ("one season later", then.forecast.seasonal if same else None, now.forecast.seasonal),
            ("values by series", then.forecast.between, now.forecast.between),
        ]
        what, guess = "the values no longer depend on their series as in", "values or times may be shuffled"
    else:
        pairs = [("target by features", strengths.expected, strengths.found)]
        what, guess = "the target no longer depends on the features as in", "labels may be shuffled"
    guess = (
        "the columns have also changed, see their findings" if changed else f"{guess}; check how the data is created"
    )
    found = []
    for subject, before, after in pairs:
        value = loss_of(before, after, strengths.common)
        was, is_now = _correlated(before), _correlated(after)
        message = f"{what} {name} ({subject}: {was} then, {is_now} now): {guess}" if value >= WEAKER else ""
        found.append(Change(RELATION_SHIFT, subject, was, is_now, value, message, "warning"))
    return found


def _not_related(excluded: list[str], name: str) -> list[Change]:
    """Return a note that the relation was not compared, if old features are left out."""
    if not excluded:
        return []
    listed = ", ".join(repr(one) for one in excluded[:5]) + (
        f" and {len(excluded) - 5} more" if len(excluded) > 5 else ""
    )
    text = (
        f"whether the target depends on the features as in {name} was not compared, and {RELATION_SHIFT} "
        f"is missing: {listed} {'is' if len(excluded) == 1 else 'are'} now left out, by data.features or "
        "data.exclude"
    )
    return [Change("not compared", "target by features", "", "", 0.0, text)]


def _correlated(found: Measured | None) -> str:
    return "none" if found is None else f"correlation {found.value:.2f}"


def _new(then: Profile, sample: Sample) -> Iterable[Change]:
    """Yield a note about columns that the version did not have."""
    known = {one.name for one in then.columns}
    names = [name for name in sample.dataset.features if name not in known]
    if not names or then.left_out:
        return []
    listed = ", ".join(repr(name) for name in names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return [Change("new", listed, "", "new", len(names), f"columns that the served version does not have: {listed}")]
