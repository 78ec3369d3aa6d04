"""A schedule says whether its models are good enough, counts each refusal once, and may stop for them."""

import pytest

from tests.unit.operator.api_server import NAMESPACE
from tests.unit.operator.schedules import World
from trainyard_operator.kube.port import EVENTS, TRAINING_JOBS


class Nights:
    """A schedule whose runs are moved on from hour to hour."""

    def __init__(self, **spec: object) -> None:
        self.world = World(**spec)
        self.hour = 9
        self.number = 0

    def run(self) -> str:
        """Let the next run begin."""
        before = set(self.world.jobs)
        self.world.go_to(f"{self.hour:02d}:00:00")
        self.hour += 1
        (name,) = set(self.world.jobs) - before
        return name

    def train(self) -> str:
        """Let the next run succeed with a version."""
        self.number += 1
        self.world.end_with_version(name := self.run(), self.number)
        self.world.operator.settle()
        return name

    def night(self, phase: str) -> str:
        """Let the next run succeed, and its version be judged."""
        name = self.train()
        self.world.judge(name, phase)
        self.world.operator.settle()
        return name

    @property
    def counted(self) -> tuple[int | None, int | None, int | None]:
        """The last accepted version, the refusals since, and the failures in a row."""
        status = self.world.status
        names = ("lastAcceptedVersion", "consecutiveRejections", "consecutiveFailures")
        accepted, rejected, failed = (status.get(name) for name in names)
        return accepted, rejected, failed

    @property
    def told(self) -> list[str]:
        events = self.world.cluster.of(EVENTS).values()
        return [body["note"] for body in events if body["reason"] == "VersionRejected"]


def test_before_the_first_verdict_nothing_is_said() -> None:
    nights = Nights()
    name = nights.train()
    assert [run["name"] for run in nights.world.status["awaitingVerdict"]] == [name]
    assert [each["type"] for each in nights.world.status["conditions"]] == ["Ready"]
    assert nights.counted == (None, None, 0)


def test_good_and_bad_nights() -> None:
    nights = Nights()
    nights.night("Validated")
    assert nights.counted == (1, 0, 0)
    assert nights.world.condition("ModelAccepted")["status"] == "True"
    assert "awaitingVerdict" not in nights.world.status
    since = nights.world.status["lastAcceptedTime"]
    nights.night("Rejected")
    nights.night("Rejected")
    assert nights.counted == (1, 2, 0), "a refused model is no failed run"
    assert nights.world.status["lastAcceptedTime"] == since
    told = nights.world.condition("ModelAccepted")
    assert (told["status"], told["reason"]) == ("False", "VersionRejected")
    assert told["message"].startswith("version 3 (nightly-")
    assert told["message"].endswith(") was rejected (rejections since version 1: 2): its gates said Rejected")
    assert nights.world.condition()["status"] == "True", "the schedule itself is well"
    assert len(nights.told) == 2
    nights.night("Validated")
    assert nights.counted == (4, 0, 0)


def test_the_first_model_may_be_refused() -> None:
    nights = Nights()
    nights.night("Rejected")
    assert (
        "was rejected (rejections so far: 1): its gates said Rejected"
        in nights.world.condition("ModelAccepted")["message"]
    )
    assert nights.counted == (None, 1, 0)


def test_validated_by_hand_counts_from_then_on() -> None:
    nights = Nights()
    name = nights.night("Rejected")
    nights.night("Rejected")
    assert nights.counted == (None, 2, 0)
    nights.world.go_to("10:30:00")
    nights.world.judge(name, "Validated")
    nights.world.operator.settle()
    assert nights.counted == (1, 0, 0)
    assert nights.world.condition("ModelAccepted")["status"] == "True"


def test_a_version_that_nobody_judged_counts_as_nothing() -> None:
    nights = Nights(countRejections=True, stopAfterFailures=3)
    nights.night("Rejected")
    nights.night("Unknown")
    assert nights.counted == (None, 1, 1)
    assert "awaitingVerdict" not in nights.world.status


def test_a_run_that_is_deleted_before_its_verdict_counts_as_nothing() -> None:
    nights = Nights()
    nights.world.cluster.remove(TRAINING_JOBS, NAMESPACE, nights.train())
    nights.world.operator.settle()
    assert "awaitingVerdict" not in nights.world.status
    assert nights.counted == (None, None, 0)


def test_the_history_waits_for_the_verdict() -> None:
    nights = Nights(successfulJobsHistoryLimit=0)
    name = nights.train()
    nights.world.operator.restart()
    nights.world.operator.settle()
    assert name in nights.world.jobs
    nights.world.judge(name, "Rejected")
    nights.world.operator.settle()
    nights.world.cluster.collect()
    nights.world.operator.settle()
    assert name not in nights.world.jobs
    assert nights.counted == (None, 1, 0)
    assert nights.world.condition("ModelAccepted")["status"] == "False", "it stays when the run is gone"


@pytest.mark.parametrize("counts", [True, False])
def test_refusals_may_stop_the_schedule(*, counts: bool) -> None:
    nights = Nights(countRejections=counts, stopAfterFailures=3)
    nights.night("Rejected")
    nights.world.end(nights.run(), "Failed")
    nights.world.operator.settle()
    assert nights.counted == (None, 1, 2 if counts else 1)
    nights.night("Rejected")
    assert nights.counted == (None, 2, 3 if counts else 0)
    assert nights.world.status["phase"] == ("Stalled" if counts else "Active")
    if counts:
        assert nights.world.condition("Stalled")["message"] == (
            "3 runs in a row failed or created a rejected version: no further run starts automatically until the "
            "template changes, or a run requested by the annotation trainyard.dev/run-now creates an accepted version"
        )


def test_an_accepted_version_ends_the_row() -> None:
    nights = Nights(countRejections=True, stopAfterFailures=3)
    nights.night("Rejected")
    nights.night("Rejected")
    waiting = nights.train()
    assert nights.counted == (None, 2, 2), "not before its verdict"
    nights.world.judge(waiting, "Validated")
    nights.world.operator.settle()
    assert nights.counted == (3, 0, 0)


def test_a_run_without_a_version_is_a_success() -> None:
    """mode Prepare."""
    nights = Nights(countRejections=True, stopAfterFailures=3)
    nights.night("Rejected")
    nights.world.end(nights.run())
    nights.world.operator.settle()
    assert nights.counted == (None, 1, 0)


def test_news_in_the_wrong_order() -> None:
    nights = Nights()
    refused, accepted = nights.train(), nights.train()
    nights.world.judge(refused, "Rejected")
    early = nights.world.jobs[refused]["status"]
    nights.world.cluster.tick(5)
    nights.world.cluster.change(
        TRAINING_JOBS, NAMESPACE, refused, status={**early, "verdict": {"phase": "Pending", "reason": "Pending"}}
    )
    nights.world.judge(accepted, "Validated")
    nights.world.operator.settle()
    nights.world.cluster.change(TRAINING_JOBS, NAMESPACE, refused, status=early)
    nights.world.operator.settle()
    assert nights.counted == (2, 0, 0)
    assert len(nights.told) == 1
