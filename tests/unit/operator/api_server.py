"""An in-memory API server for tests.

It implements what the operator depends on: one counter of resourceVersions, conflicts, AlreadyExists, the status
subresource, uid preconditions and foreground deletion. A test decides when the events of the watch log are delivered.
Specs and statuses of the trainyard kinds are validated with the models, as the real server does with its schema.
"""

import copy
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from tests.unit.operator.bodies import has_fields, patched, read_event
from trainyard_api import GROUP, VERSION
from trainyard_api.kinds import KINDS, KindDefinition
from trainyard_operator.core.plan import Body, Kind
from trainyard_operator.core.times import to_rfc3339
from trainyard_operator.kube.errors import (
    AlreadyExistsError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
)
from trainyard_operator.kube.port import (
    CORE_EVENTS,
    EVENTS,
    JOBS,
    POD_DISRUPTION_BUDGETS,
    SERVICES,
    TRAINING_JOBS,
    Resource,
    TokenIdentity,
)
from trainyard_operator.runtime.registry import KINDS as WATCHED_KINDS

NAMESPACE = "team"
START = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
WATCHED: dict[Resource, Kind] = {watched.resource: kind for kind, watched in WATCHED_KINDS.items()}
OURS: dict[Resource, KindDefinition] = {Resource(GROUP, VERSION, kind.plural): kind for kind in KINDS}

MAPS = ("labels", "annotations")
ATOMIC: dict[Resource, tuple[str, ...]] = {SERVICES: ("selector",), POD_DISRUPTION_BUDGETS: ("selector",)}
"""Parts of a spec that an apply replaces as a whole (``mapType=atomic``)."""

Hook = Callable[[str, Resource, bool], None]
"""Called before (``False``) and after (``True``) each write. An exception makes the write fail."""

ListHook = Callable[[Resource, str | None], None]
"""Called before each list with its resource and namespace. An exception makes the list fail."""

WatchEvent = tuple[Kind, str, Body]


def no_fault(verb: str, resource: Resource, after: bool) -> None:
    """Accept every write."""


def no_list_fault(resource: Resource, namespace: str | None) -> None:
    """Accept every list request."""


@dataclass
class ApiServer:
    """An in-memory API server that implements ``KubePort``."""

    now: datetime = START
    hook: Hook = no_fault
    list_hook: ListHook = no_list_fault
    quota: int | None = None
    events_readable: bool = True
    objects: dict[tuple[Resource, str, str], Body] = field(default_factory=dict)
    log: list[WatchEvent] = field(default_factory=list)
    writes: list[tuple[str, str]] = field(default_factory=list)
    created: list[tuple[str, str, str]] = field(default_factory=list)
    """For each created object: plural, name, and uid of the owner."""
    phases: set[tuple[Resource, str, str]] = field(default_factory=set)
    """Every change of a status from one phase to another."""
    counter: int = 0

    # ---- the port ----------------------------------------------------------------------------------------------------

    async def get(self, resource: Resource, namespace: str, name: str) -> Body:
        return copy.deepcopy(self._find(resource, namespace, name))

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        selector: str = "",
        fields: str = "",
        limit: int = 500,  # noqa: ARG002
    ) -> AsyncIterator[Body]:
        self.list_hook(resource, namespace)
        wanted = dict(part.split("=") for part in selector.split(",")) if selector else {}
        for (kind, other_namespace, _), body in sorted(self.objects.items(), key=lambda item: item[0][1:]):
            labels = body["metadata"].get("labels") or {}
            if resource == EVENTS and not self.events_readable:
                raise ForbiddenError(403, "Forbidden", "events is forbidden")
            fits = wanted.items() <= labels.items() and (not fields or has_fields(body, fields))
            if kind == resource and namespace in (None, other_namespace) and fits:
                yield copy.deepcopy(body)

    async def create(self, resource: Resource, namespace: str, body: Body) -> Body:
        self.hook("create", resource, False)
        if resource == CORE_EVENTS:
            stored = self.add(EVENTS, namespace, read_event(body))
        else:
            stored = self.add(resource, namespace, body)
        self.writes.append(("create", resource.plural))
        self.hook("create", resource, True)
        return copy.deepcopy(stored)

    async def apply(self, resource: Resource, namespace: str, body: Body, *, force: bool) -> Body:
        self.hook("apply", resource, False)
        name = body["metadata"]["name"]
        known = self.objects.get((resource, namespace, name))
        if known is None and "uid" in body["metadata"]:
            raise ConflictError(409, "Conflict", f"{name} is not there")
        if known is None:
            self.add(resource, namespace, body)
        else:
            if not force:
                raise ConflictError(409, "Conflict", f"{name} has fields of another manager")
            parts = {
                part: {**(known["metadata"].get(part) or {}), **(body["metadata"].get(part) or {})} for part in MAPS
            }
            metadata = {**known["metadata"], **{part: value for part, value in parts.items() if value}}
            if body["metadata"].get("uid") not in (None, known["metadata"]["uid"]):
                raise ConflictError(409, "Conflict", f"{name} has another uid")
            atomic = {part: body["spec"][part] for part in ATOMIC.get(resource, ()) if part in body["spec"]}
            spec = {**patched(known["spec"], body["spec"]), **atomic}
            if (metadata, spec) != (known["metadata"], known["spec"]):  # an apply without a change stores nothing
                known["metadata"] = metadata
                self.change(resource, namespace, name, spec=spec)
        self.writes.append(("apply", resource.plural))
        self.hook("apply", resource, True)
        return copy.deepcopy(self._find(resource, namespace, name))

    async def patch_status(self, resource: Resource, namespace: str, name: str, patch: Body) -> Body:
        self.hook("patch", resource, False)
        body = self._find(resource, namespace, name)
        self._refuse_changed(body, patch.get("metadata", {}).get("resourceVersion"))
        status = patched(body.get("status") or {}, patch["status"])
        try:
            OURS[resource].status.model_validate(status, extra="ignore")  # a newer schema may have more fields
        except ValidationError as error:
            raise InvalidError(422, "Invalid", str(error)) from error
        self.writes.append(("patch", resource.plural))
        before, after = ((each or {}).get("phase") or "(none)" for each in (body.get("status"), status))
        if before != after:
            self.phases.add((resource, before, after))
        if status != body.get("status"):
            self.change(resource, namespace, name, status=status)
        self.hook("patch", resource, True)
        return copy.deepcopy(self._find(resource, namespace, name))

    async def annotate(
        self, resource: Resource, namespace: str, name: str, annotations: Mapping[str, str], *, resource_version: str
    ) -> Body:
        self.hook("annotate", resource, False)
        body = self._find(resource, namespace, name)
        self._refuse_changed(body, resource_version)
        metadata = {**body["metadata"], "annotations": {**(body["metadata"].get("annotations") or {}), **annotations}}
        self.writes.append(("annotate", resource.plural))
        if metadata != body["metadata"]:
            body["metadata"] = metadata
            self.change(resource, namespace, name)
        self.hook("annotate", resource, True)
        return copy.deepcopy(self._find(resource, namespace, name))

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str, resource_version: str | None = None
    ) -> None:
        self.hook("delete", resource, False)
        body = self.objects.get((resource, namespace, name))
        if body is not None and body["metadata"]["uid"] == uid:
            self._refuse_changed(body, resource_version)
        if body is not None and body["metadata"]["uid"] == uid and "deletionTimestamp" not in body["metadata"]:
            self.writes.append(("delete", resource.plural))
            self.mark_deleted(resource, namespace, name)
        self.hook("delete", resource, True)

    async def review_token(self, token: str, audience: str) -> TokenIdentity | None:  # noqa: ARG002
        raise AssertionError("nothing here reviews tokens")

    # ---- storage -----------------------------------------------------------------------------------------------------

    def add(self, resource: Resource, namespace: str, body: Body) -> Body:
        """Store a new object as the API server does. Raises the error that the API server would return."""
        name = body["metadata"]["name"]
        if (resource, namespace, name) in self.objects:
            raise AlreadyExistsError(409, "AlreadyExists", f"{resource.plural} {name} already exists")
        if resource == JOBS and self.quota is not None and len(self.of(JOBS)) >= self.quota:
            raise ForbiddenError(403, "Forbidden", "exceeded quota: jobs")
        if resource in OURS and resource != TRAINING_JOBS:  # users write these, and a test may write an invalid spec
            try:
                OURS[resource].spec.model_validate(body["spec"])
            except ValidationError as error:
                raise InvalidError(422, "Invalid", str(error)) from error
        stored = copy.deepcopy(body)
        stored["metadata"] |= {
            "namespace": namespace,
            "uid": f"uid-{self.counter}",
            "generation": 1,
            "creationTimestamp": to_rfc3339(self.now),
        }
        if resource in OURS:
            stored["status"] = {"observedGeneration": -1, **OURS[resource].first_status}
        self._store(resource, stored, "ADDED")
        owner = next((reference["uid"] for reference in stored["metadata"].get("ownerReferences") or ()), "")
        self.created.append((resource.plural, name, owner))
        return stored

    def change(self, resource: Resource, namespace: str, name: str, **parts: Any) -> None:
        """Replace parts (``spec``, ``status``) of an object."""
        body = {**self._find(resource, namespace, name), **copy.deepcopy(parts)}
        if "spec" in parts:
            body["metadata"] = {**body["metadata"], "generation": body["metadata"]["generation"] + 1}
        self._store(resource, body, "MODIFIED")

    def mark_deleted(self, resource: Resource, namespace: str, name: str) -> None:
        """Begin a foreground deletion. :meth:`collect` finishes it."""
        body = self._find(resource, namespace, name)
        body["metadata"] = {**body["metadata"], "deletionTimestamp": to_rfc3339(self.now)}
        self._store(resource, body, "MODIFIED")

    def remove(self, resource: Resource, namespace: str, name: str) -> None:
        """Remove an object at once."""
        body = copy.deepcopy(self.objects.pop((resource, namespace, name)))
        body["metadata"]["resourceVersion"] = self._next()
        if resource in WATCHED:
            self.log.append((WATCHED[resource], "DELETED", body))

    def restore(self, *resources: Resource) -> None:
        """Restore trainyard objects from a backup: each gets a new uid, and has no status and no children."""
        kept = {key: body for key, body in self.objects.items() if key[0] in (resources or OURS)}
        uids = {body["metadata"]["uid"] for body in kept.values()}
        for key, body in list(self.objects.items()):
            owners = body["metadata"].get("ownerReferences") or ()
            if key in kept or any(owner["uid"] in uids for owner in owners):
                self.remove(*key)
        for (resource, namespace, name), body in kept.items():
            own = {part: body["metadata"][part] for part in MAPS if part in body["metadata"]}
            self.add(resource, namespace, {**body, "metadata": {"name": name, **own}})

    def of(self, resource: Resource) -> dict[str, Body]:
        """Return all objects of a resource, by name."""
        return {name: body for (kind, _, name), body in self.objects.items() if kind == resource}

    def _find(self, resource: Resource, namespace: str, name: str) -> Body:
        body = self.objects.get((resource, namespace, name))
        if body is None:
            raise NotFoundError(404, "NotFound", f"{resource.plural} {name} not found")
        return body

    def _refuse_changed(self, body: Body, expected: str | None) -> None:
        if expected not in (None, body["metadata"]["resourceVersion"]):
            raise ConflictError(409, "Conflict", f"{body['metadata']['name']} was modified")

    def _store(self, resource: Resource, body: Body, event: str) -> None:
        body["metadata"] = {**body["metadata"], "resourceVersion": self._next()}
        self.objects[resource, body["metadata"]["namespace"], body["metadata"]["name"]] = body
        if resource in WATCHED:
            self.log.append((WATCHED[resource], event, copy.deepcopy(body)))

    def _next(self) -> str:
        self.counter += 1
        return str(self.counter)
