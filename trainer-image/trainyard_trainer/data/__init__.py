"""From an address in the specification to typed, checked and split data."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from trainyard_api.wire import TrainerConfig
from trainyard_trainer.data.dataset import Dataset, FileRows, Origin, Table
from trainyard_trainer.environment import Environment
from trainyard_trainer.errors import ConfigError, DataError
from trainyard_trainer.progress.port import Progress

if TYPE_CHECKING:
    from trainyard_trainer.data.sources import Ways


def load(
    config: TrainerConfig,
    env: Environment,
    progress: Progress,
    stop: Callable[[], bool],
    also: Sequence[str] = (),
) -> Table:
    """Read the table of a job, only the columns it needs, and its covariates.

    ``also`` names columns to read where they are there, beyond those of the specification.

    Raises
    ------
    InputMissing, NotPermitted, UpstreamUnavailable, ConfigError, Interrupted
        See :func:`trainyard_trainer.data.sources.fetch`.
    DataError
        See :func:`trainyard_trainer.data.tables.read`.
    """
    from trainyard_trainer.data import sources

    ways = sources.Ways.of(config, env)
    table = (
        _from_files(config, ways, progress, stop, also)
        if config.spec.data.uri
        else _from_query(config, env, progress, stop, also)
    )
    progress(0.8, f"read {len(table.frame)} rows, {len(table.frame.columns)} columns")
    return _with_covariates(table, config, ways, stop) if config.spec.data.covariates else table


def _from_files(
    config: TrainerConfig, ways: "Ways", progress: Progress, stop: Callable[[], bool], also: Sequence[str]
) -> Table:
    from trainyard_trainer.data import sources, tables
    from trainyard_trainer.data.wanted import Wanted

    data = config.spec.data
    progress(0.0, f"fetching {data.uri}")
    with sources.fetch(config, ways.env, stop, ways) as source:
        progress(0.4, f"reading {source.size_bytes} bytes")
        with ThreadPoolExecutor(1) as beside:
            hashed = beside.submit(source.hash, tables.hashed_beside(source, data.format))
            wanted = Wanted.of(data, config.spec.task, also)
            read = tables.read(source, wanted, data.format, data.csv)
        hashed.result()
        origin = Origin(source.uri, source.digest, source.size_bytes, read.notes, read.files)
        return Table(read.frame, origin, findings=read.findings, notation=read.notation)


def _from_query(
    config: TrainerConfig, env: Environment, progress: Progress, stop: Callable[[], bool], also: Sequence[str]
) -> Table:
    from trainyard_trainer.data import sql, tables
    from trainyard_trainer.data.splits import digest_of
    from trainyard_trainer.data.wanted import Wanted

    query = config.spec.data.sql
    if query is None:
        raise ConfigError("spec.data needs exactly one of uri and sql")
    progress(0.0, f"querying {sql.name_of(query)}")
    wanted = Wanted.of(config.spec.data, config.spec.task, also)
    rows = sql.read_query(query, env.data_secret_dir, wanted, stop)
    size = rows.nbytes
    frame = tables.to_frame(rows, wanted.texts)
    return Table(frame, Origin(sql.name_of(query), digest_of(frame), size, ("SQL query",)))


def _with_covariates(table: Table, config: TrainerConfig, ways: "Ways", stop: Callable[[], bool]) -> Table:
    from trainyard_trainer.data.covariates import gather
    from trainyard_trainer.data.sources import work_folder

    with work_folder(ways.env) as folder:
        gathered = gather(config.spec, ways, folder, stop)
    listing = "".join(f"{digest}  {name}\n" for name, digest in (("data", table.origin.digest), *gathered.digests))
    digest = f"sha256:{hashlib.sha256(listing.encode()).hexdigest()}" if gathered.digests else table.origin.digest
    return replace(
        table,
        origin=replace(table.origin, digest=digest),
        covariates=gathered.tables,
        findings=(*table.findings, *gathered.findings),
    )


def preprocess(table: Table, config: TrainerConfig) -> Dataset:
    """Give the columns types and roles, judge the data, and hold rows out.

    Raises
    ------
    DataError
        Nothing can be trained on this data; the sentence names the address first, then where in the data and why.
    ConfigError
        The specification asks of the data what it cannot give, e.g. an unknown frequency.
    """
    try:
        if config.spec.task == "Forecast":
            from trainyard_trainer.data.forecast import prepare_series

            return prepare_series(table, config.spec)
        from trainyard_trainer.data.tabular import prepare_rows

        return prepare_rows(table, config.spec, keep_rows=config.champion is not None)
    except DataError as error:
        raise DataError(f"{table.origin.uri}: {error}{_in_file(error.row, table.origin.files)}") from error


def _in_file(row: int | None, files: Sequence[FileRows]) -> str:
    """Say in which of several files a data row lies."""
    if row is None or len(files) < 2:
        return ""
    for file in files:
        if row <= file.rows:
            return f" (data row {row} of {file.uri})"
        row -= file.rows
    raise AssertionError("the files of a table hold all of its rows")
