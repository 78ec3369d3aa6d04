"""Load the table of a job, with only the required columns, and its covariates."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from trainyard_api.wire import TrainerConfig
from trainyard_trainer.data.dataset import Origin, Table
from trainyard_trainer.environment import Environment
from trainyard_trainer.errors import ConfigError
from trainyard_trainer.progress.port import Progress

if TYPE_CHECKING:
    from trainyard_trainer.data.sources.files import Ways
    from trainyard_trainer.data.wanted import Wanted


def load(
    config: TrainerConfig,
    env: Environment,
    progress: Progress,
    stop: Callable[[], bool],
    also: Sequence[str] = (),
    wanted: "Wanted | None" = None,
) -> Table:
    """Load the table of a job, with only the required columns, and its covariates.

    ``also`` names additional columns to read if they exist. ``wanted`` replaces the columns that the specification
    requires.

    Raises
    ------
    InputMissing, NotPermitted, UpstreamUnavailable, ConfigError, Interrupted
        See :func:`trainyard_trainer.data.sources.files.fetch`.
    DataError
        See :func:`trainyard_trainer.data.formats.reading.read`.
    """
    from trainyard_trainer.data.sources import files

    ways = files.Ways.of(config, env)
    columns = wanted or _wanted(config, also)
    table = (
        _from_files(config, ways, progress, stop, columns)
        if config.spec.data.uri
        else _from_query(config, env, progress, stop, columns)
    )
    progress(0.8, f"read {len(table.frame)} rows, {len(table.frame.columns)} columns")
    return _with_covariates(table, config, ways, stop) if config.spec.data.covariates else table


def _wanted(config: TrainerConfig, also: Sequence[str]) -> "Wanted":
    from trainyard_trainer.data.wanted import Wanted

    return Wanted.of(config.spec.data, config.spec.task, also)


def _from_files(
    config: TrainerConfig, ways: "Ways", progress: Progress, stop: Callable[[], bool], wanted: "Wanted"
) -> Table:
    from trainyard_trainer.data.formats import reading
    from trainyard_trainer.data.sources import files

    data = config.spec.data
    progress(0.0, f"fetching {data.uri}")
    with files.fetch(config, ways.env, stop, ways) as source:
        progress(0.4, f"reading {source.size_bytes} bytes")
        with ThreadPoolExecutor(1) as pool:
            hashed = pool.submit(source.hash, reading.files_to_hash(source, data.format))
            read = reading.read(source, wanted, data.format, data.csv)
        hashed.result()
        origin = Origin(source.uri, source.digest, source.size_bytes, read.notes, read.files)
        return Table(read.frame, origin, findings=read.findings, notation=read.notation)


def _from_query(
    config: TrainerConfig, env: Environment, progress: Progress, stop: Callable[[], bool], wanted: "Wanted"
) -> Table:
    from trainyard_trainer.data.formats import reading
    from trainyard_trainer.data.sources import sql
    from trainyard_trainer.data.tables.splits import digest_of

    query = config.spec.data.sql
    if query is None:
        raise ConfigError("spec.data needs exactly one of uri and sql")
    progress(0.0, f"querying {sql.name_of(query)}")
    rows = sql.read_query(query, env.data_secret_dir, wanted, stop)
    size = rows.nbytes
    frame = reading.to_frame(rows, wanted.texts, wanted.exact)
    return Table(frame, Origin(sql.name_of(query), digest_of(frame), size, ("SQL query",)))


def _with_covariates(table: Table, config: TrainerConfig, ways: "Ways", stop: Callable[[], bool]) -> Table:
    from trainyard_trainer.data.sources.files import work_folder
    from trainyard_trainer.data.tables.covariates import gather

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
