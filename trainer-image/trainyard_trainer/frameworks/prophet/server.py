"""The modules that Prophet's workers have in memory when they start: see ``fork_server``."""

from typing import Final

from trainyard_trainer.frameworks.workers import fork_server

_PROPHET: Final = "trainyard_trainer.frameworks.prophet.preload"
_SEARCH: Final = ("trainyard_trainer.search.study", "optuna")
_INTERMITTENT: Final = "statsforecast.models"


def start(*, search: bool, intermittent: bool = False) -> None:
    """Start the fork server, unless it is running.

    Parameters
    ----------
    intermittent
        Whether a series has intermittent demand, which is only known from the data. Its fallbacks need statsforecast,
        115 MiB.
    """
    fork_server.start(_PROPHET, *(_SEARCH if search else ()), *((_INTERMITTENT,) if intermittent else ()))
