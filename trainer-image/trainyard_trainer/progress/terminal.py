"""A progress bar for local trainings in a terminal."""

import logging

from rich.console import Console
from rich.highlighter import NullHighlighter
from rich.logging import RichHandler
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from trainyard_api.wire import ReportedStatus
from trainyard_trainer.progress.log import LOGGER


class TerminalBar:
    """One bar for the whole training, with log lines above it."""

    def __init__(self, title: str) -> None:
        self.stage = "start"
        self._console = console = Console()
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}% {task.fields[stage]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._bar.add_task(title, total=100, stage="")
        handler = RichHandler(console=console, show_path=False, show_level=False, highlighter=NullHighlighter())
        logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler], force=True)
        LOGGER.setLevel(logging.INFO)

    def submit(self, status: ReportedStatus) -> None:
        """Update the bar. The first status shows it."""
        self._bar.start()
        self._bar.update(self._task, completed=status.progress_percentage or 0, stage=status.stage or "")

    def close(self) -> None:
        """Stop the bar in its current state."""
        self._bar.stop()

    def show(self, text: str) -> None:
        """Print text below the bar unchanged. Long lines are not wrapped, so that a path can be copied."""
        self._console.print(text, end="", highlight=False, markup=False, soft_wrap=True)
