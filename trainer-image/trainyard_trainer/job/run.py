"""Run a job from start to exit code. Every outcome leaves a result."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from pydantic import ValidationError

from trainyard_api.exit_codes import ExitCode
from trainyard_api.wire import PredictionConfig, TrainerConfig, TrainingResult
from trainyard_trainer.artifacts.logs import finish_log
from trainyard_trainer.environment import Environment
from trainyard_trainer.errors import ConfigError, TrainerError
from trainyard_trainer.job.dispatch import run
from trainyard_trainer.job.result import failed, write_result
from trainyard_trainer.job.steps import Job, Steps
from trainyard_trainer.messages import messages_of
from trainyard_trainer.progress.kept import KeptLog
from trainyard_trainer.progress.log import LOGGER, JsonLines
from trainyard_trainer.progress.reporter import HttpsSender, Reporter
from trainyard_trainer.progress.tracker import Listener, StageNamer, StageNamers, Tracker

CRASHED: Final = 1

ConfigT = TypeVar("ConfigT")


def read_config(env: Environment) -> TrainerConfig:
    """Read the configuration of a training that the operator mounted. Raises ConfigError."""
    return _read(env, TrainerConfig.parse)


def read_prediction_config(env: Environment) -> PredictionConfig:
    """Read the configuration of a PredictionJob that the operator mounted. Raises ConfigError."""
    return _read(env, PredictionConfig.parse)


def _read(env: Environment, parse: Callable[[bytes], ConfigT]) -> ConfigT:
    try:
        return parse(env.config_file.read_bytes())
    except OSError as error:
        raise ConfigError(f"the configuration {env.config_file} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise ConfigError(f"{env.config_file}: {'; '.join(messages_of(error))}") from error


def run_job(
    config: Callable[[], TrainerConfig],
    env: Environment,
    stop: Callable[[], bool],
    *,
    display: StageNamer,
    listeners: tuple[Listener, ...] = (),
    steps: Steps | None = None,
    work: Callable[[Job], TrainingResult | None] = run,
    part: str = "train",
) -> int:
    """Run one training, or a part of it. Write its result and return the exit code.

    Parameters
    ----------
    config
        Returns the configuration, or raises ConfigError, which also becomes a result.
    display
        Receives the name of each stage when it starts.
    steps
        The steps of the job. The default is the steps of the trainer.
    work
        The work to do. If it returns ``None``, this part is complete and another part writes the result.
    part
        Name of the part in the name of its log.
    """
    tracker: Tracker | None = None
    job_config: TrainerConfig | None = None
    lines = display if isinstance(display, JsonLines) else JsonLines()
    log = KeptLog(lines, part)
    logging.getLogger().addHandler(log)
    try:
        job_config = config()
        tracker = Tracker(StageNamers(display, lines), (*listeners, *_reporter(job_config, env)))
        result = work(Job(job_config, env, tracker, stop, steps or Steps.real(), log))
        code: int = ExitCode.OK
    except TrainerError as error:
        code, result = error.code, failed(error.code, str(error))
    except MemoryError:
        code, result = CRASHED, failed(CRASHED, "out of memory; raise spec.resources.limits.memory or use less data")
        LOGGER.exception("out of memory")
    except Exception as error:  # noqa: BLE001 - becomes the visible result of a crash
        code, result = CRASHED, failed(CRASHED, f"{type(error).__name__}: {error}")
        LOGGER.exception("the trainer crashed")
    if result is not None:
        code = _write_outcome(result, env.termination_log, code)
    if tracker is not None:
        tracker.close()
    finish_log(log, job_config, env)
    logging.getLogger().removeHandler(log)
    return code


def _reporter(config: TrainerConfig, env: Environment) -> tuple[Listener, ...]:
    """Return the listeners that report to the operator.

    If pods share a job, only the first reports, or progress would jump.
    """
    if config.progress_url is None or env.completion_index not in {"", "0"}:
        return ()
    return (Reporter(HttpsSender(config.progress_url, env.token_file, env.ca_file)),)


def _write_outcome(result: TrainingResult, termination_log: Path, code: int) -> int:
    """Write the result before the last report is sent. The result decides; the report is optional."""
    try:
        write_result(result, termination_log)
    except OSError:
        LOGGER.exception("the result could not be written to %s", termination_log)
        return code or CRASHED  # the next attempt finds the version and reports it
    level = LOGGER.info if code == ExitCode.OK else LOGGER.error
    level("%s, exit code %d: %s", result.outcome.lower(), code, result.message)
    return code
