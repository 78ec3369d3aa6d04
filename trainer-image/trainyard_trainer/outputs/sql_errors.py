"""Errors of PostgreSQL while predictions are written, as messages with an exit code."""

from typing import Final

from trainyard_trainer.data.sources.database import Database, first_line, state_of, translate_access
from trainyard_trainer.errors import ConfigError, DataError, TrainerError, UpstreamUnavailable

_SHAPE: Final = ("42", "0A", "3F")
_VALUES: Final = ("22", "23", "54", "P0")
_LOCKED: Final = "55P03"
_READ_ONLY: Final = "25006"
"""SQLSTATE, or its first characters, for the shape of a table, its values, locks, and replicas.

A value can also be refused by a constraint, the limits of an index, or a trigger.
"""


def translate(error: BaseException | None, database: Database, table: str, lock_seconds: float) -> TrainerError:
    """Convert an error of the driver to an error with a message for the user.

    An error without a known cause counts as temporary: a lost connection, a restart, a full disk.
    """
    state, said = state_of(error), first_line(error)
    where = f"{database.field}: {database.name}: {table}"
    access = translate_access(error, where)
    if access is not None:
        return access
    if state == _LOCKED:
        return UpstreamUnavailable(
            f"{where}: another transaction has locked the table, or some of its rows, for more than "
            f"{lock_seconds:g} s; try again later"
        )
    if state == _READ_ONLY:
        return read_only(database)
    if state.startswith(_SHAPE):
        return ConfigError(f"{where}: the predictions cannot be written: {said}; correct the table")
    if state.startswith(_VALUES):
        return DataError(f"{where}: a value does not fit: {said}{_position(error)}; change the column or the data")
    return UpstreamUnavailable(f"{where}: the database failed: {said}; try again later")


def read_only(database: Database) -> UpstreamUnavailable:
    """Return the error for a read-only database. It counts as temporary, because a failover ends."""
    return UpstreamUnavailable(
        f"{database.field}: {database.name} is read-only, as a replica is; use the URL of the primary server "
        "and a role that may write"
    )


def _position(error: BaseException | None) -> str:
    """Return where in a COPY the server found a value that does not fit."""
    context = getattr(getattr(error, "diag", None), "context", None)
    return f" ({str(context).splitlines()[0]})" if context else ""
