"""The lifecycle of a job on a real node: suspend, resume, cancel, deadlines, deletion, rerun, and accelerators.

The node has no device. For scheduler and kubelet, an extended resource in the node's status is as real as a device.
"""

import json
from typing import Any

import pytest

from demo.data import tables
from tests.e2e.stage import Json, Stage, condition
from tests.e2e.test_container import container
from trainyard_api import meta

SMALL = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}}
GPU = "nvidia.com/gpu"

WAITS_IN_THE_FIRST_ATTEMPT = """
if config["attempt"] == 1:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
    time.sleep(900)
leave({}, mae=config["attempt"])
"""


@pytest.fixture(scope="module", autouse=True)
def data(stage: Stage) -> None:
    for key, text, _ in tables():
        stage.put(key, text)


def waits_in_the_first_attempt(**spec: Any) -> Json:
    """Return a job whose first attempt waits for SIGTERM. Its second attempt succeeds."""
    return container(WAITS_IN_THE_FIRST_ATTEMPT, resources=SMALL, **spec)


def regression(**spec: Any) -> Json:
    data = {"uri": "s3://datasets/diabetes.csv", "target": "target"}
    return {"framework": "LightGBM", "task": "Regression", "data": data, "resources": SMALL, **spec}


def edit(stage: Stage, name: str, **spec: Any) -> None:
    stage.kubectl("patch", "tj", name, "--type=merge", f"--patch={json.dumps({'spec': spec})}")


def children(stage: Stage, job: Json, kind: str) -> list[Json]:
    return stage.items(kind, f"{meta.UID_LABEL}={job['metadata']['uid']}")


def ended_well(stage: Stage, name: str) -> Json:
    job = stage.wait_for_phase(name, "Succeeded", "Failed")
    assert job["status"]["phase"] == "Succeeded", condition(job, "Ready")["message"]
    return job


# ---- suspend and cancel ----------------------------------------------------------------------------------------------


def test_a_suspended_and_resumed_job_makes_a_model(stage: Stage) -> None:
    stage.apply("pausing", **waits_in_the_first_attempt(modelName="paused", retry={"maxAttempts": 1}))
    stage.wait_for_phase("pausing", "Running")
    edit(stage, "pausing", suspend=True)
    job = stage.wait_for_phase("pausing", "Suspended")
    assert children(stage, job, "jobs") == []
    assert children(stage, job, "pods") == []
    assert [attempt["reason"] for attempt in job["status"]["attempts"]] == ["Suspended"]
    edit(stage, "pausing", suspend=False)
    job = ended_well(stage, "pausing")
    assert [attempt["number"] for attempt in job["status"]["attempts"]] == [1, 2], (
        "a suspension does not count against maxAttempts"
    )
    assert job["status"]["modelVersion"]["name"] == "paused-v1"
    description = stage.kubectl("describe", "tj", "pausing")
    assert "suspended by spec.suspend" in description
    assert "resumed by spec.suspend" in description


def test_a_job_that_is_suspended_before_its_start_can_be_cancelled(stage: Stage) -> None:
    stage.apply("never", **regression(suspend=True))
    job = stage.wait_for_phase("never", "Suspended")
    assert children(stage, job, "jobs") == []
    edit(stage, "never", cancel=True)
    job = stage.wait_for_phase("never", "Cancelled")
    assert "attempts" not in job["status"]


def test_a_cancelled_job_has_no_pods_and_stays_cancelled(stage: Stage) -> None:
    stage.apply("unwanted", **waits_in_the_first_attempt())
    stage.wait_for_phase("unwanted", "Running")
    edit(stage, "unwanted", cancel=True)
    job = stage.wait_for_phase("unwanted", "Cancelled")
    assert children(stage, job, "jobs") == []
    assert children(stage, job, "pods") == []
    assert job["status"]["attempts"][0]["reason"] == "Cancelled"
    back = json.dumps({"spec": {"cancel": False}})
    assert "cancel" in stage.refused("patch", "tj", "unwanted", "--type=merge", f"--patch={back}")


# ---- deadlines and what stays ----------------------------------------------------------------------------------------


def test_a_deadline_can_be_set_while_the_job_runs(stage: Stage) -> None:
    stage.apply("too-long", **waits_in_the_first_attempt())
    stage.wait_for_phase("too-long", "Running")
    edit(stage, "too-long", activeDeadlineSeconds=3)
    job = stage.wait_for_phase("too-long", "Failed")
    assert condition(job, "Failed")["reason"] == "DeadlineExceeded"
    assert len(job["status"]["attempts"]) == 1
    assert job["status"]["activeSeconds"] >= 3


def test_the_ttl_deletes_finished_jobs_and_a_rerun_makes_the_next_version(stage: Stage) -> None:
    """The command that docs/trainingjob.md shows."""
    stage.apply("original", **regression(ttlSecondsAfterFinished=3))
    ended_well(stage, "original")

    def judged() -> Json | None:
        job = stage.get("tj", "original")
        return job if job["status"]["verdict"]["phase"] != "Pending" else None

    job = stage.wait_until("the verdict on its version", judged, about="original")
    stage.wait_until("its Job and pod to be gone", lambda: not children(stage, job, "pods"), about="original")
    assert stage.get("tj", "original")["status"] == job["status"]
    edit(stage, "original", cancel=True)
    stage.wait_until(
        "the edit to be acknowledged",
        lambda: stage.get("tj", "original")["status"]["observedGeneration"] > job["status"]["observedGeneration"],
    )
    assert stage.get("tj", "original")["status"]["phase"] == "Succeeded"
    old = stage.kubectl("get", "tj", "original", "-o", "json")
    metadata = {"name": "again", "annotations": {meta.RETRY_OF_ANNOTATION: "original"}}
    changes = [
        {"op": "replace", "path": "/metadata", "value": metadata},
        {"op": "add", "path": "/spec/modelName", "value": "original"},
        {"op": "add", "path": "/spec/suspend", "value": False},
        {"op": "add", "path": "/spec/cancel", "value": False},
    ]
    local = ("patch", "--local", "-f", "-", "-o", "json", "--type=json", f"--patch={json.dumps(changes)}")
    stage.kubectl("create", "-f", "-", stdin=stage.kubectl(*local, stdin=old))
    assert ended_well(stage, "again")["status"]["modelVersion"]["name"] == "original-v2"
    assert "This job is a rerun of TrainingJob original" in stage.kubectl("describe", "tj", "again")


# ---- accelerators ----------------------------------------------------------------------------------------------------


def advertise(stage: Stage, count: int) -> None:
    """Let the node have this number of devices."""
    (node,) = stage.items("nodes")
    path = f"/status/capacity/{GPU.replace('/', '~1')}"
    patch = json.dumps([{"op": "add", "path": path, "value": str(count)}])
    stage.kubectl("patch", "node", node["metadata"]["name"], "--subresource=status", "--type=json", f"--patch={patch}")
    stage.wait_until(
        f"the node to have {count} {GPU}",
        lambda: stage.items("nodes")[0]["status"]["allocatable"].get(GPU) == str(count),
    )


def test_without_an_accelerator_the_fallback_trains_on_the_cpu(stage: Stage) -> None:
    advertise(stage, 0)
    accelerator = {"resource": GPU, "fallback": "CPU", "fallbackAfterSeconds": 3}
    stage.apply("falls-back", **regression(accelerator=accelerator))
    job = ended_well(stage, "falls-back")
    fallback = condition(job, "DeviceFallback")
    assert (fallback["status"], fallback["reason"]) == ("True", "AcceleratorUnavailable")
    assert f"Insufficient {GPU}" in fallback["message"]
    (attempt,) = job["status"]["attempts"]
    assert (attempt["number"], attempt["jobName"], attempt["device"]) == (1, "falls-back-1-cpu", "cpu")
    (pod,) = children(stage, job, "pods")
    assert GPU not in pod["spec"]["containers"][0]["resources"]["limits"]
    assert "DeviceFallback" in stage.kubectl("describe", "tj", "falls-back")


def test_without_a_fallback_the_job_waits_for_the_accelerator_and_says_so(stage: Stage) -> None:
    advertise(stage, 0)
    stage.apply("waits", **regression(accelerator={"resource": GPU, "count": 2}))
    stage.wait_until(
        "the scheduler's message",
        lambda: f"Insufficient {GPU}" in condition(stage.wait_for_phase("waits", "Starting"), "Ready")["message"],
        about="waits",
    )
    advertise(stage, 2)
    job = ended_well(stage, "waits")
    # If the scheduler sees the devices before the kubelet does, the kubelet refuses the first pod. A second one runs.
    (pod,) = [each for each in children(stage, job, "pods") if each["status"]["phase"] == "Succeeded"]
    assert pod["spec"]["containers"][0]["resources"]["limits"][GPU] == "2"
    assert {"key": GPU, "operator": "Exists", "effect": "NoSchedule"} in pod["spec"]["tolerations"]
    assert "DeviceFallback" not in {each["type"] for each in job["status"]["conditions"]}


def test_without_accelerator_and_fallback_the_pending_deadline_ends_the_job(stage: Stage) -> None:
    accelerator = {"resource": "example.com/quantum"}
    stage.apply("hopeless", **regression(accelerator=accelerator, pendingDeadlineSeconds=5))
    job = stage.wait_for_phase("hopeless", "Failed")
    ready = condition(job, "Ready")
    assert ready["reason"] == "PendingDeadlineExceeded"
    assert "pendingDeadlineSeconds (5 s)" in ready["message"]
    assert "Insufficient example.com/quantum" in ready["message"]
    assert children(stage, job, "pods") == []


@pytest.mark.parametrize("count", [0, -1])
def test_an_invalid_accelerator_count_is_refused_at_apply(stage: Stage, count: int) -> None:
    spec = regression(accelerator={"resource": GPU, "count": count})
    body = {"apiVersion": "trainyard.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": "none"}, "spec": spec}
    assert "spec.accelerator.count" in stage.refused("apply", "-f", "-", stdin=json.dumps(body))
