"""States of containers in the format of the API, and the status of a pod as a kubelet derives it from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cluster.process_node.client import Json


def waiting(reason: str, message: str = "") -> Json:
    """Return the state of a container that does not run yet."""
    return {"waiting": {"reason": reason, "message": message}}


def running(started: datetime) -> Json:
    """Return the state of a container with a process."""
    return {"running": {"startedAt": wire_time(started)}}


def terminated(code: int, reason: str, message: str, started: datetime) -> Json:
    """Return the state of a container whose process has just ended."""
    times = {"startedAt": wire_time(started), "finishedAt": wire_time(datetime.now(UTC))}
    return {"terminated": {"exitCode": code, "reason": reason, "message": message, **times}}


@dataclass(frozen=True)
class ContainerRecord:
    """What is known of one container.

    ``done`` means that it has ended and is not started again. ``ready`` and ``started`` are the results of its probes.
    """

    name: str
    image: str
    state: Json
    last_state: Json = field(default_factory=dict)
    restarts: int = 0
    ready: bool = False
    started: bool = False
    done: bool = False

    @property
    def exit_code(self) -> int | None:
        """Its exit code, if it has ended."""
        code: int | None = self.state.get("terminated", {}).get("exitCode")
        return code

    @property
    def failed(self) -> bool:
        """Whether it has ended with an error and is not started again."""
        return self.done and self.exit_code != 0

    def status(self) -> Json:
        """Return its status for the API."""
        return {
            "name": self.name,
            "image": self.image,
            "imageID": "",
            "ready": self.ready,
            "started": self.started,
            "restartCount": self.restarts,
            "state": self.state,
            "lastState": self.last_state,
        }


def phase(init: Sequence[ContainerRecord], main: Sequence[ContainerRecord]) -> str:
    """Return the phase of a pod, from its init containers and its other containers."""
    if any(each.failed for each in init):
        return "Failed"
    if all(each.done for each in main):
        return "Failed" if any(each.failed for each in main) else "Succeeded"
    have_run = all("waiting" not in each.state or each.last_state for each in main)
    return "Running" if have_run and all(each.done for each in init) else "Pending"


def pod_status(
    init: Sequence[ContainerRecord], main: Sequence[ContainerRecord], fixed: Mapping[str, str], before: Json
) -> Json:
    """Return the status of a pod: the ``fixed`` fields, and what follows from the containers.

    The condition Ready keeps its time as long as it has the same value as in ``before``, the last status.
    """
    current = phase(init, main)
    ready = current == "Running" and all(each.ready for each in main)
    reasons = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}
    condition = {
        "type": "Ready",
        "status": str(ready),
        "reason": "" if ready else reasons.get(current, "ContainersNotReady"),
    }
    [last] = before.get("conditions", [{}])
    same = last.get("status") == condition["status"]
    condition["lastTransitionTime"] = last["lastTransitionTime"] if same else wire_time(datetime.now(UTC))
    status: Json = {
        **fixed,
        "phase": current,
        "conditions": [condition],
        "containerStatuses": [each.status() for each in main],
    }
    if init:
        status["initContainerStatuses"] = [each.status() for each in init]
    return status


def wire_time(moment: datetime) -> str:
    """Return a time in the format of the API, in whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
