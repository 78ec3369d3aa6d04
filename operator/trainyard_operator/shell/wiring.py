"""kopf's handlers: hand each event to the runtime, nothing else. They wait for nothing and decide nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import kopf

from trainyard_operator.core.plan import Kind
from trainyard_operator.runtime.registry import KINDS
from trainyard_operator.shell.login import Login


class Observer(Protocol):
    """Whoever wants to know what the watches say."""

    def observe(self, kind: Kind, event: str | None, body: Mapping[str, Any]) -> None:
        """Take in an event: ADDED, MODIFIED, DELETED, or ``None`` for an object from a list. Never raises or waits."""
        ...


def register(registry: kopf.OperatorRegistry, observer: Observer, login: Login) -> None:
    """Register the watches and the login with a registry of our own; the global one is not used.

    ``on.event`` handlers are called once per event and never again, so retries are the runtime's. Pods are not watched:
    what a pod says is read when its Job ends.
    """

    @kopf.on.login(registry=registry)
    async def log_in(**_: Any) -> kopf.AiohttpSession | None:
        session = login.session()
        if session is None:  # without credentials kopf would fail in many places at once; it waits here to be stopped
            await asyncio.get_running_loop().create_future()
        return session

    for kind, watched in KINDS.items():
        resource = watched.resource
        watch = kopf.on.event(resource.group, resource.version, resource.plural, id=kind, registry=registry)
        watch(_handler(observer, kind))


def _handler(observer: Observer, kind: Kind) -> Callable[..., Awaitable[None]]:
    async def hand_over(event: kopf.RawEvent, **_: Any) -> None:
        observer.observe(kind, event["type"], event["object"])

    return hand_over
