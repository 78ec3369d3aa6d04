"""Watch events from kopf to the store. kopf logs in and streams, and each event is processed directly.

A handler of kopf would get each event through a queue, a task for each object, and the detection of changes. None of
this is needed: the store compares resourceVersions, and the runtime has its own queue. See decision 0056.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Protocol

import kopf
from kopf._cogs.clients.watching import Bookmark, infinite_watch
from kopf._cogs.structs.references import NamespaceName
from kopf._cogs.structs.references import Resource as KopfResource

from trainyard_operator.core.plan import Kind
from trainyard_operator.kube.port import Resource
from trainyard_operator.runtime.registry import KINDS
from trainyard_operator.shell.login import Login

log = logging.getLogger(__name__)

EVENTS = frozenset({None, "ADDED", "MODIFIED", "DELETED"})
"""Types of the events about objects; ``None`` is for an object from the list before the stream."""


class Observer(Protocol):
    """Interface of a receiver of watch events."""

    def observe(self, kind: Kind, event: str | None, body: Mapping[str, Any]) -> None:
        """Process an event: ADDED, MODIFIED, DELETED, or ``None`` for an object from a list. Never raises or waits."""
        ...


def register(registry: kopf.OperatorRegistry, login: Login) -> None:
    """Register the login in the given registry. The global registry of kopf is not used."""

    @kopf.on.login(registry=registry)
    async def log_in(**_: Any) -> kopf.AiohttpSession | None:
        session = login.session()
        if session is None:  # without credentials, kopf fails in many places; wait until it is stopped
            await asyncio.get_running_loop().create_future()
        return session


async def watch_all(observer: Observer, settings: kopf.OperatorSettings, namespaces: tuple[str, ...]) -> None:
    """Watch every kind in each namespace, or in all of them, until cancelled.

    Pods are not watched. They are read when their Job ends.

    Raises
    ------
    ExceptionGroup
        If a stream fails permanently, because of an error in it or a missing kind. All streams end then.
    """
    async with asyncio.TaskGroup() as group:
        for kind, watched in KINDS.items():
            for namespace in namespaces or (None,):
                stream = _watch(observer, settings, kind, watched.resource, namespace)
                group.create_task(stream, name=f"watch-{kind}-{namespace or 'all'}")


async def _watch(
    observer: Observer, settings: kopf.OperatorSettings, kind: Kind, resource: Resource, namespace: str | None
) -> None:
    known = KopfResource(resource.group, resource.version, resource.plural, namespaced=True)
    within = NamespaceName(namespace) if namespace is not None else None
    async for event in infinite_watch(settings=settings, resource=known, namespace=within):
        if isinstance(event, Bookmark) or event["type"] not in EVENTS:
            continue
        try:
            observer.observe(kind, event["type"], event["object"])
        except Exception:  # a bug with one object must not close the watches of all others
            log.exception(
                "an event of %s %s could not be processed", kind, event["object"].get("metadata", {}).get("name")
            )
