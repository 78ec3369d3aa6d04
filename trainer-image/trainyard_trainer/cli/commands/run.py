"""``run``: a training on this machine, with a progress bar in a terminal and JSON lines elsewhere."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from trainyard_api.exit_codes import ExitCode
from trainyard_api.wire import TrainerConfig, TrainingResult
from trainyard_trainer.cli.local import local_environment, read_job_file
from trainyard_trainer.job.run import run_job
from trainyard_trainer.progress.log import log_as_json


def run(file: Path, output: Path, stop: Callable[[], bool], *, resume: bool) -> int:
    """Train the job of a file into a folder. Return the exit code."""
    env = local_environment(os.environ, output)

    def config() -> TrainerConfig:
        return read_job_file(file, output, resume=resume)

    if not sys.stdout.isatty():
        return run_job(config, env, stop, display=log_as_json())
    from trainyard_trainer.progress.terminal import TerminalBar

    bar = TerminalBar(file.stem)
    code = run_job(config, env, stop, display=bar, listeners=(bar,))
    if code == ExitCode.OK:
        bar.show(_summary(env.termination_log, output))
    elif code == ExitCode.INTERRUPTED:
        bar.show("run the same command with --resume to continue from the finished work\n")
    return code


def _summary(result_file: Path, output: Path) -> str:
    """Return the metrics and the report of the new version. Empty for a dataset, because its log has everything."""
    from trainyard_trainer.cli.commands.report import summary
    from trainyard_trainer.cli.commands.versions import find

    result = TrainingResult.model_validate_json(result_file.read_bytes())
    if result.model_version is None or result.artifact is None:
        return ""
    made = find(Path(result.artifact.uri.removeprefix("file://")))
    return summary(find(output, made.manifest.model, result.model_version.version))
