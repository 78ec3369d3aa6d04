"""One turn: observe, plan, do, until the plan is empty or only time can help."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import assert_never

from trainyard_api import meta
from trainyard_api.base import ApiModel
from trainyard_operator.core import saved
from trainyard_operator.core.champion import Rivals
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
    TRAINING_JOBS,
    KubePort,
    Resource,
)
from trainyard_operator.runtime.apply import apply
from trainyard_operator.runtime.clock import Clock
from trainyard_operator.runtime.controller import Controller, Facts, Step
from trainyard_operator.runtime.metrics import count_transition
from trainyard_operator.runtime.store import Store

DELETED_SECONDS = 5.0
"""How long the watch may take to tell of a deletion before it is asked for again."""

CONTROLLER_UID_LABEL = "batch.kubernetes.io/controller-uid"
"""On each pod of a Job, written by the Job controller."""

MAX_STEPS = 10
"""A plan that is not at its fixed point after so many steps would never be."""

log = logging.getLogger(__name__)


class NotSettledError(Exception):
    """A plan went on asking for steps: a bug in the planner, never the cluster's state."""


@dataclass(frozen=True)
class Outcome:
    """What a turn asks for: another one soon (it changed something), or after some seconds, or nothing."""

    again: bool = False
    after: float | None = None


class Reconciler:
    """Carry out turns. Everything that is written to the cluster about our objects is written here."""

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
        """``may_update`` tells whether a ModelDeployment may exchange its pods now."""
        self._port = port
        self._store = store
        self._controllers = controllers
        self._instance = instance
        self._may_update = may_update
        self._clock = clock

    async def reconcile(self, key: Key) -> Outcome:
        """Bring one object as far as it can go now.

        Raises
        ------
        ApiError
            When the API server does not answer; the turn is repeated later and starts from what is true then.
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
        raise NotSettledError(f"{key} was not settled after {MAX_STEPS} steps")

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
            case Fact.RIVALS:  # all of them are watched; they are many, so they are looked up for one decision only
                facts.rivals = Rivals(
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
        """Read the pods of a Job, not those of an earlier Job of its name that are still going."""
        job = next((child for child in self._store.children(JOB, key.namespace, uid) if child.name == name), None)
        if job is None:
            return ()
        found = self._port.list(PODS, key.namespace, selector=f"{CONTROLLER_UID_LABEL}={job.uid},{OURS}")
        pods = [body async for body in found if (controller_of(body, "Job") or {}).get("uid") == job.uid]
        return tuple(views.pod(body) for body in pods)

    async def _explained(self, key: Key, pods: list[ServingPodView]) -> tuple[ServingPodView, ...]:
        """Let the newest pod that says nothing say what its kubelet reports in Events alone: a volume, a network."""
        silent = [p for p in pods if not (p.ready or p.deleting or p.running or p.waiting or p.exit_code is not None)]
        newest = max(silent, key=lambda pod: (pod.created, pod.name), default=None)
        if newest is None:
            return tuple(pods)
        last = max(await self._warnings(key, newest.uid), key=lambda each: each.time, default=None)
        explained = replace(newest, waiting=last.text) if last is not None else newest
        return tuple(explained if pod is newest else pod for pod in pods)

    async def _warnings(self, key: Key, uid: str) -> tuple[WarningView, ...]:
        """Read the Warning Events about an object. They explain; nothing may depend on the right to read them."""
        events = self._port.list(EVENTS, key.namespace, fields=f"regarding.uid={uid},type=Warning")
        try:
            return tuple([views.warning(body) async for body in events])
        except ForbiddenError as error:
            log.warning("%s: events cannot be read, so the status does not say why there is no pod: %s", key, error)
            return ()

    async def _read_job(self, key: Key, uid: str, name: str, facts: Facts) -> None:
        """Ask for a Job of an attempt that no watch has told of."""
        try:
            self._take(key, "Job", await self._port.get(JOBS, key.namespace, name))
        except NotFoundError:
            facts.missing.add(name)
        else:
            if all(child.name != name for child in self._store.children(JOB, key.namespace, uid)):
                facts.missing.add(name)  # the name is there, but not our Job

    async def _read_runs(self, key: Key, uid: str) -> None:
        """Ask for a schedule and its TrainingJobs: the watch may be late, and the answer to a write may be lost."""
        try:
            self._take(key, key.kind, await self._port.get(self._resource(key.kind), key.namespace, key.name))
        except NotFoundError:
            self._forget(key)
            return
        async for body in self._port.list(TRAINING_JOBS, key.namespace, selector=f"{meta.SCHEDULE_UID_LABEL}={uid}"):
            self._take(key, "TrainingJob", body)

    async def _act(self, key: Key, actions: tuple[Action, ...], facts: Facts) -> None:
        """Carry actions out, up to the first that is refused."""
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
        if before and before == after:  # planned again at once, it would come to nothing for ever
            child = " ".join(next(iter(before)))
            message = f"{child} did not change: does a webhook change back what is applied?"
            facts.refused = Refusal(message, permanent=False)

    async def _read_again(self, key: Key, actions: tuple[Action, ...]) -> None:
        """Read what could not be applied as it is known: a watch that broke may have lost its deletion."""
        for kind, name in [
            (each.kind, str(each.body["metadata"]["name"])) for each in actions if isinstance(each, Apply)
        ]:
            try:
                self._take(key, kind, await self._port.get(self._resource(kind), key.namespace, name))
            except NotFoundError:
                self._store.forget(Key(key.namespace, name, kind), reconciling=key)

    def _known_before(self, key: Key, actions: tuple[Action, ...]) -> dict[tuple[Kind, str], str]:
        """Return the resourceVersions of what is to be applied; the watch may tell of the change before the answer."""
        applies = [(each.kind, str(each.body["metadata"]["name"])) for each in actions if isinstance(each, Apply)]
        return {(kind, name): self._store.resource_version(Key(key.namespace, name, kind)) for kind, name in applies}

    async def _emit_events(self, key: Key, step: Step) -> None:
        """Write Events. They inform; an object must not fail because one could not be written."""
        for note in step.plan.events:
            body = event_body(key.kind, step.view, note, instance=self._instance, now=self._clock())
            try:
                await self._port.create(CORE_EVENTS, key.namespace, body)
            except AlreadyExistsError:
                continue  # told before, by a turn that did not get to its end
            except ApiError as error:
                log.log(log_level(error), "event %s of %s not written: %s", note.reason, key, error)

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
        """Write the annotation from which a restore takes a status, where it is not that of this status yet.

        It comes before the status: a backup that is taken between the two must know what the status is about to say.

        Returns
        -------
        The resourceVersion that the object then has; ``None`` where somebody else has written since.
        """
        saves, version = self._store.kinds[key.kind].saves, view.resource_version
        text = saved.due(saves, view, status) if saves is not None else None
        if text is None:
            return version
        annotations, resource = {meta.SAVED_ANNOTATION: text}, self._resource(key.kind)
        write = self._port.annotate(resource, *key[:2], annotations, resource_version=version)
        try:
            body = await self._write(key, write)
        except (ForbiddenError, InvalidError) as error:  # what is done must not hang on whether a restore knows it
            log.warning("%s: no restore will know this status, for its annotation is not written: %s", key, error)
            return version
        return str(body["metadata"]["resourceVersion"]) if body is not None else None

    async def _write(self, key: Key, written: Awaitable[Body]) -> Body | None:
        """Take the answer to a write in; ``None`` where the object is gone, or somebody else wrote it before."""
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
        """Drop an object that is gone; the watch may tell later."""
        self._store.forget(key, reconciling=key)

    def _take(self, key: Key, kind: Kind, body: Body) -> None:
        """Take an answer into the store. The watch will tell the same, too late to be news."""
        self._store.apply(kind, body, reconciling=key)


def _note(key: Key, before: Body, after: Body) -> None:
    """Log and count a change of phase or reason: one line for each."""
    phase, reason = _state(after)
    if (phase, reason) == _state(before):
        return
    count_transition(key.kind, phase, reason)
    fields = {"kind": key.kind, "namespace": key.namespace, "name": key.name, "phase": phase, "reason": reason}
    what = " ".join(filter(None, dict.fromkeys((phase, reason))))
    log.info("%s %s/%s: %s", key.kind, key.namespace, key.name, what, extra={"object": fields})


def _state(status: Body) -> tuple[str, str]:
    """Return the phase, and the reason of the condition Ready; empty where there is none."""
    ready: Body = next((each for each in status.get("conditions") or () if each["type"] == "Ready"), {})
    return str(status.get("phase") or ""), str(ready.get("reason") or "")


def _is_of_deployment(pod: Body, name: str) -> bool:
    """Tell whether a ReplicaSet of a Deployment controls a pod: it is named after the Deployment and its template."""
    template = (pod["metadata"].get("labels") or {}).get("pod-template-hash")
    owner = controller_of(pod, "ReplicaSet")
    return owner is not None and owner["name"] == f"{name}-{template}"


def _after(actions: tuple[Action, ...]) -> Outcome:
    """Go on at once after a creation, whose answer is in the store; a deletion is seen only when the watch tells."""
    if any(isinstance(action, Delete) for action in actions):
        return Outcome(after=DELETED_SECONDS)
    return Outcome(again=True)
