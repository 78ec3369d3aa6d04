"""From an address in the specification to typed, checked and split data."""

from collections.abc import Callable

from trainyard_api.wire import TrainerConfig
from trainyard_trainer.environment import Environment
from trainyard_trainer.errors import DataError
from trainyard_trainer.frameworks.base import Dataset, Origin, Progress, Table


def load(config: TrainerConfig, env: Environment, progress: Progress, stop: Callable[[], bool]) -> Table:
    """Read the table of a job, only the columns it needs.

    Raises
    ------
    InputMissing, NotPermitted, UpstreamUnavailable, ConfigError, Interrupted
        See :func:`trainyard_trainer.data.sources.fetch`.
    DataError
        See :func:`trainyard_trainer.data.tables.read`.
    """
    from trainyard_trainer.data import sources, tables

    progress(0.0, f"fetching {config.spec.data.uri}")
    with sources.fetch(config, env, stop) as source:
        progress(0.4, f"reading {source.size_bytes} bytes")
        frame, notes = tables.read(source, config.spec.data, config.spec.task)
        progress(1.0, f"read {len(frame)} rows, {len(frame.columns)} columns")
        return Table(frame, Origin(source.uri, source.digest, source.size_bytes, notes))


def preprocess(table: Table, config: TrainerConfig) -> Dataset:
    """Give the columns types and roles, judge the data, and hold rows out.

    Raises
    ------
    DataError
        Nothing can be trained on this data; the sentence names the address first, then where in the data and why.
    ConfigError
        The specification asks of the data what it cannot give, e.g. an unknown frequency.
    """
    if config.spec.task == "Forecast":
        from trainyard_trainer.data.forecast import prepare_series as prepare
    else:
        from trainyard_trainer.data.tabular import prepare_rows as prepare
    try:
        return prepare(table, config.spec)
    except DataError as error:
        raise DataError(f"{table.origin.uri}: {error}") from error
