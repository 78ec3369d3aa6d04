"""The command line: without arguments the training of this pod, with ``run`` one on this machine."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from trainyard_trainer.environment import Environment
from trainyard_trainer.stopping import stop_on_signals

if TYPE_CHECKING:
    from trainyard_api.wire import TrainingResult
    from trainyard_trainer.pipeline import Job


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and return the exit code (see :mod:`trainyard_api.exit_codes`)."""
    options = _parser().parse_args(arguments)
    if options.command == "run":
        return _run_here(options.file, options.output)
    return _run_in_pod(options.command)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trainyard-trainer",
        description="Train one model. Without a command: the job of this pod, from TRAINYARD_CONFIG_DIR/config.json.",
    )
    parser.add_argument("--version", action="version", version=f"trainyard-trainer {version('trainyard')}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    run = commands.add_parser("run", help="train a TrainingJob from a YAML file on this machine, without a cluster")
    run.add_argument("-f", "--file", type=Path, required=True, metavar="JOB.yaml", help="one TrainingJob")
    run.add_argument("--output", type=Path, required=True, metavar="DIR", help="where models and result.json go")
    commands.add_parser("fetch", help="in a pod of framework Container: lay the data out for the user's container")
    commands.add_parser("register", help="in a pod of framework Container: register what the user's container left")
    return parser


def _run_in_pod(command: str | None) -> int:
    stop = stop_on_signals()  # before the imports: a process 1 without a handler ignores SIGTERM
    from trainyard_trainer.job import read_config, run_job
    from trainyard_trainer.progress.log import log_as_json

    env = Environment.from_environ(os.environ)
    return run_job(lambda: read_config(env), env, stop, display=log_as_json(), work=_work(command))


def _work(command: str | None) -> "Callable[[Job], TrainingResult | None]":
    match command:
        case "fetch":
            from trainyard_trainer.container.fetch import fetch

            return fetch
        case "register":
            from trainyard_trainer.container.register import register

            return register
        case _:
            from trainyard_trainer.dispatch import run

            return run


def _run_here(file: Path, output: Path) -> int:
    stop = stop_on_signals()
    from trainyard_trainer.job import run_job
    from trainyard_trainer.local import local_environment, read_job_file
    from trainyard_trainer.progress.log import log_as_json

    env = local_environment(os.environ, output)
    if not sys.stdout.isatty():
        return run_job(lambda: read_job_file(file, output), env, stop, display=log_as_json())
    from trainyard_trainer.progress.terminal import TerminalBar

    bar = TerminalBar(file.stem)
    return run_job(lambda: read_job_file(file, output), env, stop, display=bar, listeners=(bar,))
