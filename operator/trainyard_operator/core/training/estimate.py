"""Estimate of a training's duration from earlier trainings of the model."""

from collections.abc import Iterable
from statistics import median
from typing import Final

from trainyard_operator.core.objects import TrainingJobView
from trainyard_operator.core.times import from_rfc3339

RUNS: Final = 5
"""Number of runs to use. Older runs are less representative, because data grows and parameters change."""


def estimated_seconds(job: TrainingJobView, of_model: Iterable[TrainingJobView]) -> int | None:
    """Return the median duration in seconds of the model's last runs, ``None`` if there are none.

    Only runs with the same framework and mode count. A duration lasts from the first pod's start to the completion and
    includes failed attempts.
    """
    kind = _kind(job)
    runs = [
        (run.status.completion_time, run.status.start_time)
        for run in of_model
        if run.status.phase == "Succeeded" and _kind(run) == kind
    ]
    spans = sorted(
        (from_rfc3339(end), from_rfc3339(start)) for end, start in runs if end is not None and start is not None
    )
    seconds = [max(0.0, (end - start).total_seconds()) for end, start in spans[-RUNS:]]
    return round(median(seconds)) if seconds else None


def _kind(job: TrainingJobView) -> tuple[object, object]:
    return job.spec.get("framework"), job.spec.get("mode", "Train")
