"""Logs of pods in a store: a folder for each job with a file for each process, in the order of their start."""

import secrets
from datetime import UTC, datetime
from functools import partial

from trainyard_api.wire import TrainerConfig
from trainyard_trainer.artifacts.layout import ModelKeys
from trainyard_trainer.artifacts.opening import open_store
from trainyard_trainer.artifacts.store import ArtifactStore
from trainyard_trainer.environment import Environment
from trainyard_trainer.errors import TrainerError
from trainyard_trainer.progress.kept import KeptLog


def keep_log(log: KeptLog, store: ArtifactStore, config: TrainerConfig, env: Environment) -> None:
    """Assign a unique name to a log. Nothing is written yet."""
    shard = f"-shard-{env.completion_index}" if env.completion_index else ""
    began = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    name = f"{began}-attempt-{config.attempt}-{log.part}{shard}-{secrets.token_hex(3)}.jsonl"
    key = f"{ModelKeys(config.namespace, config.model_name).logs(config.uid)}/{name}"
    log.begin(partial(store.replace, key))


def finish_log(log: KeptLog, config: TrainerConfig | None, env: Environment) -> None:
    """Write the rest of a log. If the job ended before it opened its storage, write all of it."""
    if not log.has_begun and config is not None and config.spec.storage is not None:
        try:
            keep_log(log, open_store(config.spec.storage, env), config, env)
        except TrainerError as error:  # the result of the job reports this error or an earlier one
            log.give_up(str(error))
    log.finish()
