"""Predictions for the rows of a table: the kept columns, the outputs of the model, and where they come from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from trainyard_trainer.data.dataset import Finding
from trainyard_trainer.data.loading import load
from trainyard_trainer.data.notation import Notation
from trainyard_trainer.data.tables.prepare import with_covariates
from trainyard_trainer.data.values.columns import is_text, notes_of
from trainyard_trainer.data.values.numbers import read_numbers
from trainyard_trainer.data.wanted import Wanted
from trainyard_trainer.errors import ConfigError, DataError
from trainyard_trainer.frameworks.signature import Column
from trainyard_trainer.job.forecast.files import MODEL, RUN, VERSION
from trainyard_trainer.job.predict.opened import Opened
from trainyard_trainer.job.predict.predictions import Predictions
from trainyard_trainer.job.predict.predictor import Predictor
from trainyard_trainer.job.steps import Job
from trainyard_trainer.outputs.base import Facts

PREDICTED_AT: Final = "predicted_at"
_ROWS: Final = 50_000
"""Number of rows that are predicted at a time. The output and the memory of a prediction grow with it."""


def predict_rows(job: Job, opened: Opened, predictor: Predictor) -> Predictions:
    """Load the rows, and return their predictions.

    Raises
    ------
    DataError
        If a column is missing, or its values do not fit the model.
    ConfigError
        If ``data.keep`` names a column of the output.
    """
    keep = tuple(dict.fromkeys(opened.config.spec.data.keep or ()))
    table = load(job.config, job.env, job.tracker, job.stop, wanted=_wanted(opened, predictor, keep))
    findings = list(table.findings)
    frame, joined = with_covariates(table, job.config.spec.data, findings)
    kept = {name: pa.array(frame[name], from_pandas=True) for name in keep}
    schema = _schema(kept, predictor, keep)
    optional = _covariate_columns(opened).difference(joined)
    columns: dict[str, Any] = {}
    for column in predictor.columns.inputs:
        if column.name in optional:  # the covariate was left out, with a warning
            columns[column.name] = np.full(len(frame), np.nan)
        else:
            columns[column.name] = _as_trained(frame[column.name], column, table.notation, table.origin.uri, findings)
    inputs = pd.DataFrame(columns, index=frame.index)
    lost = [0]
    tables = _tables(job, opened, predictor, _Rows(inputs, kept, schema, lost))
    return Predictions(schema, tables, Facts(as_of=None), lambda: _warnings(findings, lost[0]))


def _wanted(opened: Opened, predictor: Predictor, keep: tuple[str, ...]) -> Wanted:
    data = opened.training.spec.data
    joined = _covariate_columns(opened)
    inputs = [column for column in predictor.columns.inputs if column.name not in joined]
    roles = [name for name in (data.time, data.series) if name] if joined else []
    names = tuple(dict.fromkeys([*(column.name for column in inputs), *roles, *keep]))
    texts = (*(column.name for column in inputs if column.type == "string"), *([data.series] if data.series else []))
    read = {*roles, *(column.name for column in inputs)}
    exact = tuple(name for name in keep if name not in read)
    return Wanted(required=names, columns=names, excluded=(), texts=texts, exact=exact)


def _covariate_columns(opened: Opened) -> set[str]:
    return {f"{one.name}.{column}" for one in opened.training.spec.data.covariates or () for column in one.columns}


def _as_trained(column: pd.Series, known: Column, notation: Notation, uri: str, findings: list[Finding]) -> Any:
    """Return an input as the training reads it: text stays text, and a number can be written as text (``12.5 %``).

    A value that is not a number, or is infinite, is a missing value, with a warning.

    Raises
    ------
    DataError
        If the model needs numbers, and the column has none, or its numbers are ambiguous.
    """
    if known.type not in {"double", "long", "boolean"}:
        return column
    if column.isna().all():
        return np.full(len(column), np.nan)
    if column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) == "boolean":
        return column.astype("float64")
    if is_text(column):
        return _numbers_of_text(column, notation, uri, findings)
    if not pd.api.types.is_numeric_dtype(column.dtype):
        raise DataError(
            f"{uri}: column {column.name!r} has values of type {column.dtype}, but the model needs numbers; correct "
            "the column"
        )
    values = column.to_numpy(np.float64, na_value=np.nan)
    infinite = np.isinf(values)
    if infinite.any():
        text = f"{int(infinite.sum())} infinite values in {column.name!r} count as missing"
        findings.append(Finding("InfiniteValues", "warning", text))
    return np.where(infinite, np.nan, values)


def _numbers_of_text(column: pd.Series, notation: Notation, uri: str, findings: list[Finding]) -> Any:
    read = read_numbers(column, notation)
    if read.doubt:
        raise DataError(
            f"{uri}: column {column.name!r}: {read.doubt}, and no other value shows which; set data.csv.thousands or "
            "data.csv.decimal as the training has read them"
        )
    if read.bad.any():
        first = int(read.bad.argmax())
        example = repr(str(column.iloc[first]))
        if np.isnan(read.values).all():
            raise DataError(
                f"{uri}: column {column.name!r} has no numbers (data row {first + 1}: {example}), but the model needs "
                "numbers; correct the column",
                row=first + 1,
            )
        text = (
            f"{int(read.bad.sum())} values of {column.name!r} are not numbers (first: {example}) and count as missing"
        )
        findings.append(Finding("TextInNumbers", "warning", text))
    findings += notes_of(read, str(column.name))
    return read.values


@dataclass(frozen=True)
class _Rows:
    """The inputs of the model, the kept columns, the schema of the output, and the count of lost values."""

    inputs: pd.DataFrame
    kept: Mapping[str, pa.Array]
    schema: pa.Schema
    lost: list[int]


def _schema(kept: dict[str, pa.Array], predictor: Predictor, keep: tuple[str, ...]) -> pa.Schema:
    outputs = [
        (column.name, pa.string() if column.type == "string" else pa.float64()) for column in predictor.columns.outputs
    ]
    fields = [
        *((name, values.type) for name, values in kept.items()),
        *outputs,
        (MODEL, pa.string()),
        (VERSION, pa.int64()),
        (RUN, pa.string()),
        (PREDICTED_AT, pa.timestamp("us", "UTC")),
    ]
    own = {name for name, _ in fields[len(kept) :]}
    taken = [name for name in keep if name in own]
    if taken:
        raise ConfigError(f"spec.data.keep names {taken[0]!r}, which is a column of the output; rename it in the data")
    return pa.schema(fields)


def _tables(job: Job, opened: Opened, predictor: Predictor, rows: _Rows) -> Iterator[pa.Table]:
    total, moment = len(rows.inputs), datetime.now(UTC)
    for begin in range(0, total, _ROWS):
        part = rows.inputs.iloc[begin : begin + _ROWS].reset_index(drop=True)
        found = predictor.framework.predict(predictor.model, part)
        count = len(part)
        values = {
            **{name: column.slice(begin, count) for name, column in rows.kept.items()},
            **{column.name: _finite(found[column.name], rows) for column in predictor.columns.outputs},
            MODEL: pa.array([opened.config.model_name] * count),
            VERSION: pa.array(np.full(count, opened.config.version, dtype=np.int64)),
            RUN: pa.array([opened.config.uid] * count),
            PREDICTED_AT: pa.array([moment] * count, pa.timestamp("us", "UTC")),
        }
        job.tracker((begin + count) / total, f"predicted {begin + count} of {total} rows")
        yield pa.table(
            [values[name].cast(kind) for name, kind in zip(rows.schema.names, rows.schema.types, strict=True)],
            rows.schema,
        )


def _finite(column: pd.Series, rows: _Rows) -> pa.Array:
    """Return outputs of the model. A number that is not finite becomes a missing value, and is counted."""
    if not pd.api.types.is_numeric_dtype(column):
        return pa.array(column.astype(object), pa.string(), from_pandas=True)
    values = column.to_numpy(dtype=np.float64)
    finite = np.isfinite(values)
    rows.lost[0] += int((~finite).sum())
    return pa.array(values, mask=~finite)


def _warnings(findings: Sequence[Finding], lost: int) -> tuple[str, ...]:
    found = [finding.message for finding in findings if finding.severity == "warning"]
    if lost:
        found.append(f"{lost} predictions are not finite numbers: they are missing values in the output")
    return tuple(found)
