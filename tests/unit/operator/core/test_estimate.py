from typing import Any

import pytest

from tests.unit.operator.samples import SPEC, job_view
from trainyard_operator.core.objects import TrainingJobView
from trainyard_operator.core.training.estimate import estimated_seconds


def run_of(day: int, seconds: int, phase: str = "Succeeded", **spec: Any) -> TrainingJobView:
    start, end = f"2026-11-{day:02d}T08:00:00Z", f"2026-11-{day:02d}T08:{seconds // 60:02d}:{seconds % 60:02d}Z"
    return job_view({"phase": phase, "startTime": start, "completionTime": end}, spec={**SPEC, **spec})


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([], None),
        ([run_of(1, 90)], 90),
        ([run_of(1, 60), run_of(2, 61)], 60),
        ([run_of(day, 60 * day) for day in (7, 1, 2, 3, 4, 5, 6)], 300),
        ([run_of(1, 60, "Failed"), run_of(2, 60, "Running"), run_of(3, 60, framework="Prophet")], None),
        ([run_of(1, 9, mode="Prepare"), run_of(2, 60, mode="Train"), run_of(3, 62)], 61),
        ([job_view({"phase": "Succeeded", "completionTime": "2026-11-21T08:00:00Z"})], None),
    ],
    ids=["none", "one", "two", "the-last-five", "others", "another-mode", "never-started"],
)
def test_the_estimate_is_the_median_of_the_last_runs(runs: list[TrainingJobView], expected: int | None) -> None:
    assert estimated_seconds(job_view(), runs) == expected
