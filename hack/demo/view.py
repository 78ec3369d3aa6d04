"""Follow TrainingJobs until all have ended: a live table in a terminal, otherwise one line per change."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cluster.model import ClusterError
from trainyard_api.batch import TERMINAL_PHASES

Json = dict[str, Any]

PERIOD_SECONDS = 0.5
COLOURS = {"Succeeded": "green", "Failed": "red", "Cancelled": "red", "Running": "cyan", "Retrying": "yellow"}
SHOWN_METRICS = 3
PHASE_WIDTH = 9
BAR_WIDTH = 16


@dataclass(frozen=True)
class JobRow:
    """One row of the table, for one TrainingJob."""

    name: str
    phase: str
    progress: int
    doing: str

    @property
    def ended(self) -> bool:
        """Whether the phase of the job is final."""
        return self.phase in TERMINAL_PHASES


def job_row(job: Json) -> JobRow:
    """Return the row of a TrainingJob from the API server."""
    status = job.get("status", {})
    trainer = status.get("trainerStatus", {})
    phase = status.get("phase", "Pending")
    return JobRow(
        name=job["metadata"]["name"],
        phase=phase,
        progress=100 if phase == "Succeeded" else int(trainer.get("progressPercentage", 0)),
        doing=_doing(phase, status, trainer),
    )


def _doing(phase: str, status: Json, trainer: Json) -> str:
    if phase == "Succeeded":
        metrics = status.get("result", {}).get("metrics", [])[:SHOWN_METRICS]
        version = status.get("modelVersion", {}).get("name", "")
        return ", ".join([version, *(f"{each['name']} {float(each['value']):.3g}" for each in metrics)])
    if phase in TERMINAL_PHASES:
        ready = [each for each in status.get("conditions", []) if each["type"] == "Ready"]
        return str(ready[0].get("message", "")) if ready else ""
    return ": ".join(part for part in (trainer.get("stage", ""), trainer.get("message", "")) if part)


def follow(fetch: Callable[[], Sequence[Json]], console: Console, *, timeout_seconds: float) -> list[JobRow]:
    """Show the jobs that ``fetch`` returns until all have ended, and return their last rows.

    Raises
    ------
    ClusterError
        If jobs have not ended in time. The message names them.
    """
    end = time.monotonic() + timeout_seconds
    before: list[JobRow] = []
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            rows = [job_row(job) for job in fetch()]
            if console.is_terminal:
                live.update(_table(rows), refresh=True)
            else:
                _print_changes(console, before, rows)
            if rows and all(row.ended for row in rows):
                break
            if time.monotonic() > end:
                late = (
                    ", ".join(f"{row.name} ({row.phase})" for row in rows if not row.ended) or "no TrainingJob exists"
                )
                raise ClusterError(f"not ended after {timeout_seconds:.0f} s: {late}")
            before = rows
            time.sleep(PERIOD_SECONDS)
    if console.is_terminal:
        console.print(_table(rows))
    return rows


def _table(rows: Sequence[JobRow]) -> Table:
    """Return one row per job. In a narrow terminal, only the last column is truncated."""
    names = max((len(row.name) for row in rows), default=0)
    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    for heading, width in (("TRAININGJOB", names), ("PHASE", PHASE_WIDTH), ("", BAR_WIDTH), ("", 4)):
        table.add_column(heading, width=max(width, len(heading)), no_wrap=True)
    table.add_column("", ratio=1, no_wrap=True)
    for row in rows:
        table.add_row(
            row.name,
            Text(row.phase, style=COLOURS.get(row.phase, "default")),
            ProgressBar(completed=row.progress, width=BAR_WIDTH),
            f"{row.progress:3d}%",
            row.doing,
        )
    return table


def _print_changes(console: Console, before: Sequence[JobRow], rows: Sequence[JobRow]) -> None:
    known = {row.name: row for row in before}
    for row in rows:
        if known.get(row.name) != row:
            console.print(f"{row.name:28} {row.phase:10} {row.progress:3d}%  {row.doing}", soft_wrap=True)
