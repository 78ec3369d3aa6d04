"""An in-memory cluster: API server, Job controller, garbage collection, and pods whose state a test sets."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tests.unit.operator.api_server import NAMESPACE, ApiServer
from tests.unit.operator.bodies import pod_of
from trainyard_api import API_VERSION, meta
from trainyard_operator.core.plan import Body
from trainyard_operator.core.times import from_rfc3339, to_rfc3339
from trainyard_operator.kube.port import EVENTS, JOBS, PODS, TRAINING_JOBS, Resource

LOW_MEMORY = "The node was low on resource: memory. "
ON_NODE = {"nodeName": "node-1"}


@dataclass
class Cluster(ApiServer):
    """The API server, with methods for what users, kubelets and controllers do."""

    # ---- users -------------------------------------------------------------------------------------------------------

    def submit(self, name: str, spec: dict[str, Any], namespace: str = NAMESPACE, **metadata: Any) -> Body:
        """Create a TrainingJob."""
        body = {
            "apiVersion": API_VERSION,
            "kind": "TrainingJob",
            "metadata": {"name": name, **metadata},
            "spec": spec,
        }
        return self.add(TRAINING_JOBS, namespace, body)

    def edit(self, name: str, **fields: Any) -> None:
        """Change fields of a TrainingJob's spec."""
        spec = self.of(TRAINING_JOBS)[name]["spec"]
        self.change(TRAINING_JOBS, NAMESPACE, name, spec={**spec, **fields})

    def status(self, name: str) -> dict[str, Any]:
        """Return the stored status of a TrainingJob."""
        status: dict[str, Any] = self.of(TRAINING_JOBS)[name]["status"]
        return status

    # ---- kubelet and controllers -------------------------------------------------------------------------------------

    def tick(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def pods_of(self, job: str) -> tuple[str, ...]:
        """Return the names of a Job's pods, oldest first."""
        label = "batch.kubernetes.io/job-name"
        own = [body for body in self.of(PODS).values() if body["metadata"].get("labels", {}).get(label) == job]
        own.sort(key=lambda body: int(body["metadata"]["uid"].removeprefix("uid-")))
        return tuple(body["metadata"]["name"] for body in own)

    def _ensure_pod(self, job: str) -> str:
        """Return the Job's pod that was not evicted. If there is none, create one."""
        names = self.pods_of(job)
        if names and self.of(PODS)[names[-1]]["status"].get("phase") != "Failed":
            return names[-1]
        name = f"{job}-pod" + (f"-{len(names) + 1}" if names else "")
        self.add(PODS, NAMESPACE, pod_of(self.of(JOBS)[job], name))
        return name

    def hold_pod(self, job: str, why: str) -> None:
        """Keep the Job's pod unschedulable."""
        unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why}
        self.change(PODS, NAMESPACE, self._ensure_pod(job), status={"phase": "Pending", "conditions": [unscheduled]})
        self.change(JOBS, NAMESPACE, job, status={"active": 1, "startTime": to_rfc3339(self.now)})

    def start_pod(self, job: str) -> None:
        """Set the Job's pod to running and ready."""
        runs = [{"name": meta.CONTAINER, "ready": True, "state": {"running": {"startedAt": to_rfc3339(self.now)}}}]
        pod = self._ensure_pod(job)
        self.change(PODS, NAMESPACE, pod, status={"phase": "Running", "containerStatuses": runs}, spec=ON_NODE)
        status = {"active": 1, "ready": 1, "startTime": to_rfc3339(self.now)}
        self.change(JOBS, NAMESPACE, job, status=status)

    def warn(self, resource: Resource, name: str, reason: str, note: str) -> None:
        """Write a Warning Event about an object, as another component would."""
        uid = self.of(resource)[name]["metadata"]["uid"]
        body = {"metadata": {"name": f"{name}.{self.counter}"}, "type": "Warning", "reason": reason, "note": note}
        self.add(
            EVENTS, NAMESPACE, {**body, "regarding": {"uid": uid}, "deprecatedLastTimestamp": to_rfc3339(self.now)}
        )

    def refuse_pods(self, job: str, why: str) -> None:
        """Refuse the pods of a Job. The Job controller reports this only in an Event of the Job."""
        self.warn(JOBS, job, "FailedCreate", f'Error creating: pods "{job}-{self.counter:05d}" is forbidden: {why}')
        self.change(JOBS, NAMESPACE, job, status={"startTime": to_rfc3339(self.now)})

    def evict_pod(self, job: str, reason: str = "Evicted", message: str = LOW_MEMORY) -> None:
        """Evict the Job's pod. The Job controller creates another pod, which is pending."""
        since = to_rfc3339(self.now)
        disruption = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}
        ended = {"exitCode": 137, "reason": "Error", "finishedAt": since}
        status = {
            "phase": "Failed",
            "reason": reason,
            "message": message,
            "conditions": [{**disruption, "lastTransitionTime": since, "message": message}],
            "containerStatuses": [{"name": meta.CONTAINER, "state": {"terminated": ended}}],
        }
        self.change(PODS, NAMESPACE, self._ensure_pod(job), status=status)
        self._ensure_pod(job)
        self.change(JOBS, NAMESPACE, job, status={"active": 1, "startTime": since})

    def lose_node(self, job: str) -> None:
        """Disconnect the node of the Job's pod: the control plane sets the pod to not ready."""
        pod = self._ensure_pod(job)
        conditions = [{"type": "Ready", "status": "False"}]
        self.change(PODS, NAMESPACE, pod, status={**self.of(PODS)[pod]["status"], "conditions": conditions})
        self.change(JOBS, NAMESPACE, job, status={"active": 1, "startTime": to_rfc3339(self.now)})

    def finish_pod(self, job: str, exit_code: int, message: str = "", reason: str = "") -> None:
        """Terminate the Job's pod, and set the condition of the Job as its controller does."""
        self.start_pod(job)
        ended = {
            "exitCode": exit_code,
            "message": message,
            "reason": reason or ("Completed" if exit_code == 0 else "Error"),
            "finishedAt": to_rfc3339(self.now),
        }
        phase = "Succeeded" if exit_code == 0 else "Failed"
        states = [{"name": meta.CONTAINER, "state": {"terminated": ended}}]
        pod = self._ensure_pod(job)
        self.change(PODS, NAMESPACE, pod, status={"phase": phase, "containerStatuses": states})
        kind = "Complete" if exit_code == 0 else "Failed"
        condition = {"type": kind, "status": "True", "lastTransitionTime": to_rfc3339(self.now), "reason": "Told"}
        started = self.of(JOBS)[job]["status"]["startTime"]
        self.change(JOBS, NAMESPACE, job, status={"startTime": started, "conditions": [condition]})

    def leave_sidecar(self, job: str, exit_code: int, message: str = "") -> None:
        """Terminate our container in a pod whose proxy container keeps running."""
        self.start_pod(job)
        ended = {"exitCode": exit_code, "message": message, "finishedAt": to_rfc3339(self.now)}
        states = [{"name": meta.CONTAINER, "state": {"terminated": ended}}, {"name": "proxy", "state": {"running": {}}}]
        self.change(PODS, NAMESPACE, self._ensure_pod(job), status={"phase": "Running", "containerStatuses": states})
        self.change(JOBS, NAMESPACE, job, status={"active": 1, "startTime": to_rfc3339(self.now)})

    def enforce_deadlines(self) -> None:
        """Fail the Jobs that ran longer than their ``activeDeadlineSeconds``, as the Job controller does."""
        for name, body in self.of(JOBS).items():
            status, limit = body.get("status") or {}, body["spec"].get("activeDeadlineSeconds")
            if limit is None or "startTime" not in status or "conditions" in status:
                continue
            if self.now >= from_rfc3339(status["startTime"]) + timedelta(seconds=limit):
                since = to_rfc3339(self.now)
                failed = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "lastTransitionTime": since}
                self.change(JOBS, NAMESPACE, name, status={"startTime": status["startTime"], "conditions": [failed]})

    def collect(self) -> None:
        """Finish deletions, dependents first, and remove the objects whose owner is gone."""
        uids = {body["metadata"]["uid"] for body in self.objects.values()}
        for (resource, namespace, name), body in list(self.objects.items()):
            owners = body["metadata"].get("ownerReferences") or ()
            orphan = owners and all(owner["uid"] not in uids for owner in owners)
            if orphan or "deletionTimestamp" in body["metadata"]:
                self.remove(resource, namespace, name)
                if resource == JOBS:
                    for pod in self.pods_of(name):
                        self.objects.pop((PODS, namespace, pod))


def events_of(cluster: Cluster) -> list[str]:
    """Return the reasons of all Events."""
    return [str(body["reason"]) for body in cluster.of(EVENTS).values()]
