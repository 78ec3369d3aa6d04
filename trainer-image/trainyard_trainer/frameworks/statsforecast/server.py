"""The modules that workers have in memory when they start: see ``fork_server``."""

from typing import Final

from trainyard_trainer.frameworks.workers import fork_server

_PRELOAD: Final = "trainyard_trainer.frameworks.statsforecast.preload"


def start() -> None:
    """Start the fork server, unless it is running."""
    fork_server.start(_PRELOAD)
