"""If no node has the accelerator in time, the planner continues without it where the spec allows that."""

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

NO_GPU = "Unschedulable: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
WANTED = {"resource": "nvidia.com/gpu", "count": 2, "fallback": "CPU", "fallbackAfterSeconds": 20}


def gpu(**more: Any) -> dict[str, Any]:
    return {**SPEC, "accelerator": {**WANTED, **more}}


def pending(text: str, **more: Any) -> dict[str, Any]:
    return {"diabetes-1": (pod(phase="Pending", waiting=text, **more),)}


def job_on_cpu() -> TrainingJobView:
    job = job_view(STARTING, spec=gpu())
    return stored(job, plan(observed(job, child(), pods=pending(NO_GPU), after=20)))


def test_a_job_falls_back_if_no_node_has_the_accelerator() -> None:
    job = job_view(STARTING, spec=gpu())
    assert plan(observed(job, child(), after=5)).requeue_after == 15
    assert plan(observed(job, child(), after=20)).needs == (Need(Fact.PODS, "diabetes-1"),)
    step = plan(observed(job, child(), pods=pending(NO_GPU), after=20))
    assert (phase_of(step), reason_of(step)) == ("Starting", "DeviceFallback")
    assert [event.reason for event in step.events] == ["DeviceFallback"]
    assert step.status is not None
    condition = (step.status.conditions or [])[-1]
    assert (condition.type, condition.status, condition.reason) == ("DeviceFallback", "True", "AcceleratorUnavailable")
    for words in ("2 nvidia.com/gpu", "fallbackAfterSeconds: 20", "Insufficient nvidia.com/gpu", "CPU"):
        assert words in condition.message


def test_the_same_attempt_continues_without_the_accelerator() -> None:
    job = job_on_cpu()
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
    step = plan(observed(job, cpu, after=24))
    assert [event.reason for event in step.events] == ["AttemptStarted"]
    assert step.status is not None
    (entry,) = step.status.attempts or []
    assert (entry.number, entry.job_name, entry.device) == (1, "diabetes-1-cpu", "cpu")
    assert (step.status.conditions or [])[-1].type == "DeviceFallback", "the condition stays"


def test_later_attempts_run_without_the_accelerator() -> None:
    job = job_on_cpu()
    entry = (job.status.attempts or [])[0].model_copy(
        update={"reason": "Crashed", "end": T0, "job_name": "diabetes-1-cpu"}
    )
    job = replace(job, status=job.status.model_copy(update={"attempts": [entry]}))
    assert created(plan(observed(job, after=60)))["metadata"]["name"] == "diabetes-2-cpu"


@pytest.mark.parametrize(
    ("waiting", "spec", "falls_back"),
    [
        (NO_GPU, gpu(), True),
        (NO_GPU, gpu(fallback="None"), False),
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
def test_only_a_pod_that_lacks_an_accelerator_falls_back(waiting: str, spec: dict[str, Any], falls_back: bool) -> None:
    step = plan(observed(job_view(STARTING, spec=spec), child(), pods=pending(waiting), after=9999))
    assert step.status is not None
    assert (reason_of(step) == "DeviceFallback") == falls_back
    if not falls_back and waiting:
        assert waiting in message_of(step), "the job keeps waiting, and the message gives the cause"


def test_a_pod_that_got_the_accelerator_at_the_last_moment_keeps_it() -> None:
    step = plan(observed(job_on_cpu(), child(ready=1), after=21))
    assert phase_of(step) == "Running"
    assert step.status is not None
    assert "DeviceFallback" not in {condition.type for condition in step.status.conditions or ()}
    assert (step.status.attempts or [])[0].device == "nvidia.com/gpu"


def test_an_earlier_pending_deadline_fails_the_job() -> None:
    spec = {**gpu(), "pendingDeadlineSeconds": 10}
    job = job_view({**STARTING, **conditions("Starting")}, spec=spec)
    first = plan(observed(job, child(), pods=pending(NO_GPU), after=20))
    second = plan(observed(stored(job, first), child(), pods=pending(NO_GPU), after=20))
    assert second.actions == (Delete("Job", "diabetes-1", "uid-1"),)
    assert reason_of(plan(observed(stored(job, first), missing=GONE, after=21))) == "PendingDeadlineExceeded"


def test_memory_is_refused_as_accelerator() -> None:
    """The schema of an earlier release accepted this."""
    step = plan(observed(job_view(spec=gpu(resource="memory")), missing=GONE))
    assert (phase_of(step), reason_of(step)) == ("Failed", "InvalidSpec")
    assert "such as nvidia.com/gpu" in message_of(step)


def test_progress_of_the_replaced_job_is_dropped() -> None:
    job = job_on_cpu()
    status = job.status.model_copy(update={"trainer_status": TrainerStatus(progress_percentage=50)})
    cpu = child(name="diabetes-1-cpu", uid="uid-cpu")
    step = plan(observed(replace(job, status=status), cpu))
    assert step.status is not None
    assert step.status.trainer_status is None
