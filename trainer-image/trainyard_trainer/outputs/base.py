"""The interface of an output."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

import pyarrow as pa

RUN: Final = "run"
"""The column with the uid of the run. Every schema has it."""

VERSION: Final = "version"
"""The column with the number of the version that predicted."""

AS_OF: Final = "as_of"
SERIES: Final = "series"
"""Columns of a forecast: the newest observation of a series, and its name."""


@dataclass(frozen=True)
class Run:
    """Identity of the run whose predictions are written.

    ``uid`` is the uid of the PredictionJob: a retry has the same one.
    """

    uid: str
    name: str
    namespace: str
    model: str
    version: int


@dataclass(frozen=True)
class Written:
    """What a run has written.

    ``address`` is the folder of the files, or the name of the table. ``as_of`` is RFC 3339 text, as given to ``write``.
    """

    rows: int
    address: str
    as_of: str | None = None
    series: int | None = None
    left_out: int | None = None
    version: int | None = None
    """The version that predicted the rows. It can differ from that of a later attempt, which finds the rows."""


@dataclass(frozen=True)
class Facts:
    """Facts about the predictions that are known before they are written.

    ``as_of`` is the newest observation of a forecast as RFC 3339 text, and ``None`` for a table.
    """

    as_of: str | None
    series: int | None = None
    left_out: int | None = None


class Output(Protocol):
    """A destination of predictions. All methods raise TrainerError."""

    def check(self) -> None:
        """Check, before data is read, that the destination can be reached, permits a write, and fits."""
        ...

    def finished(self, run: Run) -> Written | None:
        """Return what an earlier attempt of this run has written completely."""
        ...

    def write(
        self, run: Run, schema: pa.Schema, tables: Iterable[pa.Table], facts: Facts, go_on: Callable[[], None]
    ) -> Written:
        """Write all tables, or nothing. Memory does not grow with their number.

        ``go_on`` is called between two tables. It raises Interrupted if the process must stop. If an earlier attempt of
        this run has written completely, the tables are not read, and its result is returned.
        """
        ...
