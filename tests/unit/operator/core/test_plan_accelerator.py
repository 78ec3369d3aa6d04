"""An accelerator that no node has in time: the planner goes on without it, where the spec allows that."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.operator.api_server import START
from tests.unit.operator.core.plans import (
    GONE,
    STARTING,
    T0,
    conditions,
    created,
    message_of,
    phase_of,
    reason_of,
    stored,
)
from tests.unit.operator.samples import SPEC, child, job_view, observed, pod
from trainyard_api import meta
from trainyard_api.batch import TrainerStatus
from trainyard_operator.core.facts import Fact, Need
from trainyard_operator.core.objects import TrainingJobView
from trainyard_operator.core.plan import NOTHING, Delete
from trainyard_operator.core.training.planner import plan

LACKS = "Unschedulable: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
WANTED = {"resource": "nvidia.com/gpu", "count": 2, "fallback": "CPU", "fallbackAfterSeconds": 20}


def gpu(**more: Any) -> dict[str, Any]:
    return {**SPEC, "accelerator": {**WANTED, **more}}


def pending(text: str, **more: Any) -> dict[str, Any]:
    return {"diabetes-1": (pod(phase="Pending", waiting=text, **more),)}


def fallen_back() -> TrainingJobView:
    job = job_view(STARTING, spec=gpu())
    return stored(job, plan(observed(job, child(), pods=pending(LACKS), after=20)))


def test_no_node_has_the_accelerator_in_time() -> None:
    job = job_view(STARTING, spec=gpu())
    assert plan(observed(job, child(), after=5)).requeue_after == 15
    assert plan(observed(job, child(), after=20)).needs == (Need(Fact.PODS, "diabetes-1"),)
    answer = plan(observed(job, child(), pods=pending(LACKS), after=20))
    assert (phase_of(answer), reason_of(answer)) == ("Starting", "DeviceFallback")
    assert [event.reason for event in answer.events] == ["DeviceFallback"]
    assert answer.status is not None
    told = (answer.status.conditions or [])[-1]
    assert (told.type, told.status, told.reason) == ("DeviceFallback", "True", "AcceleratorUnavailable")
    for words in ("2 nvidia.com/gpu", "fallbackAfterSeconds: 20", "Insufficient nvidia.com/gpu", "CPU"):
        assert words in told.message


def test_the_same_attempt_goes_on_without_it() -> None:
    job = fallen_back()
    assert plan(observed(job, child(), after=21)).actions == (Delete("Job", "diabetes-1", "uid-1"),)
    assert plan(observed(job, child(deleting=True), after=22)) == NOTHING
    assert plan(observed(job, after=23)).needs == (Need(Fact.JOB, "diabetes-1"),)
    body = created(plan(observed(job, missing=GONE, after=23)))
    assert body["metadata"]["name"] == "diabetes-1-cpu"
    spec = body["spec"]["template"]["spec"]
    assert "nvidia.com/gpu" not in spec["containers"][0]["resources"]["limits"]
    assert "tolerations" not in spec
    assert '"accelerator"' not in body["spec"]["template"]["metadata"]["annotations"][meta.CONFIG_ANNOTATION]
    cpu = child(name="diabetes-1-cpu", uid="uid-cpu", created=START + timedelta(seconds=23))
    answer = plan(observed(job, cpu, after=24))
    assert [event.reason for event in answer.events] == ["AttemptStarted"]
    assert answer.status is not None
    (entry,) = answer.status.attempts or []
    assert (entry.number, entry.job_name, entry.device) == (1, "diabetes-1-cpu", "cpu")
    assert (answer.status.conditions or [])[-1].type == "DeviceFallback", "it stays for ever"


def test_later_attempts_do_without_it_too() -> None:
    job = fallen_back()
    entry = (job.status.attempts or [])[0].model_copy(
        update={"reason": "Crashed", "end": T0, "job_name": "diabetes-1-cpu"}
    )
    job = replace(job, status=job.status.model_copy(update={"attempts": [entry]}))
    assert created(plan(observed(job, after=60)))["metadata"]["name"] == "diabetes-2-cpu"


@pytest.mark.parametrize(
    ("waiting_for", "spec", "falls_back"),
    [
        (LACKS, gpu(), True),
        (LACKS, gpu(fallback="None"), False),
        ("Unschedulable: 0/1 nodes are available: 1 Insufficient memory.", gpu(), False),
        ("Unschedulable: 0/1 nodes: 1 node(s) didn't match Pod's node affinity/selector.", gpu(), False),
        (
            "Unschedulable: 0/1 nodes: 1 node(s) didn't match Pod's node affinity/selector.",
            gpu(nodeSelector={"gpu": "a100"}),
            True,
        ),
        ("ImagePullBackOff: nvidia.com/gpu is in the name", gpu(), False),
        ("", gpu(), False),
    ],
)
def test_only_a_pod_that_finds_no_accelerator_gives_it_up(
    waiting_for: str, spec: dict[str, Any], falls_back: bool
) -> None:
    answer = plan(observed(job_view(STARTING, spec=spec), child(), pods=pending(waiting_for), after=9999))
    assert answer.status is not None
    assert (reason_of(answer) == "DeviceFallback") == falls_back
    if not falls_back and waiting_for:
        assert waiting_for in message_of(answer), "it goes on waiting, and says for what"


def test_a_pod_that_got_it_in_the_last_moment_keeps_it() -> None:
    answer = plan(observed(fallen_back(), child(ready=1), after=21))
    assert phase_of(answer) == "Running"
    assert answer.status is not None
    assert "DeviceFallback" not in {condition.type for condition in answer.status.conditions or ()}
    assert (answer.status.attempts or [])[0].device == "nvidia.com/gpu"


def test_a_pending_deadline_that_comes_first_ends_it() -> None:
    spec = {**gpu(), "pendingDeadlineSeconds": 10}
    job = job_view({**STARTING, **conditions("Starting")}, spec=spec)
    first = plan(observed(job, child(), pods=pending(LACKS), after=20))
    second = plan(observed(stored(job, first), child(), pods=pending(LACKS), after=20))
    assert second.actions == (Delete("Job", "diabetes-1", "uid-1"),)
    assert reason_of(plan(observed(stored(job, first), missing=GONE, after=21))) == "PendingDeadlineExceeded"


def test_memory_is_no_accelerator() -> None:
    """Where the schema did not say so at apply: that of an earlier release."""
    answer = plan(observed(job_view(spec=gpu(resource="memory")), missing=GONE))
    assert (phase_of(answer), reason_of(answer)) == ("Failed", "InvalidSpec")
    assert "such as nvidia.com/gpu" in message_of(answer)


def test_progress_of_the_job_before_is_not_this_ones() -> None:
    job = fallen_back()
    status = job.status.model_copy(update={"trainer_status": TrainerStatus(progress_percentage=50)})
    cpu = child(name="diabetes-1-cpu", uid="uid-cpu")
    answer = plan(observed(replace(job, status=status), cpu))
    assert answer.status is not None
    assert answer.status.trainer_status is None
