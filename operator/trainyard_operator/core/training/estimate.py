"""How long a training will take, from what its model's earlier ones took."""

from collections.abc import Iterable
from statistics import median
from typing import Final

from trainyard_operator.core.objects import TrainingJobView
from trainyard_operator.core.times import from_rfc3339

RUNS: Final = 5
"""Older runs say less: data grows, parameters change."""


def estimated_seconds(job: TrainingJobView, of_model: Iterable[TrainingJobView]) -> int | None:
    """Return the median duration, in seconds, of the model's last runs of the same kind; ``None`` without any.

    Of the same kind are those with its framework and mode.

    A duration runs from the first pod's start to the end, attempts that failed included: it is what a user waits for.
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
