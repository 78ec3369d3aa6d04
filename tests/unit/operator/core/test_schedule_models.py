"""A schedule reports whether its models are accepted, counts each rejection once, and may stop after rejections."""

import pytest

from tests.unit.operator.api_server import NAMESPACE
from tests.unit.operator.schedules import World
from trainyard_operator.kube.port import EVENTS, TRAINING_JOBS


class HourlyRuns:
    """A schedule whose runs a test moves from hour to hour."""

    def __init__(self, **spec: object) -> None:
        self.world = World(**spec)
        self.hour = 9
        self.number = 0

    def run(self) -> str:
        """Advance the clock until the next run starts, and return its name."""
        before = set(self.world.jobs)
        self.world.go_to(f"{self.hour:02d}:00:00")
        self.hour += 1
        (name,) = set(self.world.jobs) - before
        return name

    def train(self) -> str:
        """Let the next run succeed with an unjudged version."""
        self.number += 1
        self.world.end_with_version(name := self.run(), self.number)
        self.world.operator.settle()
        return name

    def train_and_judge(self, phase: str) -> str:
        """Let the next run succeed, and set the verdict on its version."""
        name = self.train()
        self.world.judge(name, phase)
        self.world.operator.settle()
        return name

    @property
    def counted(self) -> tuple[int | None, int | None, int | None]:
        """The last accepted version, the rejections since then, and the failures in a row."""
        status = self.world.status
        names = ("lastAcceptedVersion", "consecutiveRejections", "consecutiveFailures")
        accepted, rejected, failed = (status.get(name) for name in names)
        return accepted, rejected, failed

    @property
    def rejection_events(self) -> list[str]:
        events = self.world.cluster.of(EVENTS).values()
        return [body["note"] for body in events if body["reason"] == "VersionRejected"]


def test_before_the_first_verdict_there_is_no_model_condition() -> None:
    runs = HourlyRuns()
    name = runs.train()
    assert [run["name"] for run in runs.world.status["awaitingVerdict"]] == [name]
    assert [each["type"] for each in runs.world.status["conditions"]] == ["Ready"]
    assert runs.counted == (None, None, 0)


def test_accepted_and_rejected_versions_are_counted() -> None:
    runs = HourlyRuns()
    runs.train_and_judge("Validated")
    assert runs.counted == (1, 0, 0)
    assert runs.world.condition("ModelAccepted")["status"] == "True"
    assert "awaitingVerdict" not in runs.world.status
    since = runs.world.status["lastAcceptedTime"]
    runs.train_and_judge("Rejected")
    runs.train_and_judge("Rejected")
    assert runs.counted == (1, 2, 0), "a rejected version is not a failed run"
    assert runs.world.status["lastAcceptedTime"] == since
    condition = runs.world.condition("ModelAccepted")
    assert (condition["status"], condition["reason"]) == ("False", "VersionRejected")
    assert condition["message"].startswith("version 3 (nightly-")
    assert condition["message"].endswith(") was rejected (rejections since version 1: 2): its gates said Rejected")
    assert runs.world.condition()["status"] == "True", "the schedule itself is ready"
    assert len(runs.rejection_events) == 2
    runs.train_and_judge("Validated")
    assert runs.counted == (4, 0, 0)


def test_the_first_version_may_be_rejected() -> None:
    runs = HourlyRuns()
    runs.train_and_judge("Rejected")
    assert (
        "was rejected (rejections so far: 1): its gates said Rejected"
        in runs.world.condition("ModelAccepted")["message"]
    )
    assert runs.counted == (None, 1, 0)


def test_a_version_validated_by_a_user_counts_as_accepted() -> None:
    runs = HourlyRuns()
    name = runs.train_and_judge("Rejected")
    runs.train_and_judge("Rejected")
    assert runs.counted == (None, 2, 0)
    runs.world.go_to("10:30:00")
    runs.world.judge(name, "Validated")
    runs.world.operator.settle()
    assert runs.counted == (1, 0, 0)
    assert runs.world.condition("ModelAccepted")["status"] == "True"


def test_an_unknown_verdict_changes_no_count() -> None:
    runs = HourlyRuns(countRejections=True, stopAfterFailures=3)
    runs.train_and_judge("Rejected")
    runs.train_and_judge("Unknown")
    assert runs.counted == (None, 1, 1)
    assert "awaitingVerdict" not in runs.world.status


def test_a_run_deleted_before_its_verdict_changes_no_count() -> None:
    runs = HourlyRuns()
    runs.world.cluster.remove(TRAINING_JOBS, NAMESPACE, runs.train())
    runs.world.operator.settle()
    assert "awaitingVerdict" not in runs.world.status
    assert runs.counted == (None, None, 0)


def test_a_run_is_kept_until_its_verdict() -> None:
    runs = HourlyRuns(successfulJobsHistoryLimit=0)
    name = runs.train()
    runs.world.operator.restart()
    runs.world.operator.settle()
    assert name in runs.world.jobs
    runs.world.judge(name, "Rejected")
    runs.world.operator.settle()
    runs.world.cluster.collect()
    runs.world.operator.settle()
    assert name not in runs.world.jobs
    assert runs.counted == (None, 1, 0)
    assert runs.world.condition("ModelAccepted")["status"] == "False", "the condition stays when the run is deleted"


@pytest.mark.parametrize("counts", [True, False])
def test_rejections_can_stop_the_schedule(*, counts: bool) -> None:
    runs = HourlyRuns(countRejections=counts, stopAfterFailures=3)
    runs.train_and_judge("Rejected")
    runs.world.end(runs.run(), "Failed")
    runs.world.operator.settle()
    assert runs.counted == (None, 1, 2 if counts else 1)
    runs.train_and_judge("Rejected")
    assert runs.counted == (None, 2, 3 if counts else 0)
    assert runs.world.status["phase"] == ("Stalled" if counts else "Active")
    if counts:
        assert runs.world.condition("Stalled")["message"] == (
            "3 runs in a row failed or created a rejected version: no further run starts automatically until the "
            "template changes, or a run requested by the annotation trainyard.dev/run-now creates an accepted version"
        )


def test_an_accepted_version_resets_the_counts() -> None:
    runs = HourlyRuns(countRejections=True, stopAfterFailures=3)
    runs.train_and_judge("Rejected")
    runs.train_and_judge("Rejected")
    unjudged = runs.train()
    assert runs.counted == (None, 2, 2), "no change before its verdict"
    runs.world.judge(unjudged, "Validated")
    runs.world.operator.settle()
    assert runs.counted == (3, 0, 0)


def test_a_run_without_a_version_is_a_success() -> None:
    """A run with mode Prepare makes no version."""
    runs = HourlyRuns(countRejections=True, stopAfterFailures=3)
    runs.train_and_judge("Rejected")
    runs.world.end(runs.run())
    runs.world.operator.settle()
    assert runs.counted == (None, 1, 0)


def test_events_in_the_wrong_order_are_counted_once() -> None:
    runs = HourlyRuns()
    refused, accepted = runs.train(), runs.train()
    runs.world.judge(refused, "Rejected")
    early = runs.world.jobs[refused]["status"]
    runs.world.cluster.tick(5)
    runs.world.cluster.change(
        TRAINING_JOBS, NAMESPACE, refused, status={**early, "verdict": {"phase": "Pending", "reason": "Pending"}}
    )
    runs.world.judge(accepted, "Validated")
    runs.world.operator.settle()
    runs.world.cluster.change(TRAINING_JOBS, NAMESPACE, refused, status=early)
    runs.world.operator.settle()
    assert runs.counted == (2, 0, 0)
    assert len(runs.rejection_events) == 1
