"""How attempts end: every exit code, lost pods, and termination messages, which any image may write."""

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.operator.api_server import START
from tests.unit.operator.samples import child, failure_text, pod, result_text
from trainyard_api.wire import TrainingResult
from trainyard_operator.core.batch.outcome import Failure, failure_of, success_of
from trainyard_operator.core.objects import PodView
from trainyard_operator.core.quantity import grown, to_bytes

NEVER_AGAIN = {64: "BadConfig", 65: "BadData", 66: "InputMissing", 77: "NotPermitted", 78: "Unsupported"}
AGAIN = {69: "UpstreamUnavailable", 75: "Interrupted", 137: "Killed"}


@pytest.mark.parametrize("code", range(1, 256))
def test_every_exit_code_has_a_reason_and_a_retry_rule(code: int) -> None:
    failure = failure_of(child(failed=True), (pod(code),))
    assert failure.exit_code == code
    assert failure.retryable == (code not in NEVER_AGAIN)
    assert failure.reason == {**NEVER_AGAIN, **AGAIN}.get(code, "Crashed")
    assert f"exit code {code}" in failure.message


def test_the_trainers_message_is_used() -> None:
    text = failure_text("DataTooSmall", "5 rows are too few")
    failure = failure_of(child(failed=True), (pod(65, termination_message=text),))
    assert (failure.reason, failure.message) == ("DataTooSmall", "5 rows are too few")


def test_the_last_line_of_a_plain_termination_message_is_quoted() -> None:
    text = "Traceback (most recent call last):\n  ...\nValueError:  no  rows\n\n"
    failure = failure_of(child(failed=True), (pod(1, termination_message=text, container="trainer"),))
    assert failure.message == (
        "container trainer of pod diabetes-pod ended with exit code 1: ValueError: no rows; "
        "see kubectl logs diabetes-pod -c trainer"
    )
    assert (failure.reason, failure.retryable) == ("Crashed", True)


def test_a_long_termination_message_is_cut() -> None:
    failure = failure_of(child(failed=True), (pod(64, termination_message="x" * 4000),))
    assert len(failure.message) < 1024
    assert (failure.reason, failure.retryable) == ("BadConfig", False)


@pytest.mark.parametrize("reason", ["", "two words", "ümlaut", "9lives", "x" * 200])
def test_an_invalid_reason_is_replaced(reason: str) -> None:
    text = failure_text(reason[:128], "why")
    assert failure_of(child(failed=True), (pod(65, termination_message=text),)).reason in ("BadData", "x" * 128)


def test_an_out_of_memory_kill_is_retried() -> None:
    failure = failure_of(child(failed=True), (pod(137, exit_reason="OOMKilled"),))
    assert (failure.reason, failure.retryable) == ("OOMKilled", True)


def test_an_exceeded_deadline_is_final() -> None:
    failure = failure_of(child(failed=True, failure_reason="DeadlineExceeded"), (pod(75),))
    assert (failure.reason, failure.retryable) == ("DeadlineExceeded", False)


@pytest.mark.parametrize("pods", [(), (pod(),), (pod(0),)])
def test_without_a_failed_pod_the_reason_is_pod_lost(pods: tuple[object, ...]) -> None:
    failure = failure_of(child(failed=True, failure_message="BackoffLimitExceeded"), pods)  # type: ignore[arg-type]
    assert (failure.reason, failure.retryable) == ("PodLost", True)
    assert "BackoffLimitExceeded" in failure.message


def test_the_newest_undisrupted_pod_gives_the_exit_code() -> None:
    later = START + timedelta(seconds=9)
    pods = (pod(65), pod(143, created=later, disrupted=True), pod(69, created=later, name="z"))
    assert failure_of(child(failed=True), pods).exit_code == 69


def test_success_needs_a_valid_result() -> None:
    assert isinstance(success_of(child(), (pod(0, termination_message=result_text()),)), TrainingResult)
    for pods in (
        (pod(0),),
        (pod(0, termination_message="{"),),
        (pod(0, termination_message='{"outcome": "Succeeded"}'),),
        (pod(0, termination_message=failure_text("BadData", "no")),),
        (pod(0, termination_message=result_text(version=2**60)),),
        (pod(0, termination_message=result_text(objectiveValue="good")),),
    ):
        failure = success_of(child(), pods)
        assert isinstance(failure, Failure)
        assert (failure.reason, failure.retryable) == ("ResultMissing", False), (
            "the same image would give the same result"
        )


@pytest.mark.parametrize("pods", [(), (pod(1),), (pod(143, disrupted=True),)])
def test_a_result_lost_with_its_pod_is_retried(pods: tuple[PodView, ...]) -> None:
    failure = success_of(child(), pods)
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.retryable) == ("ResultMissing", True)
    assert "Job diabetes-1 is complete, but its pod and the result" in failure.message


def test_unknown_fields_of_a_newer_trainer_are_ignored() -> None:
    artifact = {"uri": "s3://m/x", "manifestSha256": "a" * 64, "sizeBytes": 1, "compression": "zstd"}
    text = result_text(artifact=artifact, surprise={"a": 1})
    assert isinstance(success_of(child(), (pod(0, termination_message=text),)), TrainingResult)


@pytest.mark.parametrize(
    ("quantity", "size"),
    [("1Gi", 2**30), ("1.5Gi", 3 * 2**29), ("500M", 5 * 10**8), (7, 7), ("1e3", 1000), ("1E", 10**18), ("500m", 1)],
)
def test_quantities_are_converted_to_bytes(quantity: int | str, size: int) -> None:
    assert to_bytes(quantity) == size


@pytest.mark.parametrize("quantity", ["", "Gi", "1Xi", "1e99999"])
def test_invalid_quantities_are_refused(quantity: str) -> None:
    with pytest.raises(ValueError, match=repr(quantity)):
        to_bytes(quantity)


def test_growth_rounds_up_to_mebibytes() -> None:
    assert grown("1Gi", 1.5) == "1536Mi"
    assert grown("100M", 1.5) == "144Mi"
    assert grown(10**29, 4) == f"{-(-4 * 10**29 // 2**20)}Mi"


@pytest.mark.parametrize(
    ("facts", "reason", "words"),
    [
        (
            {"cause": "Evicted", "cause_message": 'Usage of EmptyDir volume "work" exceeds the limit "20Gi". '},
            "Evicted",
            'pod diabetes-pod on node n1 was evicted: Usage of EmptyDir volume "work" exceeds the limit "20Gi"; let',
        ),
        ({"cause": "PreemptionByScheduler"}, "Preempted", "was preempted"),
        ({"cause": "DeletionByTaintManager"}, "NodeTainted", "has a taint"),
        ({"cause": "OutOfcpu", "cause_message": "no room"}, "OutOfcpu", "was stopped: no room"),
        ({"lost": True}, "NodeLost", "node n1 does not answer"),
        ({"deleting": True}, "PodDeleted", "was deleted while it ran"),
    ],
)
@pytest.mark.parametrize("code", [None, 75, 137, 143])
def test_an_external_cause_is_reported_instead_of_the_termination_message(
    code: int | None, facts: dict[str, Any], reason: str, words: str
) -> None:
    termination_message = failure_text("Interrupted", "the script was stopped by a signal")
    failure = failure_of(child(failed=True), (pod(code, termination_message=termination_message, node="n1", **facts),))
    assert (failure.reason, failure.retryable, failure.exit_code) == (reason, True, code)
    assert words in failure.message


def test_an_eviction_does_not_hide_a_final_exit_code() -> None:
    assert failure_of(child(failed=True), (pod(65, cause="Evicted"),)).reason == "BadData"
    assert failure_of(child(failed=True), (pod(137, exit_reason="OOMKilled", deleting=True),)).reason == "OOMKilled"


def test_a_missing_pod_is_reported_as_deleted() -> None:
    failure = failure_of(child(failed=True, failure_message="Job has reached the specified backoff limit"), ())
    assert failure.message == (
        "the pod of Job diabetes-1 is gone: it was deleted, or its node was removed (Job has reached the specified "
        "backoff limit)"
    )
