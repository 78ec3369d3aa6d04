"""Predictions in a table of a real PostgreSQL server: each row exactly once, whatever fails."""

import datetime as dt
import itertools
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import psycopg
import pyarrow as pa
import pytest
from psycopg import sql

from tests.integration.trainer.database import PASSWORD, DatabaseServer
from tests.integration.trainer.outputs.cut_connection import CutConnection
from tests.integration.trainer.outputs.table import (
    KEYS,
    MODES,
    NUMBERS,
    PLAIN,
    Output,
    complete,
    expected,
    query,
    rows_of,
)
from tests.unit.trainer.outputs.predictions import FACTS, NEXT_DAY, OTHER, ROWS, RUN, SCHEMA, forecasts, go_on
from trainyard_trainer.errors import (
    Interrupted,
    UpstreamUnavailable,
)
from trainyard_trainer.outputs.base import Facts, Run, Written
from trainyard_trainer.outputs.columns import PIECE
from trainyard_trainer.outputs.tables import Mode


@pytest.mark.parametrize(("mode", "keys"), MODES)
def test_the_first_run_creates_the_table(
    database: DatabaseServer, output: Output, table: str, mode: Mode, keys: Sequence[str]
) -> None:
    one = output(mode, keys)
    one.check()
    assert one.finished(RUN) is None
    assert one.write(RUN, SCHEMA, forecasts(), FACTS, go_on) == Written(ROWS, table, FACTS.as_of, 3, 1, RUN.version)
    assert one.finished(RUN) == Written(ROWS, table, FACTS.as_of, 3, version=RUN.version)
    assert one.write(RUN, SCHEMA, iter(()), FACTS, go_on).rows == ROWS
    assert rows_of(database, table) == expected((RUN, FACTS))
    columns = query(
        database,
        "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attnum > 0 AND attrelid ="
        f" to_regclass('\"{table}\"') ORDER BY attnum",
    )
    assert columns[:5] == [
        ("series", "text"),
        ("time", "timestamp with time zone"),
        ("as_of", "timestamp with time zone"),
        ("step", "integer"),
        ("prediction", "double precision"),
    ]
    assert columns[5:8] == [("quantile:0.1", "double precision"), ("model", "text"), ("version", "bigint")]


def test_append_keeps_other_runs(database: DatabaseServer, output: Output, table: str) -> None:
    for run in (RUN, OTHER, RUN):
        complete(output(), run)
    assert rows_of(database, table) == expected((RUN, FACTS), (OTHER, FACTS))


def test_upsert_replaces_rows_with_the_same_keys(database: DatabaseServer, output: Output, table: str) -> None:
    complete(output("Upsert", KEYS), RUN)
    complete(output("Upsert", tuple(reversed(KEYS))), OTHER)
    complete(output("Upsert", KEYS), Run("x", "n", "s", "m", 1), NEXT_DAY)
    assert rows_of(database, table) == expected((OTHER, FACTS), (Run("x", "n", "s", "m", 1), NEXT_DAY))


def test_replace_deletes_the_partitions_of_the_new_rows(database: DatabaseServer, output: Output, table: str) -> None:
    complete(output("Replace", ["as_of"]), RUN, FACTS)
    complete(output("Replace", ["as_of"]), Run("x", "n", "s", "m", 1), NEXT_DAY)
    fewer = list(forecasts(OTHER, FACTS))[:1]
    output("Replace", ["as_of"]).write(OTHER, SCHEMA, fewer, FACTS, go_on)
    rows = rows_of(database, table)
    assert len(rows) == ROWS + 4
    assert {row[-1] for row in rows} == {"x", OTHER.uid}


def test_no_rows(database: DatabaseServer, output: Output, table: str) -> None:
    for mode, keys in MODES:
        assert (
            output(mode, keys, name=f"{mode.lower()}_of_nothing").write(RUN, SCHEMA, iter(()), FACTS, go_on).rows == 0
        )
    assert output(name="append_of_nothing").finished(RUN) is None


def test_values(database: DatabaseServer, output: Output, table: str) -> None:
    texts = ["", None, "\\.", 'a "quoted", text\nwith ä', "\\N", "NULL"]
    schema = pa.schema(
        [
            ("t", pa.dictionary(pa.int32(), pa.string())),
            ("f", pa.float64()),
            ("b", pa.bool_()),
            ("d", pa.date32()),
            ("w", pa.timestamp("ns")),
            ("z", pa.timestamp("us", "Europe/Berlin")),
            ("n", pa.decimal128(10, 2)),
            ("run", pa.string()),
        ]
    )
    instant = dt.datetime(2026, 7, 1, 12, 30, tzinfo=dt.UTC)
    part = pa.table(
        {
            "t": texts,
            "f": [0.1, None, float("nan"), float("inf"), -float("inf"), 1e-300],
            "b": [True, None, False, True, True, True],
            "d": [dt.date(2026, 7, 1)] * 5 + [None],
            "w": [instant.replace(tzinfo=None)] * 5 + [None],
            "z": [instant] * 5 + [None],
            "n": [Decimal("1.50")] * 5 + [None],
            "run": ["r"] * 6,
        },
        schema=schema,
    )
    output().write(Run("r", "n", "s", "m", 1), schema, [part], Facts(None), go_on)
    rows = query(database, "SELECT t, f::text, b, d, w, z, n FROM {table}", table)
    assert [row[0] for row in rows] == texts
    assert [row[1] for row in rows] == ["0.1", None, "NaN", "Infinity", "-Infinity", "1e-300"]
    assert rows[0][2:] == (True, dt.date(2026, 7, 1), instant.replace(tzinfo=None), instant, Decimal("1.50"))
    assert rows[5][3:] == (None,) * 4


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("exists", [False, True], ids=["new table", "old table"])
@pytest.mark.parametrize(("mode", "keys"), MODES)
def test_a_connection_that_is_cut_at_any_statement(
    database: DatabaseServer, output: Output, mode: Mode, keys: Sequence[str], exists: bool, after: bool
) -> None:
    unknown = 0
    for at in itertools.count():
        name = f"cut_{next(NUMBERS)}"
        if exists:
            output(mode, keys, name=name).write(OTHER, SCHEMA, forecasts(OTHER, NEXT_DAY), NEXT_DAY, go_on)
        with CutConnection(database.port, at, after=after) as proxy:
            url = database.url("owner").replace(str(database.port), str(proxy.port)) + f"?{PLAIN}"
            try:
                output(mode, keys, url, name).write(RUN, SCHEMA, forecasts(), FACTS, go_on)
            except UpstreamUnavailable as error:
                said = str(error)
            else:
                assert not proxy.was_cut
                break
        assert PASSWORD not in said
        again = output(mode, keys, name=name)
        earlier = again.finished(RUN)
        unknown += earlier is not None
        assert (earlier or again.write(RUN, SCHEMA, forecasts(), FACTS, go_on)).rows == ROWS, at
        assert rows_of(database, name) == expected((RUN, FACTS), *([(OTHER, NEXT_DAY)] if exists else [])), at
    assert at > 10
    assert unknown == (1 if after else 0)  # only the response to COMMIT was lost


@pytest.mark.parametrize("after", [0, 1, 2])
@pytest.mark.parametrize(("mode", "keys"), MODES)
def test_a_server_that_restarts_between_two_tables(
    database: DatabaseServer, output: Output, table: str, mode: Mode, keys: Sequence[str], after: int
) -> None:
    def parts() -> Iterator[pa.Table]:
        for number, part in enumerate(large_parts()):
            if number == after:
                database.restart()
            yield part

    with pytest.raises(UpstreamUnavailable, match="shop-writer"):
        output(mode, keys).write(RUN, SCHEMA, parts(), FACTS, go_on)
    assert output(mode, keys).finished(RUN) is None
    database.restart()
    complete(output(mode, keys))
    assert rows_of(database, table) == expected((RUN, FACTS))


def large_parts() -> list[pa.Table]:
    """Return three tables, each of which is copied in a statement of its own."""
    part = next(forecasts())
    return [part.take(pa.array([0] * PIECE))] * 3


def test_a_backend_that_ends_during_a_copy(database: DatabaseServer, output: Output, table: str) -> None:
    def parts() -> Iterator[pa.Table]:
        yield from large_parts()[:1]
        query(database, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'trainyard'")
        yield from large_parts()[:1]

    with pytest.raises(UpstreamUnavailable, match="the database failed"):
        output().write(RUN, SCHEMA, parts(), FACTS, go_on)
    complete(output())
    assert rows_of(database, table) == expected((RUN, FACTS))


def test_a_stop_between_two_tables_writes_nothing(database: DatabaseServer, output: Output, table: str) -> None:
    def stop() -> None:
        raise Interrupted("stopped")

    complete(output(), OTHER)
    with pytest.raises(Interrupted):
        output().write(RUN, SCHEMA, large_parts(), FACTS, stop)
    assert rows_of(database, table) == expected((OTHER, FACTS))


@pytest.mark.parametrize("exists", [False, True], ids=["new table", "old table"])
@pytest.mark.parametrize(("mode", "keys"), MODES)
def test_several_writers_at_once(
    database: DatabaseServer, output: Output, table: str, mode: Mode, keys: Sequence[str], exists: bool
) -> None:
    """Some are attempts of the same run, others are runs of their own, all in the same partition."""
    if exists:
        complete(output(mode, keys), OTHER, NEXT_DAY)
    runs = [RUN, RUN, Run("b", "b", "s", "m", 1), Run("c", "c", "s", "m", 2), RUN]
    barrier = threading.Barrier(len(runs))

    def write(run: Run) -> Written:
        one = output(mode, keys)
        barrier.wait()
        return one.write(run, SCHEMA, forecasts(run), FACTS, go_on)

    with ThreadPoolExecutor(len(runs)) as pool:
        assert [written.rows for written in pool.map(write, runs)] == [ROWS] * len(runs)
    rows = [row for row in rows_of(database, table) if row[-1] != OTHER.uid]
    written = {run.uid: run for run in runs}
    if mode == "Append":
        assert rows == expected(*((run, FACTS) for run in written.values()))
    else:  # the last one, completely
        assert rows == expected((written[rows[0][-1]], FACTS))


def test_a_run_does_not_wait_for_another_run_that_still_predicts(
    database: DatabaseServer, output: Output, table: str
) -> None:
    def slowly() -> Iterator[pa.Table]:
        complete(output(mode, keys, seconds=5), OTHER, NEXT_DAY)
        yield from forecasts()

    for mode, keys in MODES:
        for again in (False, True):
            if again:
                query(database, "DELETE FROM {table}", table)
            output(mode, keys, seconds=5).write(RUN, SCHEMA, slowly(), FACTS, go_on)
            assert rows_of(database, table) == expected((RUN, FACTS), (OTHER, NEXT_DAY))
        query(database, "DROP TABLE {table}", table)


def test_a_table_that_is_locked(database: DatabaseServer, output: Output, table: str) -> None:
    complete(output())
    with psycopg.connect(database.url("owner")) as other:
        other.execute(sql.SQL("LOCK TABLE {}").format(sql.Identifier(table)))
        with pytest.raises(UpstreamUnavailable, match=r"locked.*0\.2 s"):
            output(seconds=0.2).write(OTHER, SCHEMA, forecasts(OTHER), FACTS, go_on)


def test_another_attempt_of_the_same_run_that_still_writes(output: Output, table: str) -> None:
    complete(output(), OTHER)

    def slowly() -> Iterator[pa.Table]:
        with pytest.raises(UpstreamUnavailable, match="locked"):
            output(seconds=0.2).write(RUN, SCHEMA, forecasts(), FACTS, go_on)
        yield from forecasts()

    assert output().write(RUN, SCHEMA, slowly(), FACTS, go_on).rows == ROWS
