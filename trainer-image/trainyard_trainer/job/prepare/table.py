"""The table of a prepared dataset: the data of the frameworks, columns of other roles, and the part of the split."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_trainer.artifacts.datasets import DatasetColumn, Role
from trainyard_trainer.data.dataset import Dataset, Finding
from trainyard_trainer.data.values.times import read_times
from trainyard_trainer.errors import DataError

SPLIT: Final = "split"
"""The column with the part of the split. If the data has this name already, underscores are added in front."""

PARTS: Final = ("train", "validation", "test")
_INSTANT: Final = "datetime64[us]"
"""A forecast does not need a finer resolution, and many readers of Parquet reject it."""


@dataclass(frozen=True)
class PreparedTable:
    """Typed columns and their roles. Text and classes are categories."""

    frame: pd.DataFrame
    roles: dict[str, Role]
    findings: tuple[Finding, ...] = ()

    def of_role(self, role: Role) -> str | None:
        """Return the first column of a role."""
        return next((name for name, own in self.roles.items() if own == role), None)

    def to_arrow(self) -> pa.Table:
        """Return the table in the types that are written."""
        return pa.Table.from_pandas(self.frame, preserve_index=False)

    def columns(self, table: pa.Table) -> list[DatasetColumn]:
        """Return the description of the columns for the manifest."""
        types = {field.name: field.type for field in table.schema}
        return [DatasetColumn(name=name, role=role, type=_type_name(types[name])) for name, role in self.roles.items()]


def table_of(dataset: Dataset, others: pd.DataFrame, spec: TrainingJobSpec) -> PreparedTable:
    """Join the parts of a dataset.

    Parameters
    ----------
    others
        Additional columns of a table, with the rows of ``dataset.frame``. Not used for a forecast.
    """
    if dataset.task == "Forecast":
        return _series_table(dataset, spec)
    return _rows_table(dataset, others, spec)


def _rows_table(dataset: Dataset, others: pd.DataFrame, spec: TrainingJobSpec) -> PreparedTable:
    if dataset.parts is None:
        raise AssertionError("a table is always split")
    columns: dict[str, Any] = {}
    roles: dict[str, Role] = {}
    findings: list[Finding] = []
    wanted: tuple[tuple[Role, str | None], ...] = (
        ("time", spec.data.time),
        ("series", spec.data.series),
        ("group", spec.data.group),
    )
    for role, name in wanted:
        if name and name in others.columns and name not in dataset.frame.columns:
            column = others[name].reset_index(drop=True)
            columns[name] = _times(column, name, spec, findings) if role == "time" else column
            roles[name] = role
    for name in dataset.features:
        columns[name], roles[name] = dataset.frame[name], "feature"
    target = dataset.frame[dataset.target]
    if dataset.classes:
        codes = target.to_numpy(dtype=np.intp)
        target = _category(codes, dataset.classes)
    columns[dataset.target], roles[dataset.target] = target, "target"
    codes = np.zeros(len(dataset.frame), dtype=np.int8)
    for code, part in enumerate((dataset.parts.train, dataset.parts.validation, dataset.parts.test)):
        codes[part] = code
    return _with_split(columns, roles, codes, PARTS, tuple(findings))


def _series_table(dataset: Dataset, spec: TrainingJobSpec) -> PreparedTable:
    data, series = spec.data, dataset.series
    columns: dict[str, Any] = {}
    roles: dict[str, Role] = {}
    if data.series:
        codes = np.repeat(np.arange(len(series)), [one.stop - one.start for one in series])
        names = [one.name for one in series]
        columns[data.series] = _category(codes, names)
        roles[data.series] = "series"
    times = dataset.frame["ds"].astype(_INSTANT)
    name = str(data.time)
    columns[name], roles[name] = times if dataset.clock.wall else times.dt.tz_localize("UTC"), "time"
    for feature in (*dataset.features, *dataset.lagged):
        columns[feature], roles[feature] = dataset.frame[feature], "feature"
    for index, feature in enumerate(dataset.static.names):
        values = [dataset.static.values[one.name][index] for one in series for _ in range(one.stop - one.start)]
        texts = dataset.static.texts[index]
        columns[feature] = pd.Series(pd.Categorical(values, categories=texts)) if texts else pd.Series(values)
        roles[feature] = "feature"
    columns[data.target], roles[data.target] = dataset.frame["y"], "target"
    held_out = np.zeros(len(dataset.frame), dtype=np.int8)
    for one in series:
        held_out[one.split : one.stop] = 1
    return _with_split(columns, roles, held_out, ("train", "test"), ())


def _with_split(
    columns: dict[str, Any], roles: dict[str, Role], codes: Any, parts: tuple[str, ...], findings: tuple[Finding, ...]
) -> PreparedTable:
    name = SPLIT
    while name in columns:
        name = f"_{name}"
    columns[name], roles[name] = _category(codes, parts), "split"
    return PreparedTable(pd.DataFrame(columns, copy=False), roles, findings)


def _category(codes: npt.NDArray[Any], names: Sequence[str]) -> pd.Series:
    dtype = pd.CategoricalDtype(list(names))
    return pd.Series(pd.Categorical.from_codes(codes, dtype=dtype))  # type: ignore[arg-type] # the stubs know no arrays


def _times(column: pd.Series, name: str, spec: TrainingJobSpec, findings: list[Finding]) -> pd.Series:
    """Return times as datetimes. Text that cannot be parsed is unchanged, because only a split needs times."""
    try:
        form = spec.data.time_format if name == spec.data.time else None
        read = read_times(column, name, spec.data.time_zone, form=form)
    except DataError as error:
        findings.append(Finding("UnparsableTimes", "warning", f"column {name!r} is kept as it is: {error}"))
        return column
    if read.bad.any():
        text = f"{int(read.bad.sum())} values of {name!r} are not times: the column is kept as text"
        findings.append(Finding("UnparsableTimes", "warning", text, count=int(read.bad.sum())))
        return column
    findings.extend(read.findings)
    return read.instants.astype(_INSTANT).dt.tz_localize("UTC")


def _type_name(kind: pa.DataType) -> str:
    return str(kind.value_type) if pa.types.is_dictionary(kind) else str(kind)
