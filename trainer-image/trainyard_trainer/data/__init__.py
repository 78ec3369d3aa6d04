"""From an address in the specification to typed, checked and split data."""

from trainyard_api.wire import TrainerConfig
from trainyard_trainer.environment import Environment
from trainyard_trainer.frameworks.base import Dataset, Progress, Table


def load(config: TrainerConfig, env: Environment, progress: Progress) -> Table:
    """Read the table of a job, only the columns it needs.

    Raises
    ------
    InputMissing, NotPermitted, UpstreamUnavailable, ConfigError
        See :func:`trainyard_trainer.data.sources.fetch`.
    DataError
        See :func:`trainyard_trainer.data.tables.read`.
    """
    from trainyard_trainer.data import sources, tables

    progress(0.0, f"fetching {config.spec.data.uri}")
    with sources.fetch(config, env) as source:
        progress(0.4, f"reading {source.size_bytes} bytes")
        frame, notes = tables.read(source, config.spec.data, config.spec.task)
        progress(1.0, f"read {len(frame)} rows, {len(frame.columns)} columns")
        return Table(frame, source.digest, source.uri, source.size_bytes, notes)


def preprocess(table: Table, config: TrainerConfig) -> Dataset:
    """Give the columns types and roles, judge the data, and hold rows out.

    Raises
    ------
    DataError
        Nothing can be trained on this data; the sentence says why and where.
    ConfigError
        The specification asks of the data what it cannot give, e.g. an unknown frequency.
    """
    if config.spec.task == "Forecast":
        from trainyard_trainer.data.forecast import prepare_series

        return prepare_series(table, config.spec)
    from trainyard_trainer.data.tabular import prepare_rows

    return prepare_rows(table, config.spec)
