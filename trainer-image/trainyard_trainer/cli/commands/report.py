"""``report``: the metrics of the newest version, and the address of its report."""

import webbrowser
from pathlib import Path

from trainyard_trainer.artifacts.manifest import Manifest
from trainyard_trainer.cli.commands.columns import aligned
from trainyard_trainer.cli.commands.versions import Found, find
from trainyard_trainer.evaluate.names import BASELINE
from trainyard_trainer.progress.tracker import metric_value


def report(folder: Path, model: str | None, version: int | None, *, show: bool) -> str:
    """Return the metrics next to those of the baseline, and the path of the report.

    Open it if ``show``. Raises TrainerError.
    """
    found = find(folder, model, version)
    if show:
        webbrowser.open(page_of(found).as_uri())
    return summary(found)


def summary(found: Found) -> str:
    """Return a summary of a training for people."""
    warnings = "".join(f"warning: {text}\n" for text in found.manifest.warnings)
    return f"{found.title}\n{metrics_table(found.manifest)}{warnings}report: {page_of(found)}\n"


def page_of(found: Found) -> Path:
    """Return the path of the report of a run."""
    return (found.folder / found.manifest.report).resolve()


def metrics_table(manifest: Manifest) -> str:
    """Return one line per metric, the objective first and marked, with the metrics of the baseline next to them."""
    names = sorted(
        (name for name in manifest.metrics if not name.startswith(BASELINE)),
        key=lambda name: (name != manifest.objective.metric, name),
    )
    rows = [
        (
            f"{name} *" if name == manifest.objective.metric else name,
            metric_value(manifest.metrics[name]),
            metric_value(manifest.metrics[BASELINE + name]) if BASELINE + name in manifest.metrics else "",
        )
        for name in names
    ]
    return aligned([("metric", "model", "baseline"), *rows], indent="  ")
