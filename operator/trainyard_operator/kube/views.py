"""Parse the API server's JSON into the core's typed views. Only this module knows the structure of the objects."""

import re
from datetime import datetime
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from trainyard_api import meta
from trainyard_api.base import ApiModel, first_problem
from trainyard_api.modeldeployment import ModelDeploymentStatus
from trainyard_api.modelversion import ModelVersionStatus
from trainyard_api.predictionjob import PredictionJobStatus
from trainyard_api.trainingjob import TrainingJobStatus
from trainyard_api.trainingschedule import TrainingScheduleStatus
from trainyard_operator.core.naming import FALLBACK_SUFFIX, PREDICTION_PREFIX
from trainyard_operator.core.objects import (
    EVICTED,
    DeploymentView,
    DisruptionBudgetView,
    ModelDeploymentView,
    ModelVersionView,
    ObjectView,
    Part,
    PodView,
    PredictionJobView,
    ServiceView,
    ServingPodView,
    TrainingJobView,
    TrainingScheduleView,
    WarningView,
    WorkloadView,
)
from trainyard_operator.core.plan import Body
from trainyard_operator.core.times import from_rfc3339
from trainyard_operator.kube.patch import own_conditions

V = TypeVar("V", bound=ObjectView[Any])

MANAGERS = "managers"
"""Key in the metadata of a stored body. It replaces managedFields and contains the author of each own annotation."""

_COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"
"""An annotation that the Job controller sets on a pod of an Indexed Job."""

_LATE = "ProgressDeadlineExceeded"
"""The reason of a Deployment's condition Progressing."""

_NEVER_RAN = frozenset({"StartError", "ContainerCannotRun"})
"""The runtime could not start the container, for example because its command does not exist.

The exit code is not its own.
"""

_WAITING_IS_NORMAL = frozenset({"", "ContainerCreating", "PodInitializing"})


def custom(body: Body, view: type[V], status: type[ApiModel]) -> V:
    """Read one of the operator's custom resources."""
    return view(**_object(body), **_status(body, status))


def prediction_job(body: Body) -> PredictionJobView:
    """Read a PredictionJob."""
    return custom(body, PredictionJobView, PredictionJobStatus)


def training_job(body: Body) -> TrainingJobView:
    """Read a TrainingJob."""
    return custom(body, TrainingJobView, TrainingJobStatus)


def training_schedule(body: Body) -> TrainingScheduleView:
    """Read a TrainingSchedule."""
    return custom(body, TrainingScheduleView, TrainingScheduleStatus)


def model_version(body: Body) -> ModelVersionView:
    """Read a ModelVersion."""
    return custom(body, ModelVersionView, ModelVersionStatus)


def model_deployment(body: Body) -> ModelDeploymentView:
    """Read a ModelDeployment."""
    return custom(body, ModelDeploymentView, ModelDeploymentStatus)


def deployment(body: Body) -> DeploymentView:
    """Read a child Deployment."""
    metadata, status = body["metadata"], body.get("status") or {}
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    return DeploymentView(
        name=metadata["name"],
        uid=metadata["uid"],
        version=version_of(metadata["name"]),
        created=from_rfc3339(metadata["creationTimestamp"]),
        applied=(metadata.get("annotations") or {}).get(meta.APPLIED_ANNOTATION, ""),
        deleting="deletionTimestamp" in metadata,
        settled=(status.get("observedGeneration") or 0) >= metadata.get("generation", 0),
        spec=body["spec"],
        asked=(metadata.get("annotations") or {}).get(meta.ASKED_ANNOTATION, ""),
        late=conditions.get("Progressing", {}).get("reason") == _LATE,
        refusal=_refusal(conditions),
        replicas=body["spec"].get("replicas", 1),
        pods=status.get("replicas") or 0,
        updated=status.get("updatedReplicas") or 0,
        ready=status.get("readyReplicas") or 0,
        available=status.get("availableReplicas") or 0,
    )


def service(body: Body) -> ServiceView:
    """Read a child Service."""
    metadata = body["metadata"]
    return ServiceView(
        name=metadata["name"],
        uid=metadata["uid"],
        selector=body["spec"].get("selector") or {},
        spec=body["spec"],
        applied=(metadata.get("annotations") or {}).get(meta.APPLIED_ANNOTATION, ""),
        deleting="deletionTimestamp" in metadata,
    )


def disruption_budget(body: Body) -> DisruptionBudgetView:
    """Read a child PodDisruptionBudget."""
    metadata = body["metadata"]
    return DisruptionBudgetView(
        name=metadata["name"],
        uid=metadata["uid"],
        spec=body["spec"],
        applied=(metadata.get("annotations") or {}).get(meta.APPLIED_ANNOTATION, ""),
        deleting="deletionTimestamp" in metadata,
    )


def attempt_of(job_name: str) -> int:
    """Return the attempt in the name of a child Job, 0 for any other name. Unlike a label, a name cannot be edited."""
    found = re.search(rf"-{PREDICTION_PREFIX}?([1-9][0-9]{{0,8}})(?:{FALLBACK_SUFFIX})?$", job_name)
    return int(found[1]) if found else 0


def version_of(deployment_name: str) -> int:
    """Return the version in the name of a child Deployment, 0 for any other name."""
    found = re.search(r"-v([1-9][0-9]{0,15})$", deployment_name)
    return int(found[1]) if found else 0


def job(body: Body) -> WorkloadView:
    """Read a child Job."""
    metadata, status = body["metadata"], body.get("status") or {}
    ended = {c["type"]: c for c in status.get("conditions") or () if c.get("status") == "True"}
    failed, complete = ended.get("Failed"), ended.get("Complete")
    pod_spec = body["spec"]["template"]["spec"]
    containers = [*pod_spec.get("initContainers", ()), *pod_spec["containers"]]
    return WorkloadView(
        name=metadata["name"],
        uid=metadata["uid"],
        attempt=attempt_of(metadata["name"]),
        parts=(Part("Job", metadata["name"], metadata["uid"]),),
        created=from_rfc3339(metadata["creationTimestamp"]),
        deleting="deletionTimestamp" in metadata,
        deleted=_time(metadata.get("deletionTimestamp")),
        labels=metadata.get("labels") or {},
        image=next((c.get("image", "") for c in containers if c["name"] == meta.CONTAINER), ""),
        ready=status.get("ready") or 0,
        active=status.get("active") or 0,
        terminating=status.get("terminating") or 0,
        finishing=_is_finishing(status),
        deadline=body["spec"].get("activeDeadlineSeconds"),
        start=_time(status.get("startTime")),
        end=_time(status.get("completionTime") or (failed or complete or {}).get("lastTransitionTime")),
        complete=complete is not None,
        failed=failed is not None,
        failure_reason=(failed or {}).get("reason", ""),
        failure_message=(failed or {}).get("message", ""),
    )


def pod(body: Body) -> PodView:
    """Read a pod of an attempt, limited to the operator's containers.

    The first container that ended with an error explains the failure. Without an error, the last container has the
    result.
    """
    metadata, status = body["metadata"], body.get("status") or {}
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    statuses = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    states = {s["name"]: s.get("state") or {} for s in statuses if s["name"] in meta.CONTAINERS}
    name, ended = _speaker(states)
    disruption = conditions.get("DisruptionTarget") or {}
    disrupted = disruption.get("status") == "True"
    evicted = status.get("reason") == EVICTED
    cause = status if status.get("reason") else disruption if disrupted else {}
    lost = _is_lost(conditions, statuses)
    staying = _staying(status)
    return PodView(
        name=metadata["name"],
        phase=("Failed" if ended.get("exitCode") else "Succeeded") if staying else status.get("phase", ""),
        created=from_rfc3339(metadata["creationTimestamp"]),
        uid=metadata.get("uid", ""),
        node=(body.get("spec") or {}).get("nodeName") or "",
        deleting="deletionTimestamp" in metadata,
        running=any("running" in state for state in states.values()) and not lost,
        lost=lost,
        disrupted=disrupted,
        disrupted_at=_time(disruption.get("lastTransitionTime") if disrupted else evicted and ended.get("finishedAt")),
        cause=cause.get("reason", ""),
        cause_message=cause.get("message", ""),
        staying=staying,
        started=any("running" in state or "terminated" in state for state in states.values()),
        container=name,
        exit_code=ended.get("exitCode"),
        exit_reason=ended.get("reason", ""),
        termination_message=ended.get("message", ""),
        finished_at=_time(ended.get("finishedAt")),
        waiting=_waiting([s.get("waiting") or {} for s in states.values()], conditions.get("PodScheduled") or {}),
        index=_index((metadata.get("annotations") or {}).get(_COMPLETION_INDEX)),
    )


def warning(body: Body) -> WarningView:
    """Read a Warning Event. The time of the last repetition has several possible fields."""
    series = body.get("series") or {}
    times = (series.get("lastObservedTime"), body.get("deprecatedLastTimestamp"), body.get("eventTime"))
    last = next((time for time in times if time), body["metadata"]["creationTimestamp"])
    note = " ".join(str(body.get("note") or "").split())
    return WarningView(str(body.get("reason") or "Warning"), note, from_rfc3339(last))


def serving_pod(body: Body) -> ServingPodView:
    """Read a pod of an inference server."""
    metadata, status = body["metadata"], body.get("status") or {}
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    statuses = status.get("containerStatuses") or ()
    container: dict[str, Any] = next((entry for entry in statuses if entry["name"] == meta.SERVER_CONTAINER), {})
    state, before = container.get("state") or {}, container.get("lastState") or {}
    ended = state.get("terminated") or before.get("terminated") or {}
    states = [state.get("waiting") or {}]
    if ended.get("reason") in _NEVER_RAN:
        states, ended = [ended], {}
    if status.get("phase") == "Failed" and not statuses:  # refused by its node
        states = [status]
    ready = conditions.get("Ready", {}).get("status") == "True"
    lost = not ready and bool(container.get("ready"))  # only the control plane reports the pod as not ready
    return ServingPodView(
        name=metadata["name"],
        created=from_rfc3339(metadata["creationTimestamp"]),
        uid=metadata["uid"],
        ready=ready,
        deleting="deletionTimestamp" in metadata or conditions.get("DisruptionTarget", {}).get("status") == "True",
        running="running" in state and not lost,
        template=(metadata.get("labels") or {}).get("pod-template-hash", ""),
        restarts=container.get("restartCount") or 0,
        exit_code=ended.get("exitCode"),
        message=ended.get("message", ""),
        waiting=_waiting(states, conditions.get("PodScheduled") or {}),
    )


def _object(body: Body) -> dict[str, Any]:
    """Return the common fields of all custom resources, by the names in :class:`ObjectView`."""
    metadata = body["metadata"]
    return {
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "resource_version": metadata["resourceVersion"],
        "generation": metadata.get("generation", 0),
        "created": from_rfc3339(metadata["creationTimestamp"]),
        "deleting": "deletionTimestamp" in metadata,
        "spec": body.get("spec") or {},
        "labels": metadata.get("labels") or {},
        "annotations": metadata.get("annotations") or {},
        "managers": metadata.get(MANAGERS) or {},
    }


def _status(body: Body, model: type[ApiModel]) -> dict[str, Any]:
    """Return the stored status by the names in :class:`ObjectView`, or what of it cannot be parsed.

    A newer release of the operator may have written values that this release does not know.
    """
    try:
        return {"status": model.model_validate(own_conditions(body.get("status") or {}), extra="ignore")}
    except ValidationError as error:
        return {"status": model(), "unreadable": first_problem(error, "status")}


def _refusal(conditions: dict[str, dict[str, str]]) -> str:
    """Return why the Deployment controller, or the controller of its ReplicaSet, cannot create its objects.

    The condition Progressing also reports late pods. That is no refusal.
    """
    failure, progressing = conditions.get("ReplicaFailure", {}), conditions.get("Progressing", {})
    condition: dict[str, str] = {}
    if progressing.get("status") == "False" and progressing.get("reason") != _LATE:
        condition = progressing
    if failure.get("status") == "True":
        condition = failure
    return ": ".join(filter(None, (condition.get("reason"), condition.get("message"))))


def _index(text: str | None) -> int | None:
    """Return a completion index, ``None`` if the text is not one."""
    return int(text) if text is not None and re.fullmatch("[0-9]{1,9}", text) else None


def _speaker(states: dict[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Return the container that explains the pod, and how it ended; ``states`` are in the order of execution."""
    ends = {name: state.get("terminated") or {} for name, state in states.items()}
    last = next(reversed(ends), meta.CONTAINER)
    name = next((name for name, ended in ends.items() if ended.get("exitCode")), last)
    return name, ends.get(name, {})


def _staying(status: dict[str, Any]) -> tuple[str, ...]:
    """Return the containers that run after the operator's containers have ended, for example an injected proxy."""
    statuses = status.get("containerStatuses") or ()
    own = [each for each in statuses if each["name"] in meta.CONTAINERS]
    if not own or any("terminated" not in (each.get("state") or {}) for each in own):
        return ()
    return tuple(each["name"] for each in statuses if "running" in (each.get("state") or {}))


def _is_finishing(status: dict[str, Any]) -> bool:
    """Return whether the Job controller is counting ended pods. It does so before it ends the Job."""
    uncounted = any((status.get("uncountedTerminatedPods") or {}).values())
    counted = bool(status.get("succeeded") or status.get("failed"))
    return uncounted or (counted and not (status.get("active") or status.get("terminating")))


def _is_lost(conditions: dict[str, Any], statuses: list[dict[str, Any]]) -> bool:
    """Return whether a node does not respond. Then only the control plane reports its pods as not ready."""
    ready = conditions.get("Ready", {}).get("status")
    return ready in ("False", "Unknown") and any(
        s.get("ready") and "running" in (s.get("state") or {}) for s in statuses
    )


def _waiting(containers: list[dict[str, str]], scheduled: dict[str, str]) -> str:
    wait = next((each for each in containers if each.get("reason", "") not in _WAITING_IS_NORMAL), {})
    if scheduled.get("status") == "False":
        wait = scheduled
    reason, message = wait.get("reason", ""), wait.get("message", "")
    if reason in _WAITING_IS_NORMAL:
        return ""
    return f"{reason}: {message}" if message else reason


def _time(text: str | Literal[False] | None) -> datetime | None:
    return from_rfc3339(text) if text else None
