"""Follow TrainingJobs until all have ended: a live table in a terminal, a line per change elsewhere."""

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
class JobLine:
    """What one row shows of a TrainingJob."""

    name: str
    phase: str
    progress: int
    doing: str

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.phase in TERMINAL_PHASES


def job_line(job: Json) -> JobLine:
    """Read the row out of the object as the API server gave it."""
    status = job.get("status", {})
    trainer = status.get("trainerStatus", {})
    phase = status.get("phase", "Pending")
    return JobLine(
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


def follow(fetch: Callable[[], Sequence[Json]], console: Console, *, timeout_seconds: float) -> list[JobLine]:
    """Show the jobs that ``fetch`` returns until all have ended, and return their last rows.

    Raises
    ------
    ClusterError
        Some have not ended in time; the sentence names them.
    """
    end = time.monotonic() + timeout_seconds
    before: list[JobLine] = []
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            lines = [job_line(job) for job in fetch()]
            if console.is_terminal:
                live.update(_table(lines), refresh=True)
            else:
                _print_changes(console, before, lines)
            if lines and all(line.ended for line in lines):
                break
            if time.monotonic() > end:
                late = ", ".join(f"{line.name} ({line.phase})" for line in lines if not line.ended) or "no job is there"
                raise ClusterError(f"not ended after {timeout_seconds:.0f} s: {late}")
            before = lines
            time.sleep(PERIOD_SECONDS)
    if console.is_terminal:
        console.print(_table(lines))
    return lines


def _table(lines: Sequence[JobLine]) -> Table:
    """Return one row per job; in a narrow terminal only the last column is cut."""
    names = max((len(line.name) for line in lines), default=0)
    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    for heading, width in (("TRAININGJOB", names), ("PHASE", PHASE_WIDTH), ("", BAR_WIDTH), ("", 4)):
        table.add_column(heading, width=max(width, len(heading)), no_wrap=True)
    table.add_column("", ratio=1, no_wrap=True)
    for line in lines:
        table.add_row(
            line.name,
            Text(line.phase, style=COLOURS.get(line.phase, "default")),
            ProgressBar(completed=line.progress, width=BAR_WIDTH),
            f"{line.progress:3d}%",
            line.doing,
        )
    return table


def _print_changes(console: Console, before: Sequence[JobLine], lines: Sequence[JobLine]) -> None:
    known = {line.name: line for line in before}
    for line in lines:
        if known.get(line.name) != line:
            console.print(f"{line.name:28} {line.phase:10} {line.progress:3d}%  {line.doing}", soft_wrap=True)
