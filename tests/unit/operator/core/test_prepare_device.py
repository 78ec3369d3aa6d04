"""``mode: Prepare`` with an accelerator: a dataset needs no device, so its pod does not request one."""

from typing import Any

from tests.unit.operator.core.plans import RUNNING, STARTING, created, phase_of
from tests.unit.operator.samples import SPEC, child, dataset_text, job_view, observed, pod
from trainyard_api import meta
from trainyard_operator.core.training.planner import plan

GPU = {"resource": "nvidia.com/gpu", "fallback": "CPU", "fallbackAfterSeconds": 0, "nodeSelector": {"gpu": "a100"}}
PREPARE: dict[str, Any] = {**SPEC, "mode": "Prepare", "accelerator": GPU}


def test_a_dataset_pod_requests_no_accelerator() -> None:
    body = created(plan(observed(job_view(spec=PREPARE))))
    assert body["metadata"]["name"] == "diabetes-1"
    template = body["spec"]["template"]
    assert "nvidia.com/gpu" not in template["spec"]["containers"][0]["resources"]["limits"]
    assert {"nodeSelector", "tolerations"} & template["spec"].keys() == set()
    assert '"accelerator"' not in template["metadata"]["annotations"][meta.CONFIG_ANNOTATION]
    trains = created(plan(observed(job_view(spec={**PREPARE, "mode": "Train"}))))["spec"]["template"]["spec"]
    assert trains["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_a_dataset_job_never_falls_back() -> None:
    """The message of its pod can name an accelerator for other reasons."""
    message = "Unschedulable: 0/1 nodes: 1 Insufficient nvidia.com/gpu, didn't match Pod's node affinity/selector."
    pods = {"diabetes-1": (pod(phase="Pending", waiting=message),)}
    step = plan(observed(job_view(STARTING, spec=PREPARE), child(), pods=pods, after=9999))
    assert phase_of(step) == "Starting"
    assert step.status is not None
    assert "DeviceFallback" not in {condition.type for condition in step.status.conditions or ()}


def test_the_status_shows_the_cpu_as_device() -> None:
    starting = plan(observed(job_view(spec=PREPARE), child())).status
    assert starting is not None
    assert [attempt.device for attempt in starting.attempts or ()] == ["cpu"]
    pods = {"diabetes-1": (pod(0, termination_message=dataset_text()),)}
    done = plan(observed(job_view(RUNNING, spec=PREPARE), child(complete=True), pods=pods)).status
    assert done is not None
    assert done.result is not None
    assert ([attempt.device for attempt in done.attempts or ()], done.result.device) == (["cpu"], "cpu")
