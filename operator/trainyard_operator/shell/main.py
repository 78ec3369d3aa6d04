"""The console script ``trainyard-operator``."""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Mapping
from typing import Final

from trainyard_api.exit_codes import ExitCode
from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.kube.credentials import Credentials, CredentialsError, load_credentials
from trainyard_operator.shell.app import Operator
from trainyard_operator.shell.config import ConfigError, load_config
from trainyard_operator.shell.logs import configure_logging
from trainyard_operator.shell.start import StartError

SIGNALS = (signal.SIGTERM, signal.SIGINT)

_COLLECT: Final = (10_000, 50, 100)
"""Thresholds of Python's garbage collector: see ``gc.set_threshold``.

The store holds every watched object, and a full collection visits all of them. With 9,000 TrainingJobs, that took 13 %
of the operator's time, in pauses of 0.4 s.
"""


def main() -> None:
    """Run the operator until a signal ends it."""
    configure_logging()
    gc.set_threshold(*_COLLECT)
    sys.exit(run(os.environ))


def run(env: Mapping[str, str]) -> int:
    """Run the operator as the environment says, and return the exit code of the process."""
    try:
        config, credentials = load_config(env), load_credentials(env)
        logging.getLogger().setLevel(config.log_level.upper())
        asyncio.run(_serve(config, credentials, env))
    except (ConfigError, CredentialsError) as error:
        return _say(error, ExitCode.BAD_CONFIG)
    except StartError as error:
        return _say(error, error.code)
    return ExitCode.OK


async def _serve(config: OperatorConfig, credentials: Credentials, env: Mapping[str, str]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def take_signals() -> None:
        for number in SIGNALS:
            loop.add_signal_handler(number, stop.set)

    take_signals()
    await Operator(config, credentials, stop=stop, kopf_ready=take_signals, env=env).run()


def _say(error: Exception, code: ExitCode) -> int:
    print(f"trainyard-operator: {error}", file=sys.stderr)
    return code
