"""What the workers have in memory when they start: see ``fork_server``."""

from typing import Final

from trainyard_trainer.frameworks.workers import fork_server

_PRELOAD: Final = "trainyard_trainer.frameworks.statsforecast.preload"


def start() -> None:
    """Start the process that workers are forked from, unless it runs."""
    fork_server.start(_PRELOAD)
