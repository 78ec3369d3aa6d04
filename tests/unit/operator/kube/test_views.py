"""The views of pods and Jobs, above all which of several containers explains a failed pod."""

from typing import Any

import pytest

from trainyard_api import meta
from trainyard_operator.core.objects import PodView, ServingPodView
from trainyard_operator.kinds.children import JOB
from trainyard_operator.kinds.slim import slim
from trainyard_operator.kube import views


def running() -> dict[str, Any]:
    return {"running": {"startedAt": "2026-11-21T08:00:01Z"}}


def waiting_state(reason: str = "PodInitializing", message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def ended(code: int, message: str = "", reason: str = "") -> dict[str, Any]:
    more = {"message": message, "reason": reason or ("Error" if code else "Completed")}
    return {"terminated": {"exitCode": code, "finishedAt": "2026-11-21T08:00:09Z", **more}}


def pod_of(
    main: dict[str, Any] | None = None, init: dict[str, Any] | None = None, phase: str = "Running", **status: Any
) -> PodView:
    for field, states in (("containerStatuses", main), ("initContainerStatuses", init)):
        if states is not None:
            status[field] = [{"name": name, "state": state} for name, state in states.items()]
    metadata = {"name": "p", "creationTimestamp": "2026-11-21T08:00:00Z"}
    return views.pod({"metadata": metadata, "status": {"phase": phase, **status}})


def test_a_new_pod_has_no_state() -> None:
    pod = pod_of(phase="Pending")
    assert (pod.started, pod.exit_code, pod.waiting, pod.container) == (False, None, "", "trainer")


def test_only_the_trainer_container_counts() -> None:
    pod = pod_of({"trainer": ended(65, "why"), "istio-proxy": ended(137)}, phase="Failed")
    assert (pod.container, pod.exit_code, pod.termination_message, pod.started) == ("trainer", 65, "why", True)


@pytest.mark.parametrize("failing", ["fetch", "trainer"])
def test_the_init_container_that_failed_explains_the_pod(failing: str) -> None:
    states = {"fetch": ended(0), "trainer": waiting_state(), "istio-init": ended(1)} | {failing: ended(66, "gone")}
    pod = pod_of({"register": waiting_state()}, states, phase="Failed")
    assert (pod.container, pod.exit_code, pod.termination_message) == (failing, 66, "gone")
    assert pod.finished_at is not None


def test_an_unknown_container_status_does_not_hide_the_first_failure() -> None:
    lost = ended(137, reason="ContainerStatusUnknown")
    pod = pod_of({"register": lost}, {"fetch": ended(0), "trainer": ended(137, reason="OOMKilled")}, phase="Failed")
    assert (pod.container, pod.exit_code, pod.exit_reason) == ("trainer", 137, "OOMKilled")


def test_the_result_is_read_from_the_main_container() -> None:
    pod = pod_of(
        {"register": ended(0, "result")}, {"fetch": ended(0), "trainer": ended(0, "not this")}, phase="Succeeded"
    )
    assert (pod.container, pod.exit_code, pod.termination_message) == ("register", 0, "result")


@pytest.mark.parametrize(
    ("init", "started"),
    [
        ({"fetch": waiting_state()}, False),
        ({"fetch": running()}, True),
        ({"fetch": ended(0), "trainer": waiting_state()}, True),
        ({"fetch": ended(0), "trainer": running()}, True),
    ],
)
def test_a_pod_has_started_with_its_first_init_container(init: dict[str, Any], *, started: bool) -> None:
    assert pod_of({"register": waiting_state()}, init, phase="Pending").started is started


@pytest.mark.parametrize(("written", "index"), [("0", 0), ("12", 12), ("", None), ("-1", None), ("two", None)])
def test_the_shard_of_a_pod_is_read_from_its_annotation(written: str, index: int | None) -> None:
    annotations = {"batch.kubernetes.io/job-completion-index": written}
    metadata = {"name": "a-1-0-x", "creationTimestamp": "2026-11-21T08:00:00Z"}
    assert views.pod({"metadata": {**metadata, "annotations": annotations}}).index == index
    assert views.pod({"metadata": metadata}).index is None


@pytest.mark.parametrize(
    ("own", "other", "phase", "staying"),
    [
        (ended(0, "result"), running(), "Succeeded", ("istio-proxy",)),
        (ended(65), running(), "Failed", ("istio-proxy",)),
        (running(), running(), "Running", ()),
        (ended(0), ended(0), "Running", ()),
    ],
)
def test_a_container_that_keeps_running_is_listed(
    own: dict[str, Any], other: dict[str, Any], phase: str, staying: tuple[str, ...]
) -> None:
    pod = pod_of({"trainer": own, "istio-proxy": other})
    assert (pod.phase, pod.staying, pod.over) == (phase, staying, phase != "Running")


@pytest.mark.parametrize(
    ("status", "cause", "message"),
    [
        ({"reason": "Evicted", "message": "low on memory", "conditions": []}, "Evicted", "low on memory"),
        (
            {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]},
            "PreemptionByScheduler",
            "",
        ),
        ({"conditions": [{"type": "DisruptionTarget", "status": "False", "reason": "x"}]}, "", ""),
    ],
)
def test_the_external_cause_of_a_stopped_pod(status: dict[str, Any], cause: str, message: str) -> None:
    pod = pod_of({"trainer": ended(137)}, phase="Failed", **status)
    assert (pod.cause, pod.cause_message) == (cause, message)


def test_a_pod_on_a_lost_node_is_lost() -> None:
    statuses = [{"name": "trainer", "ready": True, "state": running()}]
    metadata = {"name": "p", "creationTimestamp": "2026-11-21T08:00:00Z"}
    status = {"phase": "Running", "containerStatuses": statuses, "conditions": [{"type": "Ready", "status": "False"}]}
    pod = views.pod({"metadata": metadata, "spec": {"nodeName": "n1"}, "status": status})
    assert (pod.lost, pod.running, pod.node) == (True, False, "n1")


@pytest.mark.parametrize(
    ("status", "finishing"),
    [
        ({"active": 1}, False),
        ({"active": 0, "uncountedTerminatedPods": {"succeeded": ["u"]}}, True),
        ({"active": 0, "succeeded": 1, "uncountedTerminatedPods": {}}, True),
        ({"active": 2, "succeeded": 1}, False),
    ],
)
def test_a_job_with_uncounted_pods_is_finishing(status: dict[str, Any], *, finishing: bool) -> None:
    metadata = {"name": "a-1", "uid": "u", "creationTimestamp": "2026-11-21T08:00:00Z"}
    job = views.job({"metadata": metadata, "spec": {"template": {"spec": {"containers": []}}}, "status": status})
    assert job.finishing is finishing


def test_the_reason_why_a_pod_waits() -> None:
    image = waiting_state("ImagePullBackOff", "no such image")
    init = {"fetch": ended(0), "trainer": image}
    assert pod_of({"register": waiting_state()}, init, phase="Pending").waiting == "ImagePullBackOff: no such image"
    assert pod_of({"register": waiting_state()}, {"fetch": waiting_state()}, phase="Pending").waiting == ""
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no node"}
    assert pod_of(phase="Pending", conditions=[unschedulable]).waiting == "Unschedulable: no node"


@pytest.mark.parametrize(
    "spec",
    [
        {"containers": [{"name": "trainer", "image": "mine:1"}]},
        {
            "initContainers": [{"name": "fetch", "image": "ours"}, {"name": "trainer", "image": "mine:1"}],
            "containers": [{"name": "register", "image": "ours"}],
        },
    ],
)
def test_the_image_of_a_job_is_the_image_of_the_trainer(spec: dict[str, Any]) -> None:
    metadata = {"name": "diabetes-2", "uid": "u", "creationTimestamp": "2026-11-21T08:00:00Z"}
    job = views.job({"metadata": metadata, "spec": {"template": {"spec": spec}}})
    assert (job.image, job.attempt) == ("mine:1", 2)


@pytest.mark.parametrize(
    ("name", "attempt"),
    [("a-1", 1), ("a-12-cpu", 12), ("gpu-cpu-2", 2), ("a-cpu", 0), ("a-1-cpu-x", 0), ("a-0", 0), ("a-1234567890", 0)],
)
def test_the_attempt_is_read_from_the_name_of_the_job(name: str, attempt: int) -> None:
    assert views.attempt_of(name) == attempt


def test_a_slim_job_keeps_its_deadline_and_image() -> None:
    containers = [{"name": "trainer", "image": "t:1", "env": [{"name": "A"}]}]
    spec = {"activeDeadlineSeconds": 60, "template": {"spec": {"containers": containers}}}
    metadata = {"namespace": "team", "name": "a-1-cpu", "uid": "u", "creationTimestamp": "2026-11-21T08:00:00Z"}
    job = views.job(slim(JOB, {"metadata": metadata, "spec": spec}))
    assert (job.attempt, job.deadline, job.image) == (1, 60, "t:1")


@pytest.mark.parametrize(
    ("ready", "container", "disrupted", "running", "deleting"),
    [
        pytest.param("True", {"ready": True, "state": {"running": {}}}, "False", True, False, id="serves"),
        pytest.param("False", {"ready": False, "state": {"running": {}}}, "False", True, False, id="hangs"),
        pytest.param("False", {"ready": True, "state": {"running": {}}}, "False", False, False, id="its node is lost"),
        pytest.param("False", {"ready": False, "state": {"terminated": {}}}, "True", False, True, id="evicted"),
        pytest.param("False", {"ready": False, "state": {"waiting": {}}}, "False", False, False, id="starts"),
    ],
)
def test_whether_a_server_is_ready_and_running(
    ready: str, container: dict[str, Any], disrupted: str, *, running: bool, deleting: bool
) -> None:
    conditions = [{"type": "Ready", "status": ready}, {"type": "DisruptionTarget", "status": disrupted}]
    status = {"conditions": conditions, "containerStatuses": [{"name": meta.SERVER_CONTAINER, **container}]}
    metadata = {"name": "shop-v1-x", "uid": "u", "creationTimestamp": "2026-11-21T08:00:00Z"}
    seen = views.serving_pod({"metadata": metadata, "status": status})
    assert (seen.ready, seen.running, seen.deleting) == (ready == "True", running, deleting)


def serving_pod(**status: Any) -> ServingPodView:
    metadata = {"name": "shop-v1-x", "uid": "u", "creationTimestamp": "2026-11-21T08:00:00Z"}
    return views.serving_pod({"metadata": metadata, "status": status})


def test_a_server_that_could_not_be_started_has_no_exit_code() -> None:
    ended = {"terminated": {"exitCode": 128, "reason": "StartError", "message": "exec: not found"}}
    container = {"name": meta.SERVER_CONTAINER, "restartCount": 4, "state": {"waiting": {}}, "lastState": ended}
    seen = serving_pod(containerStatuses=[container])
    assert (seen.exit_code, seen.waiting) == (None, "StartError: exec: not found")


def test_a_pod_that_its_node_refused_gives_the_reason() -> None:
    seen = serving_pod(phase="Failed", reason="OutOfcpu", message="Node didn't have enough resource: cpu")
    assert seen.waiting == "OutOfcpu: Node didn't have enough resource: cpu"


@pytest.mark.parametrize(
    ("conditions", "refusal"),
    [
        ([], ""),
        ([("Progressing", "False", "ProgressDeadlineExceeded", "timed out")], ""),
        ([("Progressing", "True", "NewReplicaSetAvailable", "has progressed")], ""),
        ([("Progressing", "False", "ReplicaSetCreateError", "denied")], "ReplicaSetCreateError: denied"),
        (
            [("Progressing", "True", "R", "m"), ("ReplicaFailure", "True", "FailedCreate", "exceeded quota")],
            "FailedCreate: exceeded quota",
        ),
        ([("ReplicaFailure", "False", "FailedCreate", "exceeded quota")], ""),
    ],
)
def test_the_reason_why_a_deployment_gets_no_pods(conditions: list[tuple[str, str, str, str]], refusal: str) -> None:
    raw_conditions = [{"type": t, "status": s, "reason": r, "message": m} for t, s, r, m in conditions]
    metadata = {"name": "shop-v1", "uid": "u", "creationTimestamp": "2026-11-21T08:00:00Z"}
    body = {
        "metadata": {**metadata, "labels": {meta.VERSION_LABEL: "1"}},
        "spec": {},
        "status": {"conditions": raw_conditions},
    }
    assert views.deployment(body).refusal == refusal


def test_the_newest_event_counts_in_every_time_format() -> None:
    metadata = {"creationTimestamp": "2026-11-21T08:00:00Z"}
    old = {"metadata": metadata, "reason": "FailedMount", "eventTime": None, "note": "old"}
    series = {**old, "series": {"lastObservedTime": "2026-11-21T08:03:00.000000Z"}, "note": "newest"}
    legacy = {**old, "deprecatedLastTimestamp": "2026-11-21T08:02:00Z"}
    newest = max(map(views.warning, (old, series, legacy)), key=lambda each: each.time)
    assert newest.text == "FailedMount: newest"
