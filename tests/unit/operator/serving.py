"""Serving in memory: the API server, the Deployment controller with its pods, and an operator that plans for them."""

import copy
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.unit.operator.api_server import NAMESPACE, WATCHED
from tests.unit.operator.cluster import Cluster
from tests.unit.operator.core import versions
from tests.unit.operator.operators import Killed, StepOperator, run
from trainyard_api import API_VERSION, meta
from trainyard_operator.core.plan import Body, Kind
from trainyard_operator.core.times import to_rfc3339
from trainyard_operator.kinds.base import Key
from trainyard_operator.kube.errors import ApiError
from trainyard_operator.kube.port import (
    DEPLOYMENTS,
    EVENTS,
    MODEL_DEPLOYMENTS,
    MODEL_VERSIONS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    SERVICES,
    Resource,
)
from trainyard_operator.runtime.controller import Controller
from trainyard_operator.runtime.controllers.model_deployment import ModelDeploymentController
from trainyard_operator.runtime.controllers.model_version import ModelVersionController
from trainyard_operator.runtime.reconciler import Outcome, Reconciler
from trainyard_operator.runtime.registry import KINDS
from trainyard_operator.runtime.resync import resync
from trainyard_operator.runtime.store import Store
from trainyard_operator.runtime.updates import Updates

MODEL = "m"
NAME = "shop"
TEMPLATE = "template"
IMAGE = "image"

Health = Literal[
    "loads", "hangs", "crashes", "corrupt", "upstream", "refused", "node lost", "no image", "no volume", "no command"
]
NEVER_RUNS: frozenset[Health] = frozenset({"no image", "no volume", "no command"})
NOT_REJECTED_FOR: frozenset[Health] = NEVER_RUNS | {"upstream", "refused", "node lost"}
EXIT_CODES: dict[Health, int] = {"crashes": 1, "corrupt": 65, "upstream": 69, "refused": 77}


@dataclass
class ServingCluster(Cluster):
    """A cluster whose pods become ready or not, depending on the health of their version."""

    health: dict[int, Health] = field(default_factory=dict)
    """By version. A version without an entry loads."""
    broken: set[str] = field(default_factory=set)
    """Images whose server never becomes ready."""
    refused: dict[int, str] = field(default_factory=dict)
    """By version: the error with which a quota or a policy refuses its pods."""

    # ---- users -------------------------------------------------------------------------------------------------------

    def publish(self, number: int, *, good: bool = True) -> Body:
        """Create a ModelVersion that passes its gate if ``good``."""
        body = {
            "apiVersion": API_VERSION,
            "kind": "ModelVersion",
            "metadata": {"name": f"{MODEL}-v{number}"},
            "spec": versions.spec(number, "1.5" if good else "2.5", gates=[versions.BELOW_2]),
        }
        return self.add(MODEL_VERSIONS, NAMESPACE, body)

    def deploy(self, name: str = NAME, **spec: Any) -> Body:
        """Create a ModelDeployment."""
        body = {
            "apiVersion": API_VERSION,
            "kind": "ModelDeployment",
            "metadata": {"name": name},
            "spec": {"modelName": MODEL, **spec},
        }
        return self.add(MODEL_DEPLOYMENTS, NAMESPACE, body)

    def respec(self, name: str = NAME, **fields: Any) -> None:
        """Change fields of a ModelDeployment's spec."""
        spec = {**self.of(MODEL_DEPLOYMENTS)[name]["spec"], **fields}
        self.change(MODEL_DEPLOYMENTS, NAMESPACE, name, spec=spec)

    def act(self, text: str, name: str = NAME, by: str = "alice") -> None:
        """Request an action, as ``kubectl annotate --overwrite`` does."""
        body = self.of(MODEL_DEPLOYMENTS)[name]
        owned: Body = {"f:metadata": {"f:annotations": {f"f:{meta.ACTION_ANNOTATION}": {}}}}
        body["metadata"] = {
            **body["metadata"],
            "annotations": {**(body["metadata"].get("annotations") or {}), meta.ACTION_ANNOTATION: text},
            "managedFields": [{"manager": by, "time": to_rfc3339(self.now), "fieldsV1": owned}],
        }
        self._store(MODEL_DEPLOYMENTS, body, "MODIFIED")

    def deployed(self, name: str = NAME) -> dict[str, Any]:
        """Return the status of a ModelDeployment."""
        status: dict[str, Any] = self.of(MODEL_DEPLOYMENTS)[name]["status"]
        return status

    def condition(self, kind: str, name: str = NAME) -> Body | None:
        """Return a condition of a ModelDeployment."""
        conditions = self.deployed(name).get("conditions") or ()
        return next((c for c in conditions if c["type"] == kind), None)

    def version_phase(self, number: int) -> str:
        """Return the phase of a ModelVersion."""
        return str(self.of(MODEL_VERSIONS)[f"{MODEL}-v{number}"]["status"]["phase"])

    def can_serve(self, number: int) -> bool:
        """Return whether the pods of a version are created and become ready."""
        return self.health.get(number, "loads") == "loads" and number not in self.refused

    def served(self, name: str = NAME) -> int | None:
        """Return the version that the Service selects."""
        service = self.of(SERVICES).get(name)
        return int(service["spec"]["selector"][meta.VERSION_LABEL]) if service is not None else None

    def budgeted(self, name: str = NAME) -> int | None:
        """Return the version whose pods the PodDisruptionBudget selects, ``None`` without a PodDisruptionBudget."""
        budget = self.of(POD_DISRUPTION_BUDGETS).get(name)
        return int(budget["spec"]["selector"]["matchLabels"][meta.VERSION_LABEL]) if budget is not None else None

    # ---- controllers and kubelet -------------------------------------------------------------------------------------

    def edit_child(self, resource: Resource, name: str, image: str = "edited:1") -> None:
        """Edit a child of the ModelDeployment directly, as ``kubectl set image`` or ``kubectl edit svc`` does."""
        spec = copy.deepcopy(self.of(resource)[name]["spec"])
        if resource == DEPLOYMENTS:
            spec["template"]["spec"]["containers"][0]["image"] = image
        elif resource == SERVICES:
            spec["type"] = "LoadBalancer"
        else:
            spec["maxUnavailable"] = "100%"
        self.change(resource, NAMESPACE, name, spec=spec)

    def roll(self, rounds: int = 8) -> None:
        """Run controllers and kubelets until nothing changes, at most ``rounds`` times."""
        for _ in range(rounds):
            before = self.counter
            self.collect()
            for name, body in self.of(DEPLOYMENTS).items():
                if "deletionTimestamp" not in body["metadata"]:
                    self._scale(name, body)
            if self.counter == before:
                return

    def crash(self) -> None:
        """Restart each container whose version crashes once more."""
        for name, body in self.of(PODS).items():
            version = int(body["metadata"]["labels"][meta.VERSION_LABEL])
            code = EXIT_CODES.get(self.health.get(version, "loads"))
            if code is not None:
                restarts = body["status"]["containerStatuses"][0]["restartCount"] + 1
                self.change(PODS, NAMESPACE, name, status=_pod_status(ready=False, restarts=restarts, code=code))

    def report(self, version: int, reason: str, note: str) -> None:
        """Write an Event about the pods of a version, as the kubelet does."""
        for name, body in self.of(PODS).items():
            if body["metadata"]["labels"][meta.VERSION_LABEL] == str(version):
                event = {
                    "metadata": {"name": f"{name}.{self.counter}"},
                    "regarding": {"kind": "Pod", "name": name, "uid": body["metadata"]["uid"]},
                    "type": "Warning",
                    "reason": reason,
                    "note": note,
                    "deprecatedLastTimestamp": to_rfc3339(self.now),
                }
                self.add(EVENTS, NAMESPACE, event)

    def _scale(self, name: str, body: Body) -> None:
        template = body["spec"]["template"]
        made_from = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:8]
        wanted, uid = body["spec"]["replicas"], body["metadata"]["uid"]
        pods = {n: p for n, p in self.of(PODS).items() if p["metadata"]["ownerReferences"][0]["uid"] == uid}
        old = sorted(n for n, p in pods.items() if p["metadata"]["annotations"][TEMPLATE] != made_from)
        new = sorted(pods.keys() - set(old))
        ready = {n for n, p in pods.items() if _is_ready(p)}
        unready_old = [n for n in old if n not in ready]
        if unready_old and len(pods) - wanted > len(set(new) - ready):  # as the real controller computes it
            self.remove(PODS, NAMESPACE, unready_old[0])
        elif old and len(ready) > wanted:
            self.remove(PODS, NAMESPACE, old[0])
        elif len(new) < wanted and len(pods) < wanted + 1 and _version_of(body) not in self.refused:
            pod = {
                "metadata": {
                    "name": f"{name}-{made_from}-{self.counter}",
                    "labels": {**template["metadata"]["labels"], "pod-template-hash": made_from},
                    "annotations": {TEMPLATE: made_from, IMAGE: template["spec"]["containers"][0]["image"]},
                    "ownerReferences": [
                        {"kind": "ReplicaSet", "name": f"{name}-{made_from}", "uid": uid, "controller": True}
                    ],
                },
                "status": _first_status(self.health.get(_version_of(body), "loads")),
            }
            self.add(PODS, NAMESPACE, pod)
        elif not old and len(new) > wanted:
            self.remove(PODS, NAMESPACE, new[-1])
        self._probe(uid, body, made_from)

    def _probe(self, uid: str, body: Body, made_from: str) -> None:
        """Set pods to ready if their version loads, and update the status of the Deployment."""
        pods = {n: p for n, p in self.of(PODS).items() if p["metadata"]["ownerReferences"][0]["uid"] == uid}
        health = self.health.get(_version_of(body), "loads")
        loads, lost, never = health == "loads", health == "node lost", health in NEVER_RUNS
        ready = {n for n, p in pods.items() if loads and p["metadata"]["annotations"][IMAGE] not in self.broken}
        for name, pod in pods.items():
            if _is_ready(pod) != (name in ready):
                restarts = pod["status"]["containerStatuses"][0]["restartCount"]
                status = _pod_status(ready=name in ready, restarts=restarts, lost=lost)
                self.change(PODS, NAMESPACE, name, status=_first_status(health) if never else status)
        status = {
            "observedGeneration": body["metadata"]["generation"],
            "replicas": len(pods),
            "updatedReplicas": sum(p["metadata"]["annotations"][TEMPLATE] == made_from for p in pods.values()),
            "readyReplicas": len(ready),
            "availableReplicas": len(ready),
        }
        why = self.refused.get(_version_of(body))
        if why is not None and status["updatedReplicas"] < body["spec"]["replicas"]:
            failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": why}
            status["conditions"] = [failure]
        if status != body.get("status"):
            self.change(DEPLOYMENTS, NAMESPACE, body["metadata"]["name"], status=status)


def _version_of(body: Body) -> int:
    return int(body["metadata"]["labels"][meta.VERSION_LABEL])


def _is_ready(pod: Body) -> bool:
    return bool(pod["status"]["conditions"][0]["status"] == "True")


def _first_status(health: Health) -> Body:
    """Return the first status of a pod: running, or the reason why it never runs."""
    status = _pod_status(ready=False)
    match health:
        case "no image":
            state: Body = {"waiting": {"reason": "ImagePullBackOff"}}
        case "no volume":
            state = {"waiting": {"reason": "ContainerCreating"}}
        case "no command":
            ended = {"exitCode": 128, "reason": "StartError", "message": "exec: not found"}
            status["containerStatuses"][0] |= {"restartCount": 7, "lastState": {"terminated": ended}}
            state = {"waiting": {"reason": "CrashLoopBackOff"}}
        case _:
            state = {"running": {}}
    status["containerStatuses"][0]["state"] = state
    return status


def _pod_status(*, ready: bool, restarts: int = 0, code: int | None = None, lost: bool = False) -> Body:
    ended = {"terminated": {"exitCode": code, "message": f"BadData: code {code}"}} if code is not None else {}
    return {
        "conditions": [{"type": "Ready", "status": str(ready)}],
        "containerStatuses": [
            {
                "name": meta.SERVER_CONTAINER,
                "ready": ready or lost,
                "restartCount": restarts,
                "state": {"running": {}},
                "lastState": ended,
            }
        ],
    }


class ServingOperator(StepOperator):
    """An operator of ModelVersions and ModelDeployments that a test moves step by step."""

    cluster: ServingCluster

    def restart(self) -> None:
        self.store = Store(KINDS)
        clock = lambda: self.cluster.now  # noqa: E731
        controllers: tuple[Controller, ...] = (
            ModelVersionController(self.store, clock=clock),
            ModelDeploymentController(self.store, self.config, clock=clock),
        )
        self.reconciler = Reconciler(
            self.cluster,
            self.store,
            {controller.kind: controller for controller in controllers},
            instance="test",
            clock=clock,
            may_update=Updates(self.store, self.config.serving.max_concurrent_updates, clock=clock).allow,
        )
        run(resync(self.cluster, self.store, ()))
        self.read: dict[Kind, int] = dict.fromkeys(WATCHED.values(), len(self.cluster.log))

    def reconcile_key(self, key: Key) -> Outcome | ApiError:
        """Reconcile once. Returns an error of the API server; a kill restarts the process."""
        try:
            return run(self.reconciler.reconcile(key))
        except ApiError as error:
            return error
        except Killed:
            self.restart()
            return Outcome(again=True)

    def reconcile(self, name: str = NAME) -> Outcome | ApiError:
        return self.reconcile_key(Key(NAMESPACE, name, "ModelDeployment"))

    def settle(self) -> None:
        """Deliver events and reconcile until nothing is due now."""
        kinds: tuple[tuple[Kind, Resource], ...] = (
            ("ModelVersion", MODEL_VERSIONS),
            ("ModelDeployment", MODEL_DEPLOYMENTS),
        )
        for _ in range(50):
            self.deliver_all()
            before = self.cluster.counter
            keys = [
                Key(NAMESPACE, name, kind) for kind, resource in kinds for name in sorted(self.cluster.of(resource))
            ]
            outcomes = [self.reconcile_key(key) for key in keys]
            busy = any(isinstance(outcome, ApiError) or outcome.again for outcome in outcomes)
            if not busy and self.cluster.counter == before:
                return
        raise AssertionError("the operator did not come to rest in 50 rounds")

    def go_on(self, seconds: float = 0.0, rounds: int = 12) -> None:
        """Run operator and controllers until nothing changes, advance the clock, and run them again."""
        for pause in (0.0, seconds):
            self.cluster.tick(pause)
            for _ in range(rounds):
                before = self.cluster.counter
                self.settle()
                self.cluster.roll()
                if self.cluster.counter == before:
                    break


@dataclass
class World:
    """A cluster with one ModelDeployment and its operator, what a user requests, and the reported status."""

    cluster: ServingCluster
    operator: ServingOperator

    def serve(self, *numbers: int) -> None:
        """Publish versions one after the other, and let each one become active."""
        for number in numbers:
            self.cluster.publish(number)
            self.operator.go_on(1.0)

    def act(self, text: str) -> str:
        """Request an action, let the operator reconcile, and return the message of the action."""
        self.cluster.act(text)
        self.operator.go_on(1.0)
        return str(self.status["lastActionMessage"])

    def edit(self, **spec: Any) -> None:
        """Edit the spec, and let the operator reconcile."""
        self.cluster.respec(**spec)
        self.operator.go_on(1.0)

    @property
    def status(self) -> dict[str, Any]:
        return self.cluster.deployed()

    @property
    def deployments(self) -> list[str]:
        return sorted(self.cluster.of(DEPLOYMENTS))

    def condition_of(self, kind: str) -> tuple[str, str, str]:
        """Return status, reason and message of a condition, empty if there is none."""
        found = self.cluster.condition(kind)
        return ("", "", "") if found is None else (found["status"], found["reason"], found["message"])

    def history(self) -> list[tuple[int, str, str]]:
        return [(e["version"], e["outcome"], e["by"]) for e in self.status.get("history") or ()]


def new_world() -> World:
    """Return a World whose ModelDeployment has no version yet."""
    cluster = ServingCluster()
    world = World(cluster, ServingOperator(cluster))
    cluster.deploy(rollout={"keepWarmSeconds": 300, "progressDeadlineSeconds": 60})
    world.operator.go_on()
    return world
