"""Preprocessing: assign types and roles to the columns, check the data, and hold out rows."""

from collections.abc import Sequence

from trainyard_api.wire import TrainerConfig
from trainyard_trainer.data.dataset import Dataset, FileRows, Table
from trainyard_trainer.errors import DataError


def preprocess(table: Table, config: TrainerConfig) -> Dataset:
    """Assign types and roles to the columns, check the data, and hold out rows.

    Raises
    ------
    DataError
        No model can be trained on this data. The message names the address, the location in the data and the reason.
    ConfigError
        The specification does not fit the data, e.g. an unknown frequency.
    """
    try:
        if config.spec.task == "Forecast":
            from trainyard_trainer.data.series.prepare import prepare_series

            return prepare_series(table, config.spec)
        from trainyard_trainer.data.tables.prepare import prepare_rows

        return prepare_rows(table, config.spec, keep_rows=config.champion is not None)
    except DataError as error:
        raise DataError(f"{table.origin.uri}: {error}{_in_file(error.row, table.origin.files)}") from error


def _in_file(row: int | None, files: Sequence[FileRows]) -> str:
    """Return text that names the file of a data row, if there are several files."""
    if row is None or len(files) < 2:
        return ""
    for file in files:
        if row <= file.rows:
            return f" (data row {row} of {file.uri})"
        row -= file.rows
    raise AssertionError("the files of a table hold all of its rows")
