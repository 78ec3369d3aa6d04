"""The CPU time to write predictions to PostgreSQL and to Parquet, beside the bare libraries, in the same process.

    PYTHONPATH=.:hack .venv/bin/python tests/benchmarks/outputs.py

The trainer's side is the whole ``write``. For PostgreSQL this includes the connection, the checks of the table, the
search for an earlier attempt and the commit; the bare side is ``pyarrow.csv.write_csv`` and one COPY over an open
connection. For Parquet it includes the digest, the copy to the store and the manifest; the bare side is a
``ParquetWriter``. Sides alternate, and ratios are taken per round. CPU is that of this process; the server's CPU is not
in it, so wall seconds stand beside it.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from psycopg import sql

from tests.integration.trainer.database import DatabaseServer
from tests.unit.trainer.outputs.predictions import FACTS, SCHEMA, go_on
from trainyard_trainer.artifacts.folder import FolderStore
from trainyard_trainer.outputs.base import Run
from trainyard_trainer.outputs.files import FileOutput
from trainyard_trainer.outputs.postgres import SqlOutput
from trainyard_trainer.outputs.tables import Mode

STEPS = 28
TABLE = 100_000
Sides = dict[str, Callable[[int], Any]]


def forecasts(rows: int) -> list[pa.Table]:
    """Return forecasts of many series in tables of :data:`TABLE` rows; the uid of the run is set by ``named``."""
    random = np.random.default_rng(0)
    series, step = np.divmod(np.arange(rows), STEPS)
    as_of = np.full(rows, np.datetime64("2026-11-30T00:00:00", "us"))
    table = pa.table(
        {
            "series": [f"shop-{number % 40:02d}/product-{number:05d}" for number in series],
            "time": as_of + (step + 1).astype("timedelta64[D]"),
            "as_of": as_of,
            "step": step + 1,
            "prediction": random.gamma(3, 5, rows),
            "quantile:0.1": random.gamma(2, 5, rows),
            "model": pa.array(["demand"]).take(pa.array(np.zeros(rows, np.int64))),
            "version": np.full(rows, 7),
            "run": pa.array(["-"]).take(pa.array(np.zeros(rows, np.int64))),
        }
    )
    return [table.slice(start, TABLE).cast(SCHEMA) for start in range(0, rows, TABLE)]


def named(tables: list[pa.Table], uid: str) -> Iterator[pa.Table]:
    """Yield the tables with another uid of the run."""
    for table in tables:
        uids = pa.array([uid]).take(pa.array(np.zeros(table.num_rows, np.int64)))
        yield table.set_column(table.num_columns - 1, "run", uids)


def run(number: int) -> Run:
    """Return a run of its own for each measurement."""
    return Run(f"00000000-0000-0000-0000-{number:012d}", "nightly", "shop", "demand", 7)


def compare(title: str, sides: Sides, rounds: int, before: Callable[[], None] = lambda: None) -> None:
    """Print the medians of both sides, and of the ratios of the first side to the second one."""
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name in list(sides) if number % 2 == 0 else reversed(list(sides)):
            before()
            wall, used = time.perf_counter(), time.process_time()
            sides[name](number)
            measured[name].append((time.perf_counter() - wall, time.process_time() - used))
    print(title)
    for position, clock in enumerate(("wall", "CPU")):
        kept = {name: [pair[position] for pair in pairs[1:]] for name, pairs in measured.items()}  # the first warms up
        cells = [f"{name} {statistics.median(times):6.3f} s" for name, times in kept.items()]
        ours, bare = kept.values()
        ratios = sorted(a / b for a, b in zip(ours, bare, strict=True))
        cells.append(f"ratio {statistics.median(ratios):5.3f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
        print(f"  {clock:4} " + "  ".join(cells), flush=True)


def to_postgres(server: DatabaseServer, tables: list[pa.Table], folder: Path, mode: Mode, rounds: int) -> None:
    """Compare a mode with a bare COPY into a table of the same columns, each emptied before every measurement."""
    secret = folder / f"secret-{mode}"
    secret.mkdir()
    (secret / "url").write_text(server.url("owner"))
    keys = {"Append": (), "Upsert": ("series", "time", "as_of"), "Replace": ("as_of",)}[mode]
    ours, bare = f"ours_{mode.lower()}", f"bare_{mode.lower()}"
    output = SqlOutput(secret, "writer", ours, mode, keys)
    output.write(run(0), SCHEMA, iter(()), FACTS, go_on)
    with psycopg.connect(server.url("owner"), autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE TABLE {} (LIKE {})").format(sql.Identifier(bare), sql.Identifier(ours)))

        def empty() -> None:
            owner.execute(sql.SQL("TRUNCATE {}, {}").format(sql.Identifier(ours), sql.Identifier(bare)))
            owner.execute("CHECKPOINT")

        def copy(number: int) -> None:
            options = pyarrow.csv.WriteOptions(include_header=False)
            statement = sql.SQL("COPY {} FROM STDIN WITH (FORMAT csv)").format(sql.Identifier(bare))
            with owner.cursor() as cursor, cursor.copy(statement) as stream:
                for table in named(tables, run(number).uid):
                    sink = pa.BufferOutputStream()
                    pyarrow.csv.write_csv(table, sink, options)
                    stream.write(memoryview(sink.getvalue()))

        def write(number: int) -> None:
            output.write(run(number + 1), SCHEMA, named(tables, run(number + 1).uid), FACTS, go_on)

        rows = sum(table.num_rows for table in tables)
        compare(f"PostgreSQL, {mode}, {rows} rows", {"trainer": write, "CSV + COPY": copy}, rounds, empty)


def to_parquet(tables: list[pa.Table], folder: Path, rounds: int) -> None:
    """Compare a file on a claim with a bare ParquetWriter."""
    output = FileOutput(FolderStore(folder / "store", "file:///store"), "Parquet", folder / "work")

    def bare(number: int) -> None:
        with pq.ParquetWriter(folder / f"{number}.parquet", SCHEMA, compression="zstd") as writer:
            for table in named(tables, run(number).uid):
                writer.write_table(table)

    def write(number: int) -> None:
        output.write(run(number), SCHEMA, named(tables, run(number).uid), FACTS, go_on)

    rows = sum(table.num_rows for table in tables)
    compare(f"Parquet, {rows} rows", {"trainer": write, "ParquetWriter": bare}, rounds)


def main() -> None:
    """Start a server, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--modes", default="Append,Upsert,Replace")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tables = forecasts(options.rows)
        to_parquet(tables, folder, options.rounds)
        server = DatabaseServer(folder / "server")
        try:
            for mode in options.modes.split(","):
                to_postgres(server, tables, folder, mode, options.rounds)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
