"""The command line.

It takes no options, because the environment sets everything and the kserve SDK also reads ``sys.argv``.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final, NoReturn

from trainyard_api.exit_codes import ExitCode
from trainyard_trainer.environment import Environment
from trainyard_trainer.errors import TrainerError
from trainyard_trainer.progress.log import LOGGER, log_as_json
from trainyard_trainer.progress.redact import redact
from trainyard_trainer.stopping import end_process

_CRASHED: Final = 1
_MESSAGE_BYTES: Final = 1024


def start() -> NoReturn:
    """Run as the program ``trainyard-server``. The process ends with the exit code."""
    end_process(main())


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve, and return the exit code (see :mod:`trainyard_api.exit_codes`)."""
    _parser().parse_args(arguments)
    # Process 1 ignores SIGTERM if it has no handler, and the imports below take seconds.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ExitCode.OK))
    # Several threads serve requests in parallel. OpenMP threads would compete with them for the CPU quota.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    log_as_json().stage = "serve"
    try:
        from trainyard_server.settings import Settings

        settings = Settings.from_environ(os.environ)
        from trainyard_server.serving import run

        return run(settings)
    except TrainerError as error:
        return _report_failure(error.code, str(error))
    except Exception as error:  # noqa: BLE001 - becomes the visible end of a crash
        LOGGER.exception("the server crashed")
        return _report_failure(_CRASHED, f"{type(error).__name__}: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trainyard-server",
        description="Serve one version of one model, named by the environment (docs/server.md), over HTTP.",
    )
    parser.add_argument("--version", action="version", version=f"trainyard-server {version('trainyard')}")
    return parser


def _report_failure(code: int, message: str) -> int:
    """Write the reason to the log and to the termination message, where ``kubectl describe pod`` and the operator read
    it.
    """
    text = redact(message)
    LOGGER.error("failed, exit code %d: %s", code, text)
    termination_log: Path = Environment.from_environ(os.environ).termination_log
    try:
        termination_log.write_bytes(text.encode()[:_MESSAGE_BYTES])
    except OSError as error:
        LOGGER.warning("%s cannot be written: %s", termination_log, error.strerror)
    return code
