"""The files that a user's container reads: tables as CSV, and a ``config.json`` that describes them.

CSV is used because every language can read it. The format is UTF-8, comma, one header line, quoted text, ``.`` as
decimal point, an empty field for a missing value, and times in ISO 8601.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from trainyard_api import meta
from trainyard_api.training import Split
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_api.wire import TrainerConfig
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.data.values.columns import is_text
from trainyard_trainer.environment import Environment, worker_count

METRICS: Final = "metrics.json"
"""The metrics file of the user's container, next to its model: one JSON object of names and numbers."""

_BATCH: Final = 65_536
"""Number of rows that are in memory as text at the same time."""


def role_columns(frame: pd.DataFrame, spec: TrainingJobSpec) -> pd.DataFrame:
    """Return the columns that are neither feature nor target, but that a model can use: time, series, group."""
    data = spec.data
    roles = dict.fromkeys(name for name in (data.time, data.series, data.group) if name)
    return frame[[name for name in roles if name not in (data.features or ())]].reset_index(drop=True)


def lay_out(config: TrainerConfig, dataset: Dataset, roles: pd.DataFrame, env: Environment) -> None:
    """Write the tables and then ``config.json`` into the input folder. Raises OSError.

    Parameters
    ----------
    roles
        Additional columns of a table, with the rows of ``dataset.frame``. Not used for a forecast.
    """
    env.input_dir.mkdir(parents=True, exist_ok=True)
    files = {}
    tables = _series_tables(dataset, config.spec) if dataset.task == "Forecast" else _row_tables(dataset, roles)
    for name, frame in tables:
        files[name] = env.input_dir / f"{name}.csv"
        _write_csv(_as_text(frame), files[name])
    settings = _settings(config, dataset, files, env.output_dir)
    text = json.dumps(settings, indent=1, ensure_ascii=False, allow_nan=False)
    (env.input_dir / meta.CONFIG_FILE).write_text(text + "\n", encoding="utf-8")


def _settings(config: TrainerConfig, dataset: Dataset, files: dict[str, Path], output: Path) -> dict[str, Any]:
    spec = config.spec
    return {
        "namespace": config.namespace,
        "name": config.name,
        "model": config.model_name,
        "attempt": config.attempt,
        "task": spec.task,
        "data": {name: str(path) for name, path in files.items()},
        "output": str(output),
        "metrics": str(output / METRICS),
        "target": spec.data.target,
        "features": list(dataset.features),
        "categories": {name: list(values) for name, values in dataset.categories.items()},
        "classes": list(dataset.classes),
        "positiveClass": dataset.positive_class,
        "time": spec.data.time,
        "series": spec.data.series,
        "group": spec.data.group,
        "forecast": spec.forecast
        and {**spec.forecast.wire(), "frequency": dataset.frequency or spec.forecast.frequency},
        "parameters": spec.parameters or {},
        "objective": spec.objective and spec.objective.wire(),
        "seed": (spec.split or Split()).seed,
        "workers": worker_count(spec.workers),
    }


def _row_tables(dataset: Dataset, roles: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    if dataset.parts is None:
        raise AssertionError("a table is always split")
    for name in ("train", "validation", "test"):
        rows = getattr(dataset.parts, name)
        part = dataset.frame.iloc[rows]
        if dataset.classes:
            labels = np.array(dataset.classes, dtype=object)
            part = part.assign(**{dataset.target: labels[part[dataset.target].to_numpy(dtype=np.intp)]})
        further = roles[[column for column in roles.columns if column not in part.columns]].iloc[rows]
        yield name, pd.concat([further.reset_index(drop=True), part.reset_index(drop=True)], axis="columns")


def _series_tables(dataset: Dataset, spec: TrainingJobSpec) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the tables of series with the user's column names. The holdout of each series is its last rows."""
    data, series = spec.data, dataset.series
    borders = {"train": [(s.start, s.split) for s in series], "test": [(s.split, s.stop) for s in series]}
    for name, slices in borders.items():
        rows = np.concatenate([np.arange(start, stop) for start, stop in slices])
        part = dataset.frame.iloc[rows]
        columns: dict[str, Any] = {}
        if data.series:
            names = np.array([s.name for s in series], dtype=object)
            columns[data.series] = np.repeat(names, [stop - start for start, stop in slices])
        columns[str(data.time)] = part["ds"].to_numpy()
        columns[data.target] = part["y"].to_numpy()
        columns |= {feature: part[feature].to_numpy() for feature in dataset.features}
        yield name, pd.DataFrame(columns)


def _write_csv(table: pa.Table, file: Path) -> None:
    with file.open("w", encoding="utf-8", newline="") as text:
        csv.writer(text, lineterminator="\n").writerow(table.column_names)  # Arrow would quote every name
    with file.open("ab") as rows:
        options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed", batch_size=_BATCH)
        pyarrow.csv.write_csv(table, rows, options)


def _as_text(frame: pd.DataFrame) -> pa.Table:
    """Return the frame with only the types that CSV has: numbers and text."""
    return pa.table({str(name): _column(frame[name]) for name in frame.columns})


def _column(column: pd.Series) -> pa.Array | pa.ChunkedArray:
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return _times(column)
    if is_text(column) or not pd.api.types.is_numeric_dtype(column.dtype):
        return pa.array(column.astype("string"), pa.string(), from_pandas=True)
    return pa.array(column, from_pandas=True)


def _times(column: pd.Series) -> pa.Array:
    instants = column.dt.tz_convert("UTC").dt.tz_localize(None) if column.dt.tz is not None else column
    values = instants.to_numpy(dtype="datetime64[ns]")
    whole = values[~np.isnat(values)].astype("int64") % 1_000_000_000 == 0
    text = np.datetime_as_string(values, unit="s" if whole.all() else "ns", timezone="UTC").astype(object)
    text[np.isnat(values)] = None
    return pa.array(text, pa.string())
