"""Tables of independent rows, for regression and classification."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_api.data import Data, DataValidation
from trainyard_api.training import Split
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_trainer.data.dataset import Dataset, Finding, Parts, Table
from trainyard_trainer.data.notation import Notation
from trainyard_trainer.data.tables.features import CAUSES_SHOWN, features_of
from trainyard_trainer.data.tables.joins import join_rows
from trainyard_trainer.data.tables.labels import labels_of, note_weak_classes, positive_second
from trainyard_trainer.data.tables.leaks import suspects
from trainyard_trainer.data.tables.splits import Sides, Strategy, digest_of_rows, split_by_hash, split_by_time
from trainyard_trainer.data.values.columns import is_text, notes_of, read_target, target_numbers, without_sentinel
from trainyard_trainer.data.values.row_hash import Hashes, hash_rows
from trainyard_trainer.data.values.times import parse_times
from trainyard_trainer.errors import DataError

_MOSTLY_MISSING: Final = 0.5
_CELLS_TO_COMPARE: Final = 20_000_000
"""The search for equal rows takes time in proportion to the number of cells, so it is skipped in larger tables."""

_FEW_HELD_OUT: Final = 30


def prepare_rows(table: Table, spec: TrainingJobSpec, *, keep_rows: bool = False) -> Dataset:
    """Assign types and roles to the columns of a table, and hold out rows.

    ``keep_rows`` keeps the held-out rows as they were read, for a champion with other columns.

    Raises
    ------
    DataError
        If the target has text, has only one value, or there are too few rows or no usable features.
    """
    data = spec.data
    findings: list[Finding] = list(table.findings)
    frame, joined = with_covariates(table, data, findings)
    target, classes, present = _target(frame[data.target], spec, table.notation, findings)
    if not present.all():
        frame, target = frame[present], target[present]
    _require_rows(len(frame), len(table.frame), data)
    features = features_of(frame, data, joined, table.notation, findings)
    columns = features.columns
    own = _columns_of_a_row(table.frame, data)
    hashes = hash_rows(frame[own]) if len(frame) * len(own) <= _CELLS_TO_COMPARE else None
    split = _hold_out(frame, spec, _identity(table, spec, own), findings)
    findings += [*_weaknesses(columns, hashes, data, split.sides), *suspects(columns, target, len(classes))]
    findings += _of_holdout(split.parts, target, classes)
    prepared = pd.DataFrame({**columns, data.target: target}, copy=False)
    test = split.parts.test
    held_out = hash_rows(frame[own].iloc[test]) if hashes is None else hashes[test]
    findings.append(Finding("Split", "info", _describe_split(split.sides.strategy, split.parts)))
    return Dataset(
        task=spec.task,
        frame=prepared,
        target=data.target,
        features=tuple(columns),
        categories=features.categories,
        sentinels=features.sentinels,
        classes=classes,
        findings=tuple(findings),
        origin=table.origin,
        holdout_digest=digest_of_rows(sorted(own), np.sort(held_out)),
        rows=len(prepared),
        parts=split.parts,
        sides=split.sides,
        times=split.times,
        groups=None if data.group is None or split.sides.strategy != "Group" else split.hashes[test],
        held_out=frame.iloc[test].reset_index(drop=True) if keep_rows else None,
    )


@dataclass(frozen=True)
class _Held:
    """The held-out rows: the rule, and its result for this table."""

    sides: Sides
    parts: Parts
    hashes: Hashes
    times: npt.NDArray[np.datetime64] | None = None


def _identity(table: Table, spec: TrainingJobSpec, own: list[str]) -> tuple[str, ...]:
    """Return the columns that identify a row: those of the champion if all exist, or else those of the table.

    For classes, the label is left out. So a label can be corrected, or spelled differently (yes, 1), and the row stays
    in its part. A numeric target is included, because the few features of a table may be equal for many rows.
    """
    if table.identity and all(name in table.frame.columns for name in table.identity):
        return table.identity
    label = {spec.data.target} if spec.task == "Classification" else set()
    return tuple([name for name in own if name not in label] or own)


def _hold_out(frame: pd.DataFrame, spec: TrainingJobSpec, identity: tuple[str, ...], findings: list[Finding]) -> _Held:
    data, split = spec.data, spec.split or Split()
    strategy = _strategy(spec, split)
    if strategy == "Time" and data.time:
        times, notes = parse_times(
            _complete(frame[data.time], data.time, "time"), data.time, data.time_zone, data.time_format
        )
        findings.extend(notes)
        named = times.rename(data.time)
        sides = Sides.of(strategy, split, (data.time,))
        return _Held(sides, split_by_time(named, split), np.empty(0, np.uint64), named.to_numpy("datetime64[ns]"))
    if strategy == "Group" and data.group:
        sides = Sides.of(strategy, split, (data.group,))
        found = sides.hashes(_complete(frame[data.group], data.group, "group").to_frame())
    elif data.key:
        sides = Sides.of(strategy, split, (data.key,))
        found = sides.hashes(_complete(frame[data.key], data.key, "key").to_frame())
        findings += _repeated_keys(found, data.key)
    else:
        sides = Sides.of(strategy, split, identity)
        found = sides.hashes(frame)
    return _Held(sides, split_by_hash(sides, found), found)


def _columns_of_a_row(frame: pd.DataFrame, data: Data) -> list[str]:
    """Return the columns that belong to a row: those in the specification, or else all that were read.

    They do not depend on the values. Whether a column is constant, or an identifier, changes with the data.
    """
    named = [*data.features, data.target, data.time, data.series, data.group, data.key] if data.features else None
    left_out = set(data.exclude or ())
    return [name for name in frame.columns if (named is None or name in named) and name not in left_out]


def _repeated_keys(hashes: Hashes, key: str) -> list[Finding]:
    repeated = len(hashes) - len(pd.unique(hashes))
    if not repeated:
        return []
    text = (
        f"{repeated} rows have a value of {key!r} (data.key) that another row has; equal keys stay in one part of the "
        "split"
    )
    return [Finding("RepeatedKey", "warning", text, count=repeated)]


def _of_holdout(parts: Parts, target: npt.NDArray[np.float64], classes: tuple[str, ...]) -> list[Finding]:
    """Return findings about the limits of the held-out rows."""
    found: list[Finding] = []
    if len(parts.test) < _FEW_HELD_OUT:
        text = f"the metrics are inexact, from {len(parts.test)} held-out rows; {_FEW_HELD_OUT} or more are recommended"
        found.append(Finding("FewHeldOut", "warning", text, count=len(parts.test)))
    judged = set(target[parts.test].astype(np.intp).tolist()) if classes else set()
    absent = [name for number, name in enumerate(classes) if number not in judged]
    if absent:
        text = f"no held-out row has class {', '.join(map(repr, absent[:CAUSES_SHOWN]))}, so it is not evaluated"
        found.append(Finding("ClassNotJudged", "warning", text, count=len(absent)))
    return found


def with_covariates(table: Table, data: Data, findings: list[Finding]) -> tuple[pd.DataFrame, list[str]]:
    """Return the table with its covariates, and their names. Raises DataError if a name exists already."""
    if not table.covariates or not data.time:
        return table.frame, []
    times, notes = parse_times(table.frame[data.time], data.time, data.time_zone, data.time_format)
    keys = table.frame[data.series] if data.series else None
    joined, warnings = join_rows(times, keys, table.covariates)
    findings += [*notes, *warnings]
    existing = [name for name in joined.columns if name in table.frame.columns]
    if existing:
        raise DataError(
            f"a column and a covariate have the same name {existing[0]!r}; rename the covariate or the column"
        )
    return table.frame.assign(**{name: joined[name].to_numpy() for name in joined.columns}), list(joined.columns)


def rows_with_target(table: Table, spec: TrainingJobSpec) -> npt.NDArray[np.bool_]:
    """Return a mask of the rows that :func:`prepare_rows` keeps. Raises DataError as it does."""
    return _target(table.frame[spec.data.target], spec, table.notation, [])[2]


def _require_rows(usable: int, rows: int, data: Data) -> None:
    needed = (data.validation or DataValidation()).min_points
    if usable < needed:
        without = f" ({rows - usable} of {rows} have no value in {data.target!r})" if usable < rows else ""
        raise DataError(
            f"the table has {usable} usable rows{without}, but training needs at least {needed} "
            "(data.validation.minPoints); give more data"
        )


def _weaknesses(columns: dict[str, pd.Series], hashes: Hashes | None, data: Data, sides: Sides) -> list[Finding]:
    """Return findings about data that make the model worse, or its evaluation too optimistic."""
    found: list[Finding] = []
    rows, recommended = len(next(iter(columns.values()))), (data.validation or DataValidation()).recommended_points
    if rows < recommended:
        text = f"{rows} rows, {recommended} are recommended"
        found.append(Finding("FewPoints", "warning", text, count=rows))
    if hashes is not None:
        repeated = len(hashes) - len(pd.unique(hashes))
        if repeated:
            by_values = sides.strategy in {"Random", "Stratified"} and len(sides.columns) > 1
            effect = (
                "equal rows stay in one part of the split" if by_values else "held-out rows may repeat training rows"
            )
            text = f"{repeated} rows repeat another row; {effect}"
            found.append(Finding("RepeatedRows", "warning", text, count=repeated))
    for name, column in columns.items():
        missing = int(column.isna().sum())
        if missing:
            severity: Literal["warning", "info"] = "warning" if missing > _MOSTLY_MISSING * rows else "info"
            found.append(
                Finding("MissingValues", severity, f"{missing} of {rows} values of {name!r} are missing", count=missing)
            )
    return found


def _target(
    column: pd.Series, spec: TrainingJobSpec, known: Notation, findings: list[Finding]
) -> tuple[npt.NDArray[np.float64], tuple[str, ...], npt.NDArray[np.bool_]]:
    name = spec.data.target
    if spec.task == "Classification":
        labels = labels_of(column)
        if len(labels.classes) < 2:
            raise DataError(
                f"column {name!r} (data.target) has {_one_class(labels.classes)}, but classification needs two or more "
                "classes; use another column"
            )
        if len(labels.classes) == (labels.codes >= 0).sum():
            raise DataError(
                f"column {name!r} (data.target) has {len(labels.classes)} classes with one row each, so there is "
                "nothing to learn; use task Regression for numbers, or use another column"
            )
        labels = positive_second(labels, spec.data.positive_class, name, findings)
        present = labels.codes >= 0
        values, classes = labels.codes.astype(np.float64), labels.classes
        note_weak_classes(labels, name, findings)
    else:
        values, classes = target_numbers(column, name, known), ()
        if is_text(column):
            findings += notes_of(read_target(column, name, known), name)
        values = without_sentinel(values, name, spec.data, findings)[0]
        present = ~np.isnan(values)
        _require_variety(values[present], name)
    missing = int((~present).sum())
    if missing:
        text = f"{missing} rows without a value in {name!r} were left out"
        findings.append(Finding("MissingTarget", "warning", text, count=missing))
    return values, classes, present


def _one_class(classes: tuple[str, ...]) -> str:
    return f"only the class {classes[0]!r}" if classes else "no values"


def _require_variety(values: npt.NDArray[np.float64], name: str) -> None:
    if len(values) == 0:
        raise DataError(f"column {name!r} (data.target) has no numbers; check the name of the column and the data")
    if values.min() == values.max():
        raise DataError(
            f"every value of column {name!r} (data.target) is {values[0]:g}, so there is nothing to "
            "learn; use another column"
        )


def _strategy(spec: TrainingJobSpec, split: Split) -> Strategy:
    match split.strategy:
        case "Auto":
            if spec.data.group:
                return "Group"
            return "Stratified" if spec.task == "Classification" else "Random"
        case chosen:
            return chosen


def _complete(column: pd.Series, name: str, role: str) -> pd.Series:
    missing = column.isna().to_numpy()
    if missing.any():
        row = int(column.index[int(missing.argmax())]) + 1
        raise DataError(
            f"column {name!r} (data.{role}), data row {row}: the value is missing, as in {int(missing.sum())} rows in "
            "total; the split needs a value in every row, so add the values or remove the rows",
            row=row,
        )
    return column


def _describe_split(strategy: Strategy, parts: Parts) -> str:
    train, validation, test = len(parts.train), len(parts.validation), len(parts.test)
    return f"split {strategy}: {train} rows to train, {validation} to validate, {test} held out"
