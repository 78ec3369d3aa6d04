"""``data.features`` of a forecast: columns of the table itself that are known ahead, such as prices and promotions.

They are joined by time as the columns of a second table would be. Rows behind the last target of a series, with a time
and features but without a target, say what is known ahead.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_api.data import Data
from trainyard_trainer.data.covariates import KEY, TIME, numbers_of
from trainyard_trainer.data.dataset import CovariateTable, Finding, Table
from trainyard_trainer.errors import ConfigError

NAME = "data.features"
"""What they are called where a second table has its name."""


def own_features(
    table: Table,
    data: Data,
    instants: pd.Series,
    codes: npt.NDArray[np.intp],
    names: tuple[str, ...],
    has_target: npt.NDArray[np.bool_],
    findings: list[Finding],
) -> tuple[tuple[CovariateTable, ...], npt.NDArray[np.bool_]]:
    """Return the features as a second table, and which rows tell them ahead.

    There is no such table where no feature is asked for, or none is known ahead.

    Parameters
    ----------
    instants
        Of each row, in UTC.
    codes, names
        The number of the series of each row, below 0 for none, and their names.
    has_target
        Whether a row has a target that can be learned.

    Raises
    ------
    ConfigError
        If a feature has another role.
    DataError
        If a feature holds text.
    """
    wanted = data.features or ()
    roles = {data.time: "data.time", data.series: "data.series"}
    for name in wanted:
        if name in roles:
            raise ConfigError(f"spec.data.features names {name!r}, which is {roles[name]}; name other columns")
    if not wanted:
        return (), np.zeros(len(codes), dtype=bool)
    ahead = _is_ahead(instants.to_numpy("datetime64[ns]"), codes, has_target)
    columns = {name: numbers_of(table.frame[name], name, table.notation) for name in wanted}
    known = [name for name in wanted if columns[name][ahead].notna().any()]
    if left_out := [name for name in wanted if name not in known]:
        quoted = ", ".join(repr(name) for name in left_out)
        text = (
            f"{quoted} of data.features left out: no row behind the last target has a value, so no forecast could have "
            "one; add rows with time and features, and without a target, for the steps ahead"
        )
        findings.append(Finding("FeatureNotKnownInFuture", "warning", text, count=len(left_out)))
    if not known:
        return (), np.zeros(len(codes), dtype=bool)
    frame = pd.DataFrame({TIME: instants, KEY: pd.Series(names, dtype="string").take(np.maximum(codes, 0)).to_numpy()})
    frame = frame.assign(**{name: columns[name].to_numpy() for name in known})
    there = (codes >= 0) & frame[TIME].notna().to_numpy()
    ordered = frame[there].drop_duplicates([TIME, KEY], keep="last").sort_values(TIME, kind="stable", ignore_index=True)
    return (CovariateTable(NAME, ordered, tuple(known), keyed=True, known_in_future=True),), ahead


def _is_ahead(
    times: npt.NDArray[np.datetime64], codes: npt.NDArray[np.intp], has_target: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Tell which rows lie behind the last one of their series that has a target."""
    count = int(codes.max(initial=-1)) + 1
    last = np.full(count + 1, np.datetime64("NaT"), dtype="datetime64[ns]")
    usable = has_target & (codes >= 0) & ~np.isnat(times)
    order = np.argsort(times[usable], kind="stable")
    last[codes[usable][order]] = times[usable][order]
    return np.asarray(~has_target & (codes >= 0) & (times > last[codes]))
