"""Connections to a database whose URL is the key ``url`` of a mounted Secret, to read data or to write predictions.

The URL never appears in a message, a log line or a manifest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from trainyard_trainer.errors import ConfigError, DataError, InputMissing, NotPermitted, TrainerError

URL_KEY: Final = "url"
POSTGRES: Final = frozenset({"postgresql", "postgres"})
"""The kinds of database that a URL of PostgreSQL can name."""

_DRIVER: Final = "postgresql+psycopg"
_CONNECT_SECONDS: Final = 10

_REFUSED: Final = ("28", "42501")
_NOT_THERE: Final = "3D"
_VALUES: Final = "22"
"""Prefixes of SQLSTATE for credentials, database, and values."""

_REFUSED_WORDS: Final = ("authentication failed", "no pg_hba.conf entry", "permission denied", 'role "')
_MISSING_WORDS: Final = ('database "', "unable to open database file")
_BUSY_WORDS: Final = "too many connections"
"""The server adds the role or the database to these words, but another attempt can succeed."""


@dataclass(frozen=True)
class Database:
    """A database. ``field`` is the field of the specification that names its Secret, e.g. ``data.sql``."""

    field: str
    secret_name: str
    secret_dir: Path

    @property
    def name(self) -> str:
        """A name for messages, because the address of the database is secret."""
        return f"sql://{self.secret_name}"

    def url(self) -> URL:
        """Return the URL of the Secret.

        Raises
        ------
        NotPermitted
            If the Secret has no URL.
        ConfigError
            If its value is not a URL.
        """
        file = self.secret_dir / URL_KEY
        if not file.is_file():
            raise NotPermitted(
                f"{self.field}: the Secret {self.secret_name!r} has no key {URL_KEY!r}; put the connection URL there, "
                "e.g. postgresql://user:password@host/database"
            )
        try:
            return sqlalchemy.make_url(file.read_text().strip())
        except (ArgumentError, ValueError):
            # Without the cause, because that can contain the URL and the password.
            raise ConfigError(
                f"{self.field}: the key {URL_KEY!r} of the Secret {self.secret_name!r} is not a connection URL; "
                "write it as postgresql://user:password@host/database"
            ) from None

    def postgres(self, url: URL, options: Mapping[str, Any] | None = None) -> Engine:
        """Return an engine for PostgreSQL. It opens a connection for each use.

        ``options`` are defaults of the driver; the URL overrides them. Raises ConfigError for an unknown option.
        """
        defaults = {name: value for name, value in (options or {}).items() if name not in url.query}
        connect_args = {**defaults, "connect_timeout": _CONNECT_SECONDS, "application_name": "trainyard"}
        try:
            return sqlalchemy.create_engine(
                url.set(drivername=_DRIVER), poolclass=sqlalchemy.NullPool, connect_args=connect_args
            )
        except (ArgumentError, NoSuchModuleError, TypeError):
            raise self.unknown_option() from None

    def unknown_option(self) -> ConfigError:
        """Return the error for a URL with an option that the driver does not know."""
        return ConfigError(
            f"{self.field}: the connection URL in the Secret {self.secret_name!r} has an unknown option; remove it"
        )


def backend_of(url: URL) -> str:
    """Return the kind of database of a URL, without the driver."""
    return url.drivername.partition("+")[0]


def state_of(error: BaseException | None) -> str:
    """Return the SQLSTATE of an error of the driver, or an empty text."""
    return str(getattr(error, "sqlstate", None) or "")


def first_line(error: BaseException | None) -> str:
    """Return the first line of the message of an error of the driver."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def translate_access(error: BaseException | None, where: str) -> TrainerError | None:
    """Convert an error of the driver about the access to a database. Return ``None`` for other errors.

    ``where`` is the name of the database or table for the message.
    """
    state, said = state_of(error), first_line(error)
    if _BUSY_WORDS in said:
        return None
    # The driver has no SQLSTATE for an error of the connection.
    if state.startswith(_REFUSED) or (not state and any(word in said for word in _REFUSED_WORDS)):
        return NotPermitted(f"{where}: access was refused ({said}); check the URL in the Secret and the role's rights")
    if state.startswith(_NOT_THERE) or (not state and any(word in said for word in _MISSING_WORDS)):
        return InputMissing(f"{where}: {said}; check the name of the database")
    return None


def translate_value(error: BaseException | None, where: str) -> DataError | None:
    """Convert an error of the driver about a value. Return ``None`` for other errors."""
    if not state_of(error).startswith(_VALUES) and "not a database" not in first_line(error):
        return None
    return DataError(f"{where}: {first_line(error)}; correct the query or the data")
