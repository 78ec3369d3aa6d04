"""From the API server's JSON to the core's typed facts: the one place that knows where things lie in an object."""

import re
from datetime import datetime
from typing import Any

from trainyard_api import meta
from trainyard_api.trainingjob import TrainingJobStatus
from trainyard_operator.core.observed import JobView, PodView, TrainingJobView, VersionView
from trainyard_operator.core.times import from_rfc3339
from trainyard_operator.kube.port import Body

_WAITING_IS_NORMAL = frozenset({"", "ContainerCreating", "PodInitializing"})


def training_job(body: Body) -> TrainingJobView:
    """Read a TrainingJob. Its status is ours and was written by this model, so an unreadable one raises."""
    metadata = body["metadata"]
    return TrainingJobView(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        generation=metadata.get("generation", 0),
        created=from_rfc3339(metadata["creationTimestamp"]),
        deleting="deletionTimestamp" in metadata,
        spec=body.get("spec") or {},
        status=TrainingJobStatus.model_validate(body.get("status") or {}, extra="ignore"),
    )


def attempt_of(job_name: str) -> int:
    """Return the attempt that a child Job's name says: unlike a label, nobody can edit it. 0 for another Job's name."""
    found = re.search(r"-([1-9][0-9]{0,8})$", job_name)
    return int(found[1]) if found else 0


def job(body: Body) -> JobView:
    """Read a child Job."""
    metadata, status = body["metadata"], body.get("status") or {}
    ended = {c["type"]: c for c in status.get("conditions") or () if c.get("status") == "True"}
    failed, complete = ended.get("Failed"), ended.get("Complete")
    pod_spec = body["spec"]["template"]["spec"]
    containers = [*pod_spec.get("initContainers", ()), *pod_spec["containers"]]
    return JobView(
        name=metadata["name"],
        uid=metadata["uid"],
        attempt=attempt_of(metadata["name"]),
        created=from_rfc3339(metadata["creationTimestamp"]),
        deleting="deletionTimestamp" in metadata,
        image=next((c.get("image", "") for c in containers if c["name"] == meta.CONTAINER), ""),
        ready=status.get("ready") or 0,
        active=status.get("active") or 0,
        terminating=status.get("terminating") or 0,
        start=_time(status.get("startTime")),
        end=_time(status.get("completionTime") or (failed or complete or {}).get("lastTransitionTime")),
        complete=complete is not None,
        failed=failed is not None,
        failure_reason=(failed or {}).get("reason", ""),
        failure_message=(failed or {}).get("message", ""),
    )


def pod(body: Body) -> PodView:
    """Read a pod of an attempt, as far as our containers go.

    The first that ended with an error tells why the pod failed; without one the last speaks, which holds the result.
    """
    metadata, status = body["metadata"], body.get("status") or {}
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    statuses = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    states = {s["name"]: s.get("state") or {} for s in statuses if s["name"] in meta.CONTAINERS}
    name, ended = _speaker(states)
    return PodView(
        name=metadata["name"],
        phase=status.get("phase", ""),
        created=from_rfc3339(metadata["creationTimestamp"]),
        disrupted=conditions.get("DisruptionTarget", {}).get("status") == "True",
        started=any("running" in state or "terminated" in state for state in states.values()),
        container=name,
        exit_code=ended.get("exitCode"),
        exit_reason=ended.get("reason", ""),
        termination_message=ended.get("message", ""),
        finished_at=_time(ended.get("finishedAt")),
        waiting=_waiting([s.get("waiting") or {} for s in states.values()], conditions.get("PodScheduled") or {}),
    )


def model_version(body: Body) -> VersionView:
    """Read a ModelVersion."""
    spec = body["spec"]
    return VersionView(
        name=body["metadata"]["name"],
        job_name=spec["trainingJob"]["name"],
        job_uid=spec["trainingJob"]["uid"],
        model=spec["model"],
        version=spec["version"],
    )


def _speaker(states: dict[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Return the container that explains the pod, and how it ended; ``states`` are in the order of running."""
    ends = {name: state.get("terminated") or {} for name, state in states.items()}
    last = next(reversed(ends), meta.CONTAINER)
    name = next((name for name, ended in ends.items() if ended.get("exitCode")), last)
    return name, ends.get(name, {})


def _waiting(containers: list[dict[str, str]], scheduled: dict[str, str]) -> str:
    wait = next((each for each in containers if each.get("reason", "") not in _WAITING_IS_NORMAL), {})
    if scheduled.get("status") == "False":
        wait = scheduled
    reason, message = wait.get("reason", ""), wait.get("message", "")
    if reason in _WAITING_IS_NORMAL:
        return ""
    return f"{reason}: {message}" if message else reason


def _time(text: str | None) -> datetime | None:
    return from_rfc3339(text) if text else None
