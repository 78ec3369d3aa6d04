"""``data.static`` of a forecast: columns with attributes of a series, such as its region or its size."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_api.data import Data
from trainyard_trainer.data.dataset import Finding, Static, Table
from trainyard_trainer.data.tables.covariates import numbers_of
from trainyard_trainer.data.values.columns import is_text
from trainyard_trainer.data.values.numbers import read_numbers
from trainyard_trainer.errors import ConfigError


def static_of(
    table: Table,
    data: Data,
    rows: npt.NDArray[np.intp],
    codes: npt.NDArray[np.intp],
    names: tuple[str, ...],
    findings: list[Finding],
) -> Static:
    """Return the newest value of each static column for each series. Constant columns are left out, with a finding.

    Parameters
    ----------
    rows
        The usable rows, sorted by series and time.
    codes, names
        The series number of each row of the table, and the names of the series.

    Raises
    ------
    ConfigError
        If a static column has another role.
    """
    roles: dict[str | None, str] = dict.fromkeys(data.features or (), "one of data.features")
    roles[data.time] = "data.time"
    found: dict[str, pd.Series] = {}
    texts: list[tuple[str, ...]] = []
    for name in data.static or ():
        if name in roles:
            raise ConfigError(f"spec.data.static lists {name!r}, which is also {roles[name]}; list it only once")
        column = _column(table, name).iloc[rows].reset_index(drop=True)
        groups = column.groupby(codes[rows])
        newest = groups.last()
        if newest.nunique() < 2:
            text = f"{name!r} of data.static has the same value for every series, so it is left out"
            findings.append(Finding("ConstantColumn", "warning", text))
            continue
        if changing := int((groups.nunique() > 1).sum()):
            text = f"{name!r} of data.static changes within {changing} series; the newest value is used"
            findings.append(Finding("StaticChanges", "warning", text, count=changing))
        found[name] = newest
        texts.append(tuple(sorted(newest.dropna().unique())) if newest.dtype == object else ())
    values = pd.DataFrame(found)
    rows_of = zip(values.index, values.itertuples(index=False, name=None), strict=True)
    return Static(tuple(found), tuple(texts), {names[code]: row for code, row in rows_of})


def _column(table: Table, name: str) -> pd.Series:
    """Return a column as numbers if all values are numbers, else as text. Missing values are NaN."""
    column = table.frame[name]
    if is_text(column) and read_numbers(column, table.notation).bad.any():
        return column.astype(object).map(str, na_action="ignore")
    return numbers_of(column, name, table.notation)
