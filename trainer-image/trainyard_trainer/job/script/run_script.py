"""Run a job of framework Script: write the input files, run the script, and register its output."""

import os
import platform
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from trainyard_api import meta
from trainyard_api.wire import TrainingResult
from trainyard_trainer.artifacts.layout import ModelKeys
from trainyard_trainer.artifacts.runs import FinishedRun, begin_run
from trainyard_trainer.artifacts.store import ArtifactStore
from trainyard_trainer.data.sources.files import Ways
from trainyard_trainer.errors import ConfigError, Interrupted
from trainyard_trainer.job.container.fetch import typed_with_roles
from trainyard_trainer.job.container.handover import Handover
from trainyard_trainer.job.container.layout import lay_out
from trainyard_trainer.job.container.register import store_own
from trainyard_trainer.job.container.spec_checks import check_own_code
from trainyard_trainer.job.register import register_once
from trainyard_trainer.job.script.environment import environment_of
from trainyard_trainer.job.script.exit_check import check_exit
from trainyard_trainer.job.script.lines import OutputReader
from trainyard_trainer.job.script.process import Limits, run_group
from trainyard_trainer.job.script.source import FILE, fetch_script
from trainyard_trainer.job.stages import enter, open_model
from trainyard_trainer.job.steps import Job
from trainyard_trainer.progress.stages import Stage
from trainyard_trainer.report.profile.profiling import profiled


def run_script(job: Job, limits: Limits | None = None) -> TrainingResult:
    """Register a version from the output of the user's script, or find the one that an earlier attempt registered.

    Parameters
    ----------
    limits
        Limits instead of those of the specification, for tests.

    Raises
    ------
    TrainerError
        With one message for the user and the exit code.
    """
    config = job.config
    job.tracker.without_estimate()  # only the script knows its progress
    job.tracker.begin(Stage.LOAD, f"checking the specification of {config.namespace}/{config.name}")
    check_own_code(config)
    store, keys = open_model(job)
    bounds = limits or Limits(seconds=config.spec.active_deadline_seconds)
    return register_once(job, store, keys, lambda: _train(job, store, keys, bounds))


def _train(job: Job, store: ArtifactStore, keys: ModelKeys, limits: Limits) -> FinishedRun:
    run = begin_run(store, keys, job.config.uid, job.config.attempt)
    with tempfile.TemporaryDirectory(
        prefix="trainyard-", dir=job.env.work_dir, ignore_cleanup_errors=True
    ) as work:  # the script can create a folder that cannot be read
        folder = Path(work)
        home, output = folder / "script", folder / "output"
        for each in (home, output):
            each.mkdir()
        script = _fetch(job, home)
        source = script.read_bytes()  # the file before the script runs
        handover = _lay_out(job, run, folder)
        enter(job, Stage.TRAIN, "starting the script")
        _execute(job, script, folder / "input" / meta.CONFIG_FILE, limits)
        job.tracker.begin(Stage.EVALUATE, "reading the output of the script")
        kept = folder / "run"
        kept.mkdir()
        (kept / FILE).write_bytes(source)
        libraries = {"python": platform.python_version()}
        return store_own(job, handover, output, kept, store, further=(FILE,), libraries=libraries)


def _fetch(job: Job, home: Path) -> Path:
    script = job.config.spec.script
    if script is None:
        raise ConfigError("framework Script needs the section script: configMapRef, uri or inline")

    def go_on() -> None:
        if job.stop():
            raise Interrupted("stopped by a signal while fetching the script; the next attempt starts again")

    return fetch_script(script, Ways.of(job.config, job.env), home, go_on)


def _lay_out(job: Job, run: str, folder: Path) -> Handover:
    """Write the data for the script.

    The rows are released when this function returns, so the script can use the memory.
    """
    table = job.steps.load(job.config, job.env, job.tracker, job.stop)
    enter(job, Stage.PREPROCESS, "checking the data")
    dataset, roles = typed_with_roles(job, table)
    job.tracker(0.5, f"writing {dataset.rows} rows as CSV")
    folders = replace(job.env, input_dir=folder / "input", output_dir=folder / "output")
    lay_out(job.config, dataset, roles, folders)
    return Handover.of(run, dataset, profiled(dataset, job.config, job.env))


def _execute(job: Job, script: Path, config: Path, limits: Limits) -> None:
    reader = OutputReader(job.tracker, str(script.parent))
    ended = run_group(
        [sys.executable, str(script), str(config)],
        folder=script.parent,
        environment=environment_of(job.config.spec, os.environ, home=script.parent, config=config),
        limits=limits,
        stop=job.stop,
        receive=reader.receive,
    )
    reader.close()
    check_exit(ended, reader.last_line, limits.seconds)
