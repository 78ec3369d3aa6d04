"""The command line. Without arguments it runs the training of this pod; with ``run`` it runs one on this machine."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from trainyard_api.exit_codes import ExitCode
from trainyard_trainer.cli.commands.storage_options import add_import, add_logs, add_prune
from trainyard_trainer.environment import Environment, limit_threads, worker_count
from trainyard_trainer.errors import TrainerError
from trainyard_trainer.stopping import end_process, stop_on_signals

if TYPE_CHECKING:
    from trainyard_api.wire import TrainingResult
    from trainyard_trainer.job.steps import Job


def start() -> NoReturn:
    """Run as the program ``trainyard-trainer``, with the arguments of the process.

    The process ends with the exit code.
    """
    end_process(main())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and return the exit code (see :mod:`trainyard_api.exit_codes`)."""
    options = _parser().parse_args(arguments)
    limit_threads(os.environ, worker_count(0))
    match options.command:
        case "run":
            stop = stop_on_signals()
            from trainyard_trainer.cli.commands.run import run

            return run(options.file, options.output, stop, resume=options.resume)
        case "predict" if (options.file, options.models, options.output) != (None, None, None):
            return _predict_here(options)
        case "validate" | "report" | "inspect":
            return _print_findings(options)
        case "import" | "prune" | "logs":
            return _maintain_storage(options)
        case command:
            return _run_in_pod(command)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trainyard-trainer",
        description=(
            "Train one model. Without a command: run the job of this pod, from TRAINYARD_CONFIG_DIR/config.json."
        ),
        epilog=(
            "Exit codes: 0 success, 64 invalid specification, 65 invalid data, 66 input missing, 69 server "
            "unavailable, 75 interrupted, 77 not permitted, 78 not supported."
        ),
    )
    parser.add_argument("--version", action="version", version=f"trainyard-trainer {version('trainyard')}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    run = commands.add_parser("run", help="train a TrainingJob from a YAML file on this machine, without a cluster")
    validate = commands.add_parser("validate", help="check a TrainingJob without training it")
    for command in (run, validate):
        command.add_argument("-f", "--file", type=Path, required=True, metavar="JOB.yaml", help="one TrainingJob")
    run.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for models and result.json")
    run.add_argument("--resume", action="store_true", help="continue the last run of this model that was stopped")
    validate.add_argument("--data", action="store_true", help="also read the data and report its problems")
    predict = commands.add_parser("predict", help="predict with a registered version, as a PredictionJob says")
    predict.add_argument("-f", "--file", type=Path, metavar="JOB.yaml", help="one PredictionJob; omit it in a pod")
    predict.add_argument("--models", metavar="ADDRESS", help="the --output of run, or the address of a storage")
    predict.add_argument("--output", type=Path, metavar="DIR", help="folder for the predictions and result.json")
    report = commands.add_parser("report", help="show the metrics of the newest version and the path of its report")
    inspect = commands.add_parser("inspect", help="show a version, and check its files against its manifest")
    for command in (report, inspect):
        command.add_argument("folder", type=Path, metavar="DIR", help="the --output of run, or the folder of one run")
        command.add_argument("--model", metavar="NAME", help="name of the model, if the folder has several")
        command.add_argument(
            "--version", dest="number", type=int, metavar="N", help="version number; default: the newest"
        )
    report.add_argument("--open", action="store_true", help="open the report in a browser")
    for name, text, add in (
        ("import", "write the ModelVersions of a storage as YAML, for a cluster that has lost them", add_import),
        ("prune", "show the unused objects of a storage, and remove them with --delete", add_prune),
        ("logs", "print the logs of the pods of a TrainingJob", add_logs),
    ):
        add(commands.add_parser(name, help=text, description=text))
    commands.add_parser("fetch", help="in a pod of framework Container: write the input files for the user's container")
    commands.add_parser("register", help="in a pod of framework Container: register the output of the user's container")
    return parser


def _predict_here(options: argparse.Namespace) -> int:
    if options.file is None or options.models is None or options.output is None:
        print("predict needs -f, --models and --output together; only in a pod, it needs none", file=sys.stderr)
        return ExitCode.BAD_CONFIG
    stop = stop_on_signals()
    from trainyard_trainer.cli.commands.predict import predict

    return predict(options.file, options.models, options.output, stop)


def _print_findings(options: argparse.Namespace) -> int:
    """Run a command and print its text. An error is one message on standard error."""
    good = True
    try:
        match options.command:
            case "validate":
                from trainyard_trainer.cli.commands.validate import validate

                text = validate(options.file, data=options.data)
            case "report":
                from trainyard_trainer.cli.commands.report import report

                text = report(options.folder, options.model, options.number, show=options.open)
            case _:
                from trainyard_trainer.cli.commands.inspect import inspect

                text, good = inspect(options.folder, options.model, options.number)
    except TrainerError as error:
        print(error, file=sys.stderr)
        return error.code
    print(text, end="")
    if not good:
        print("the files marked above are not the registered ones: do not use them", file=sys.stderr)
    return ExitCode.OK if good else ExitCode.BAD_DATA


def _maintain_storage(options: argparse.Namespace) -> int:
    """Run a command on a storage. An error is one message on standard error."""
    try:
        match options.command:
            case "import":
                from trainyard_trainer.cli.commands.import_versions import import_versions

                return import_versions(options)
            case "prune":
                from trainyard_trainer.cli.commands.prune import prune

                return prune(options)
            case _:
                from trainyard_trainer.cli.commands.logs import logs

                return logs(options)
    except TrainerError as error:
        print(error, file=sys.stderr)
        return error.code


def _run_in_pod(command: str | None) -> int:
    stop = stop_on_signals()  # before the imports: process 1 ignores SIGTERM if it has no handler
    from trainyard_trainer.job.run import read_config, read_prediction_config, run_job
    from trainyard_trainer.progress.log import log_as_json

    env = Environment.from_environ(os.environ)
    if command == "predict":
        from trainyard_trainer.job.predict.work import PredictionWork

        work = PredictionWork(lambda: read_prediction_config(env), env)
        return run_job(work.config, env, stop, display=log_as_json(), work=work.run, part=command)
    return run_job(
        lambda: read_config(env), env, stop, display=log_as_json(), work=_work(command), part=command or "train"
    )


def _work(command: str | None) -> "Callable[[Job], TrainingResult | None]":
    match command:
        case "fetch":
            from trainyard_trainer.job.container.fetch import fetch

            return fetch
        case "register":
            from trainyard_trainer.job.container.register import register

            return register
        case _:
            from trainyard_trainer.job.dispatch import run

            return run
