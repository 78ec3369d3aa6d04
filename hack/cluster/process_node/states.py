"""States of containers and the pod status that follows from them, as a kubelet writes it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cluster.process_node.podspec import Json, Pod

LOST_EXIT_CODE = 137
LOST_REASON = "ContainerStatusUnknown"


@dataclass(frozen=True)
class Waiting:
    """Not running, but it will."""

    reason: str
    message: str = ""


@dataclass(frozen=True)
class Running:
    """A live process."""

    started_at: datetime


@dataclass(frozen=True)
class Terminated:
    """An ended process."""

    exit_code: int
    reason: str
    message: str
    started_at: datetime
    finished_at: datetime


State = Waiting | Running | Terminated


@dataclass(frozen=True)
class ContainerRecord:
    """What is known of one container.

    `done` says that it has ended and is not started again; `ready` and `started` are what its probes say.
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
        """Whether it has ended for good with an error."""
        return self.done and isinstance(self.state, Terminated) and self.state.exit_code != 0


@dataclass(frozen=True)
class PodVerdict:
    """Why a pod has failed as a whole, e.g. DeadlineExceeded."""

    reason: str
    message: str


@dataclass(frozen=True)
class PodAddress:
    """Where a pod runs and since when."""

    host_ip: str
    pod_ip: str
    started_at: datetime


@dataclass(frozen=True)
class Progress:
    """How far a pod has come: its init containers, its containers, and the verdict on the whole."""

    init: Sequence[ContainerRecord]
    main: Sequence[ContainerRecord]
    verdict: PodVerdict | None = None


def phase(progress: Progress) -> str:
    """Derive the phase of a pod from its containers."""
    init, main = progress.init, progress.main
    ended = all(each.done for each in main)
    if any(each.failed for each in init) or (progress.verdict and ended):
        return "Failed"
    if not all(each.done for each in init):
        return "Pending"
    if ended:
        return "Failed" if any(each.failed for each in main) else "Succeeded"
    never_ran = any(isinstance(each.state, Waiting) and each.last_state is None for each in main)
    return "Pending" if never_ran else "Running"


def pod_status(pod: Pod, address: PodAddress, progress: Progress, held: Sequence[Json], now: datetime) -> Json:
    """Build the whole status. An unchanged condition keeps its time from `held`, the conditions written last."""
    current = phase(progress)
    status: Json = {
        "phase": current,
        "hostIP": address.host_ip,
        "hostIPs": [{"ip": address.host_ip}],
        "podIP": address.pod_ip,
        "podIPs": [{"ip": address.pod_ip}],
        "startTime": wire_time(address.started_at),
        "conditions": _conditions(current, progress, held, now),
        "containerStatuses": [_container_status(pod, each) for each in progress.main],
        "observedGeneration": pod.raw["metadata"].get("generation", 1),
    }
    if progress.init:
        status["initContainerStatuses"] = [_container_status(pod, each) for each in progress.init]
    if progress.verdict and current == "Failed":
        status |= {"reason": progress.verdict.reason, "message": progress.verdict.message}
    return status


def _conditions(current: str, progress: Progress, held: Sequence[Json], now: datetime) -> list[Json]:
    initialized = all(each.done and not each.failed for each in progress.init)
    finished = current in {"Succeeded", "Failed"}
    unready = [each.name for each in progress.main if not each.ready]
    if finished:
        not_ready = {"reason": "PodCompleted" if current == "Succeeded" else "PodFailed"}
    else:
        not_ready = {"reason": "ContainersNotReady", "message": f"containers with unready status: {unready}"}
    pending = [each.name for each in progress.init if not each.done]
    incomplete = {"reason": "ContainersNotInitialized", "message": f"containers with incomplete status: {pending}"}
    ready = not finished and not unready
    wanted: list[tuple[str, bool, Mapping[str, str]]] = [
        ("PodReadyToStartContainers", not finished, {}),
        ("Initialized", initialized, {} if initialized else incomplete),
        ("Ready", ready, {} if ready else not_ready),
        ("ContainersReady", ready, {} if ready else not_ready),
        ("PodScheduled", True, {}),
    ]
    before: Mapping[str, Json] = {each["type"]: each for each in held}
    return [_condition(before.get(kind), kind, value=value, why=why, now=now) for kind, value, why in wanted]


def _condition(held: Json | None, kind: str, *, value: bool, why: Mapping[str, str], now: datetime) -> Json:
    status = "True" if value else "False"
    same = held is not None and held.get("status") == status
    time = (held or {}).get("lastTransitionTime") if same else None
    condition = {"type": kind, "status": status, "lastTransitionTime": time or wire_time(now)}
    return {**condition, "reason": why.get("reason"), "message": why.get("message")}


def _container_status(pod: Pod, record: ContainerRecord) -> Json:
    identity = f"process://{pod.uid}/{record.name}/"
    status: Json = {
        "name": record.name,
        "image": record.image,
        "imageID": "",
        "ready": record.ready,
        "started": record.started,
        "restartCount": record.restarts,
        "state": _state(record.state, f"{identity}{record.restarts}"),
        "lastState": {},
    }
    if record.last_state:
        status["lastState"] = _state(record.last_state, f"{identity}{max(record.restarts - 1, 0)}")
    if not isinstance(record.state, Waiting):
        status["containerID"] = f"{identity}{record.restarts}"
    return status


def _state(state: State, identity: str) -> Json:
    match state:
        case Waiting(reason, message):
            return {"waiting": {"reason": reason, "message": message} if message else {"reason": reason}}
        case Running(started_at):
            return {"running": {"startedAt": wire_time(started_at)}}
        case Terminated(exit_code, reason, message, started_at, finished_at):
            body = {
                "exitCode": exit_code,
                "reason": reason,
                "startedAt": wire_time(started_at),
                "finishedAt": wire_time(finished_at),
                "containerID": identity,
            }
            return {"terminated": {**body, "message": message} if message else body}


def recovered(record: ContainerRecord, held: Json | None, now: datetime) -> ContainerRecord:
    """Take up a container after a restart of the node from the status that the API server holds.

    A process that ran is gone and its exit code with it: as a kubelet says, its status is unknown.
    """
    if held is None:
        return record
    record = replace(record, restarts=held.get("restartCount", 0))
    match held.get("state", {}):
        case {"terminated": ended}:
            return replace(record, state=_terminated(ended, now))
        case {"running": running}:
            message = "the process node was restarted and ended this process"
            started = _read_time(running, "startedAt", now)
            return replace(record, state=Terminated(LOST_EXIT_CODE, LOST_REASON, message, started, now))
        case _:
            last = held.get("lastState", {}).get("terminated")
            return replace(record, last_state=_terminated(last, now) if last else None)


def _terminated(ended: Json, now: datetime) -> Terminated:
    started, finished = _read_time(ended, "startedAt", now), _read_time(ended, "finishedAt", now)
    return Terminated(ended["exitCode"], ended.get("reason", ""), ended.get("message", ""), started, finished)


def _read_time(body: Json, field: str, default: datetime) -> datetime:
    text = body.get(field)
    return datetime.fromisoformat(text) if text else default


def wire_time(moment: datetime) -> str:
    """Write a time as the API server does, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
