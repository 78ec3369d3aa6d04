"""One reconcile: observe, plan and act, until the plan is empty or only time can change it."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import assert_never

from trainyard_api import meta
from trainyard_api.base import ApiModel
from trainyard_operator.core import saved
from trainyard_operator.core.champion import ModelObjects
from trainyard_operator.core.facts import Fact, Need, Refusal
from trainyard_operator.core.objects import ObjectView, PodView, ServingPodView, WarningView
from trainyard_operator.core.plan import Action, Apply, Body, Delete, Kind
from trainyard_operator.kinds.base import OURS, Key, controller_of, model_term
from trainyard_operator.kinds.children import JOB
from trainyard_operator.kinds.model_deployment import MODEL_DEPLOYMENT
from trainyard_operator.kinds.model_version import MODEL_VERSION
from trainyard_operator.kube import views
from trainyard_operator.kube.errors import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    log_level,
)
from trainyard_operator.kube.events import event_body
from trainyard_operator.kube.patch import status_patch
from trainyard_operator.kube.port import (
    CORE_EVENTS,
    EVENTS,
    JOBS,
    MODEL_VERSIONS,
    PODS,
    KubePort,
    Resource,
)
from trainyard_operator.runtime.apply import apply
from trainyard_operator.runtime.clock import Clock
from trainyard_operator.runtime.controller import Controller, Facts, Step
from trainyard_operator.runtime.metrics import count_transition
from trainyard_operator.runtime.store import Store

DELETED_SECONDS = 5.0
"""Delay before the next reconcile after a deletion, if the watch has not reported it."""

CONTROLLER_UID_LABEL = "batch.kubernetes.io/controller-uid"
"""A label that the Job controller sets on each pod of a Job."""

MAX_STEPS = 10
"""Maximum number of steps. A plan that needs more would never reach its fixed point."""

log = logging.getLogger(__name__)


class NotSettledError(Exception):
    """A plan keeps asking for steps. This is a bug in the planner, never a state of the cluster."""


@dataclass(frozen=True)
class Outcome:
    """Result of a reconcile: run again soon, run again after some seconds, or nothing."""

    again: bool = False
    after: float | None = None


class Reconciler:
    """Run reconciles. All writes to the cluster about custom resources happen here."""

    def __init__(
        self,
        port: KubePort,
        store: Store,
        controllers: Mapping[Kind, Controller],
        *,
        instance: str,
        clock: Clock,
        may_update: Callable[[Key], bool] = lambda _: True,
    ) -> None:
        """Create the reconciler. ``may_update`` returns whether a ModelDeployment may replace its pods now."""
        self._port = port
        self._store = store
        self._controllers = controllers
        self._instance = instance
        self._may_update = may_update
        self._clock = clock

    async def reconcile(self, key: Key) -> Outcome:
        """Bring one object as close to its spec as possible now.

        Raises
        ------
        ApiError
            If the API server does not respond. The reconcile is repeated later with the state of that time.
        """
        facts, controller = Facts(), self._controllers[key.kind]
        for _ in range(MAX_STEPS):
            step = controller.step(key, facts)
            if step is None:
                return Outcome()
            if step.plan.needs:
                for need in step.plan.needs:
                    await self._read(key, step, need, facts)
            elif step.plan.actions:
                await self._act(key, step.plan.actions, facts)
                if facts.refused is None:
                    return _after(step.plan.actions)
            elif step.plan.status is not None:
                await self._emit_events(key, step)
                await self._write_status(key, step)
            elif step.plan.events:
                for note in step.plan.events:
                    log.warning("%s: %s", key, note.message)
                await self._emit_events(key, step)
                return Outcome(after=step.plan.requeue_after)
            else:
                await self._save(key, step.view, step.view.status)
                return Outcome(after=step.plan.requeue_after)
        raise NotSettledError(f"{key} did not reach a stable state after {MAX_STEPS} steps")

    async def _read(self, key: Key, step: Step, need: Need, facts: Facts) -> None:
        match need.fact:
            case Fact.PODS:
                facts.pods[need.name] = await self._pods_of_job(key, step.view.uid, need.name)
            case Fact.SERVING_PODS:
                version = need.name.rpartition("-v")[2]
                selector = f"{meta.DEPLOYMENT_UID_LABEL}={step.view.uid},{meta.VERSION_LABEL}={version}"
                found = self._port.list(PODS, key.namespace, selector=selector)
                pods = [views.serving_pod(body) async for body in found if _is_of_deployment(body, need.name)]
                facts.serving_pods[need.name] = await self._explained(key, pods)
            case Fact.JOB:
                await self._read_job(key, step.view.uid, need.name, facts)
            case Fact.RUNS:
                await self._read_runs(key, step.view.uid)
                facts.listed = True
            case Fact.VERSION:
                try:
                    body = await self._port.get(MODEL_VERSIONS, key.namespace, need.name)
                    facts.versions[need.name] = MODEL_VERSION.view(body)
                except NotFoundError:
                    facts.versions[need.name] = None
            case Fact.MODEL_OBJECTS:  # watched, but many, so they are looked up only for this decision
                facts.model_objects = ModelObjects(
                    self._store.find(MODEL_VERSION, model_term(key.namespace, need.name)),
                    self._store.find(MODEL_DEPLOYMENT, model_term(key.namespace, need.name)),
                )
            case Fact.EVENTS:
                facts.warnings[need.name] = await self._warnings(key, need.name)
            case Fact.UPDATE:
                facts.may_update = self._may_update(key)
            case _:
                assert_never(need.fact)

    async def _pods_of_job(self, key: Key, uid: str, name: str) -> tuple[PodView, ...]:
        """Return the pods of a Job. Pods of an earlier Job with the same name are excluded."""
        job = next((child for child in self._store.children(JOB, key.namespace, uid) if child.name == name), None)
        if job is None:
            return ()
        found = self._port.list(PODS, key.namespace, selector=f"{CONTROLLER_UID_LABEL}={job.uid},{OURS}")
        pods = [body async for body in found if (controller_of(body, "Job") or {}).get("uid") == job.uid]
        return tuple(views.pod(body) for body in pods)

    async def _explained(self, key: Key, pods: list[ServingPodView]) -> tuple[ServingPodView, ...]:
        """Add the kubelet's Event to the newest pod without a reason, for example about a volume or the network."""
        silent = [p for p in pods if not (p.ready or p.deleting or p.running or p.waiting or p.exit_code is not None)]
        newest = max(silent, key=lambda pod: (pod.created, pod.name), default=None)
        if newest is None:
            return tuple(pods)
        last = max(await self._warnings(key, newest.uid), key=lambda each: each.time, default=None)
        explained = replace(newest, waiting=last.text) if last is not None else newest
        return tuple(explained if pod is newest else pod for pod in pods)

    async def _warnings(self, key: Key, uid: str) -> tuple[WarningView, ...]:
        """Return the Warning Events about an object. They only explain, so the permission to read them is optional."""
        events = self._port.list(EVENTS, key.namespace, fields=f"regarding.uid={uid},type=Warning")
        try:
            return tuple([views.warning(body) async for body in events])
        except ForbiddenError as error:
            log.warning("%s: Events cannot be read, so the status does not show why there is no pod: %s", key, error)
            return ()

    async def _read_job(self, key: Key, uid: str, name: str, facts: Facts) -> None:
        """Read a Job of an attempt that no watch has reported."""
        try:
            self._take(key, "Job", await self._port.get(JOBS, key.namespace, name))
        except NotFoundError:
            facts.missing.add(name)
        else:
            if all(child.name != name for child in self._store.children(JOB, key.namespace, uid)):
                facts.missing.add(name)  # a Job with this name exists, but it is not a child

    async def _read_runs(self, key: Key, uid: str) -> None:
        """Read a schedule and its runs, because the watch may be late and a response may be lost."""
        try:
            self._take(key, key.kind, await self._port.get(self._resource(key.kind), key.namespace, key.name))
        except NotFoundError:
            self._forget(key)
            return
        selector = f"{meta.SCHEDULE_UID_LABEL}={uid}"
        for kind in self._store.kinds.runs(key.kind):
            async for body in self._port.list(kind.resource, key.namespace, selector=selector):
                self._take(key, kind.name, body)

    async def _act(self, key: Key, actions: tuple[Action, ...], facts: Facts) -> None:
        """Perform actions up to the first one that is refused."""
        before = self._known_before(key, actions)
        try:
            applied = await apply(self._port, self._store.kinds, key.namespace, actions)
        except ConflictError:
            await self._read_again(key, actions)
            raise
        for kind, body in applied.bodies:
            self._take(key, kind, body)
        facts.refused = applied.refused
        after = {(kind, body["metadata"]["name"]): body["metadata"]["resourceVersion"] for kind, body in applied.bodies}
        if before and before == after:  # without this refusal, the same plan would repeat forever
            child = " ".join(next(iter(before)))
            message = f"{child} did not change after an apply: check whether a webhook reverts the change"
            facts.refused = Refusal(message, permanent=False)

    async def _read_again(self, key: Key, actions: tuple[Action, ...]) -> None:
        """Read objects whose apply had a conflict. A broken watch may have lost their deletion."""
        for kind, name in [
            (each.kind, str(each.body["metadata"]["name"])) for each in actions if isinstance(each, Apply)
        ]:
            try:
                self._take(key, kind, await self._port.get(self._resource(kind), key.namespace, name))
            except NotFoundError:
                self._store.forget(Key(key.namespace, name, kind), reconciling=key)

    def _known_before(self, key: Key, actions: tuple[Action, ...]) -> dict[tuple[Kind, str], str]:
        """Return the resourceVersions before an apply. The watch may report the change before the response."""
        applies = [(each.kind, str(each.body["metadata"]["name"])) for each in actions if isinstance(each, Apply)]
        return {(kind, name): self._store.resource_version(Key(key.namespace, name, kind)) for kind, name in applies}

    async def _emit_events(self, key: Key, step: Step) -> None:
        """Write Events. They only inform, so a failure to write one is logged and ignored."""
        for note in step.plan.events:
            body = event_body(key.kind, step.view, note, instance=self._instance, now=self._clock())
            try:
                await self._port.create(CORE_EVENTS, key.namespace, body)
            except AlreadyExistsError:
                continue  # an earlier reconcile wrote it and did not complete
            except ApiError as error:
                log.log(log_level(error), "Event %s of %s was not written: %s", note.reason, key, error)

    async def _write_status(self, key: Key, step: Step) -> None:
        if step.plan.status is None:
            return
        version = await self._save(key, step.view, step.plan.status)
        if version is None:
            return
        changes = status_patch(self._store.stored_status(key), step.view.status.wire(), step.plan.status.wire())
        patch = {"metadata": {"resourceVersion": version}, "status": changes}
        body = await self._write(key, self._port.patch_status(self._resource(key.kind), *key[:2], patch))
        if body is not None:
            _note(key, step.view.status.wire(), step.plan.status.wire())

    async def _save(self, key: Key, view: ObjectView[ApiModel], status: ApiModel) -> str | None:
        """Write the annotation from which a restore takes the status, if it is not up to date.

        It is written before the status. A backup between the two writes then contains the new status.

        Returns
        -------
        The resourceVersion of the object after the write; ``None`` if another client has written the object since.
        """
        saves, version = self._store.kinds[key.kind].saves, view.resource_version
        text = saved.due(saves, view, status) if saves is not None else None
        if text is None:
            return version
        annotations, resource = {meta.SAVED_ANNOTATION: text}, self._resource(key.kind)
        write = self._port.annotate(resource, *key[:2], annotations, resource_version=version)
        try:
            body = await self._write(key, write)
        except (ForbiddenError, InvalidError) as error:  # the work must not depend on whether a restore knows it
            log.warning(
                "%s: the annotation with the status was not written, so a restore loses this status: %s", key, error
            )
            return version
        return str(body["metadata"]["resourceVersion"]) if body is not None else None

    async def _write(self, key: Key, written: Awaitable[Body]) -> Body | None:
        """Apply the response to a write to the store.

        Return ``None`` if the object is gone or was changed by another client.
        """
        try:
            body = await written
        except ConflictError:
            self._take(key, key.kind, await self._port.get(self._resource(key.kind), key.namespace, key.name))
            return None
        except NotFoundError:
            self._forget(key)
            return None
        self._take(key, key.kind, body)
        return body

    def _resource(self, kind: Kind) -> Resource:
        return self._store.kinds[kind].resource

    def _forget(self, key: Key) -> None:
        """Remove an object from the store. The watch may report its deletion later."""
        self._store.forget(key, reconciling=key)

    def _take(self, key: Key, kind: Kind, body: Body) -> None:
        """Apply a response to the store. The watch reports the same version later, which is then ignored."""
        self._store.apply(kind, body, reconciling=key)


def _note(key: Key, before: Body, after: Body) -> None:
    """Log and count a change of phase or reason, with one log line each."""
    phase, reason = _state(after)
    if (phase, reason) == _state(before):
        return
    count_transition(key.kind, phase, reason)
    fields = {"kind": key.kind, "namespace": key.namespace, "name": key.name, "phase": phase, "reason": reason}
    what = " ".join(filter(None, dict.fromkeys((phase, reason))))
    log.info("%s %s/%s: %s", key.kind, key.namespace, key.name, what, extra={"object": fields})


def _state(status: Body) -> tuple[str, str]:
    """Return the phase and the reason of the condition Ready. Each is empty if it does not exist."""
    ready: Body = next((each for each in status.get("conditions") or () if each["type"] == "Ready"), {})
    return str(status.get("phase") or ""), str(ready.get("reason") or "")


def _is_of_deployment(pod: Body, name: str) -> bool:
    """Return whether a ReplicaSet of a Deployment controls a pod.

    Its name consists of the Deployment and the template.
    """
    template = (pod["metadata"].get("labels") or {}).get("pod-template-hash")
    owner = controller_of(pod, "ReplicaSet")
    return owner is not None and owner["name"] == f"{name}-{template}"


def _after(actions: tuple[Action, ...]) -> Outcome:
    """Return the outcome after actions.

    A creation is in the store at once, a deletion only when the watch reports it.
    """
    if any(isinstance(action, Delete) for action in actions):
        return Outcome(after=DELETED_SECONDS)
    return Outcome(again=True)
