"""States of containers, and the status of a pod as a kubelet derives it from them. All functions are pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cluster.process_node.client import Json


@dataclass(frozen=True)
class Waiting:
    """The container does not run yet."""

    reason: str
    message: str = ""


@dataclass(frozen=True)
class Running:
    """The container has a process."""

    started_at: datetime


@dataclass(frozen=True)
class Terminated:
    """The process of the container has ended."""

    exit_code: int
    reason: str
    message: str
    started_at: datetime
    finished_at: datetime


State = Waiting | Running | Terminated


@dataclass(frozen=True)
class ContainerRecord:
    """What is known of one container.

    ``done`` means that it has ended and is not started again. ``ready`` and ``started`` are the results of its probes.
    """

    name: str
    image: str
    state: State
    last_state: Terminated | None = None
    restarts: int = 0
    ready: bool = False
    started: bool = False
    done: bool = False

    @property
    def failed(self) -> bool:
        """Whether it has ended with an error and is not started again."""
        return self.done and isinstance(self.state, Terminated) and self.state.exit_code != 0

    @property
    def has_run(self) -> bool:
        """Whether it has a process now or had one before."""
        return not isinstance(self.state, Waiting) or self.last_state is not None


@dataclass(frozen=True)
class Progress:
    """The containers of a pod. ``defect`` is an error of the node itself, which ends the pod."""

    init: Sequence[ContainerRecord]
    main: Sequence[ContainerRecord]
    defect: str = ""


def phase(progress: Progress) -> str:
    """Return the phase of a pod."""
    init, main = progress.init, progress.main
    if progress.defect or any(each.failed for each in init):
        return "Failed"
    if all(each.done for each in main):
        return "Failed" if any(each.failed for each in main) else "Succeeded"
    started = all(each.done for each in init) and all(each.has_run for each in main)
    return "Running" if started else "Pending"


def pod_status(
    progress: Progress, addresses: tuple[str, str], started_at: datetime, before: Sequence[Json], now: datetime
) -> Json:
    """Return the status of a pod.

    Parameters
    ----------
    addresses
        Of the node and of the pod.
    before
        The conditions of the last status. A condition with the same value keeps its time.
    """
    current = phase(progress)
    node, pod = addresses
    status: Json = {
        "phase": current,
        "hostIP": node,
        "hostIPs": [{"ip": node}],
        "podIP": pod,
        "podIPs": [{"ip": pod}],
        "startTime": wire_time(started_at),
        "conditions": _conditions(current, progress, before, now),
        "containerStatuses": [_container_status(each) for each in progress.main],
    }
    if progress.init:
        status["initContainerStatuses"] = [_container_status(each) for each in progress.init]
    if progress.defect:
        status |= {"reason": "ProcessNodeError", "message": progress.defect}
    return status


def _conditions(current: str, progress: Progress, before: Sequence[Json], now: datetime) -> list[Json]:
    ready = current == "Running" and all(each.ready for each in progress.main)
    initialized = all(each.done and not each.failed for each in progress.init)
    why = "" if ready else {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(current, "ContainersNotReady")
    wanted = [("Initialized", initialized, ""), ("Ready", ready, why), ("ContainersReady", ready, why)]
    earlier = {(each["type"], each["status"]): each["lastTransitionTime"] for each in before}
    conditions = []
    for kind, value, reason in wanted:
        status = str(value)
        time = earlier.get((kind, status)) or wire_time(now)
        conditions.append({"type": kind, "status": status, "reason": reason, "lastTransitionTime": time})
    return conditions


def _container_status(record: ContainerRecord) -> Json:
    return {
        "name": record.name,
        "image": record.image,
        "imageID": "",
        "ready": record.ready,
        "started": record.started,
        "restartCount": record.restarts,
        "state": _state(record.state),
        "lastState": _state(record.last_state) if record.last_state else {},
    }


def _state(state: State) -> Json:
    match state:
        case Waiting(reason, message):
            return {"waiting": {"reason": reason, "message": message}}
        case Running(started_at):
            return {"running": {"startedAt": wire_time(started_at)}}
        case Terminated():
            body: dict[str, Any] = {
                "exitCode": state.exit_code,
                "reason": state.reason,
                "message": state.message,
                "startedAt": wire_time(state.started_at),
                "finishedAt": wire_time(state.finished_at),
            }
            return {"terminated": body}


def wire_time(moment: datetime) -> str:
    """Return a time in the format of the API, in whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
