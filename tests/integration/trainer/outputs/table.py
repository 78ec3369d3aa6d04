"""What the tests of tables share: a run's rows, and what the database has."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg import sql

from tests.integration.trainer.database import DatabaseServer
from tests.unit.trainer.outputs.predictions import FACTS, RUN, SCHEMA, forecasts, go_on
from trainyard_trainer.outputs.base import Facts, Run, Written
from trainyard_trainer.outputs.postgres import SqlOutput
from trainyard_trainer.outputs.tables import Mode

KEYS = ("series", "time", "as_of")
PLAIN = "sslmode=disable&gssencmode=disable"
MODES: tuple[tuple[Mode, Sequence[str]], ...] = (("Append", ()), ("Upsert", KEYS), ("Replace", ("as_of",)))

COLUMNS = (
    'series text, time timestamptz, as_of timestamptz, step int, prediction float8, "quantile:0.1" float8,'
    " model text, version bigint, run text"
)
NUMBERS = itertools.count()
"""For names that no other test of the process uses."""

Output = Callable[..., SqlOutput]


def query(database: DatabaseServer, text: str, table: str = "", role: str = "owner") -> list[Any]:
    with psycopg.connect(database.url(role)) as connection:
        cursor = connection.execute(sql.SQL(text).format(table=sql.Identifier(*table.split("."))))  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description else []


def complete(one: SqlOutput, run: Run = RUN, facts: Facts = FACTS) -> Written:
    """Do what a retry of the whole run does."""
    one.check()
    return one.finished(run) or one.write(run, SCHEMA, forecasts(run, facts), facts, go_on)


def expected(*runs: tuple[Run, Facts]) -> list[tuple[Any, ...]]:
    rows = [tuple(row.values()) for run, facts in runs for part in forecasts(run, facts) for row in part.to_pylist()]
    return sorted(rows, key=_order)


def rows_of(database: DatabaseServer, table: str) -> list[tuple[Any, ...]]:
    return sorted(query(database, "SELECT * FROM {table}", table), key=_order)


def _order(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return row[0], row[1], row[2], row[-1]
