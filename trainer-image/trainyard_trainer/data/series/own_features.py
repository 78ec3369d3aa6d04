"""``data.features`` of a forecast: columns of the table itself, such as prices, promotions and visitors.

They are joined by time, like the columns of a second table. Rows after the last target of a series, with time and
features but without a target, contain the known future values. If no such row has a value, the column is not known in
the future.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_api.data import Data
from trainyard_trainer.data.dataset import CovariateTable, Finding, Table
from trainyard_trainer.data.tables.covariates import KEY, TIME, numbers_of
from trainyard_trainer.errors import ConfigError

NAME = "data.features"
"""Name of these features where a second table has its own name."""


def own_features(
    table: Table,
    data: Data,
    instants: pd.Series,
    codes: npt.NDArray[np.intp],
    names: tuple[str, ...],
    has_target: npt.NDArray[np.bool_],
    findings: list[Finding],
) -> tuple[tuple[CovariateTable, ...], npt.NDArray[np.bool_]]:
    """Return the features as at most two tables, one of them known in the future, and a mask of the rows with future
    values.

    Parameters
    ----------
    instants
        The time of each row, in UTC.
    codes, names
        The series number of each row (negative for none), and the names of the series.
    has_target
        Whether a row has a usable target.

    Raises
    ------
    ConfigError
        If a feature has another role.
    DataError
        If a feature is text.
    """
    wanted = data.features or ()
    roles = {data.time: "data.time", data.series: "data.series"}
    for name in wanted:
        if name in roles:
            raise ConfigError(f"spec.data.features lists {name!r}, which is {roles[name]}; list other columns")
    if not wanted:
        return (), np.zeros(len(codes), dtype=bool)
    ahead = _is_ahead(instants.to_numpy("datetime64[ns]"), codes, has_target)
    columns = {name: numbers_of(table.frame[name], name, table.notation) for name in wanted}
    known = [name for name in wanted if columns[name][ahead].notna().any()]
    if only_past := [name for name in wanted if name not in known]:
        quoted = ", ".join(repr(name) for name in only_past)
        text = (
            f"{quoted} of data.features: no row after the last target has a value, so LightGBM uses the values from "
            "one horizon before, and other frameworks use none; if future values are known, add rows with "
            "time and features but without a target"
        )
        findings.append(Finding("FeatureNotKnownInFuture", "warning", text, count=len(only_past)))
    frame = pd.DataFrame({TIME: instants, KEY: pd.Series(names, dtype="string").take(np.maximum(codes, 0)).to_numpy()})
    frame = frame.assign(**{name: columns[name].to_numpy() for name in wanted})
    usable_rows = (codes >= 0) & frame[TIME].notna().to_numpy()
    ordered = (
        frame[usable_rows].drop_duplicates([TIME, KEY], keep="last").sort_values(TIME, kind="stable", ignore_index=True)
    )
    tables = tuple(
        CovariateTable(NAME, ordered, tuple(some), keyed=True, known_in_future=some is known)
        for some in (known, only_past)
        if some
    )
    return tables, ahead


def _is_ahead(
    times: npt.NDArray[np.datetime64], codes: npt.NDArray[np.intp], has_target: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Return a mask of the rows after the last row of their series with a target."""
    count = int(codes.max(initial=-1)) + 1
    last = np.full(count + 1, np.datetime64("NaT"), dtype="datetime64[ns]")
    usable = has_target & (codes >= 0) & ~np.isnat(times)
    order = np.argsort(times[usable], kind="stable")
    last[codes[usable][order]] = times[usable][order]
    return np.asarray(~has_target & (codes >= 0) & (times > last[codes]))
