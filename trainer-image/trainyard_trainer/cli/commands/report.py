"""``report``: how good the newest version is, and where its page lies."""

import webbrowser
from pathlib import Path

from trainyard_trainer.artifacts.manifest import Manifest
from trainyard_trainer.cli.commands.columns import aligned
from trainyard_trainer.cli.commands.versions import Found, find
from trainyard_trainer.evaluate.names import BASELINE
from trainyard_trainer.progress.tracker import metric_value


def report(folder: Path, model: str | None, version: int | None, *, show: bool) -> str:
    """Return the metrics beside the baseline's, and the report's place; open it if ``show``. Raises TrainerError."""
    found = find(folder, model, version)
    if show:
        webbrowser.open(page_of(found).as_uri())
    return summary(found)


def summary(found: Found) -> str:
    """Return what a person wants to know after a training."""
    warnings = "".join(f"warning: {text}\n" for text in found.manifest.warnings)
    return f"{found.title}\n{metrics_table(found.manifest)}{warnings}report: {page_of(found)}\n"


def page_of(found: Found) -> Path:
    """Return the page of a run."""
    return (found.folder / found.manifest.report).resolve()


def metrics_table(manifest: Manifest) -> str:
    """Return a line per metric, that of the objective first and marked, those of the baseline beside them."""
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
