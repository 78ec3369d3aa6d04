"""What goes wrong at one write of an operator: it dies before or after it, or gets an error for an answer."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar

import pytest

from trainyard_operator.core.plan import Body
from trainyard_operator.kube.errors import ConflictError, ThrottledError, UnavailableError
from trainyard_operator.kube.port import KubePort, Resource, TokenIdentity

T = TypeVar("T")

KILLED = pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
"""The process dies; ``after``: it has written, and does not live to see the answer."""

REFUSED = pytest.mark.parametrize(
    ("error", "after"),
    [
        (UnavailableError(0, "Timeout", "no answer in time"), True),
        (UnavailableError(500, "InternalError", "etcd is slow"), False),
        (ThrottledError(429, "TooManyRequests", "slow down", 0.5), False),
        (ConflictError(409, "Conflict", "the object has been modified"), False),
    ],
    ids=["lost-answer", "500", "429", "409"],
)
"""The write is answered with an ``error``; ``after``: it has happened all the same."""


class Fault:
    """What goes wrong at the ``at``-th write of an operator.

    With an ``error`` the write is answered with it; without one the process dies. ``after`` lets the write happen
    first: the answer is lost, or the process does not live to see it. With ``only`` no other writes count; they are
    named as in :attr:`FaultyPort.writes`.
    """

    def __init__(
        self, at: int, *, after: bool, error: Exception | None = None, only: frozenset[str] | None = None
    ) -> None:
        self.after = after
        self.error = error
        self.only = only
        self.left = at
        self.died = asyncio.Event()

    def counts(self, write: str) -> bool:
        """Count one write; tell whether it is the one."""
        if self.only is not None and write not in self.only:
            return False
        self.left -= 1
        return self.left == 0

    async def strike(self) -> None:
        """Fail, or stop for ever, as a dead process does."""
        if self.error is not None:
            raise self.error
        self.died.set()
        await asyncio.Event().wait()


class FaultyPort:
    """A port whose writes a :class:`Fault` may hit; counts them all."""

    def __init__(self, port: KubePort, fault: Fault | None) -> None:
        self._port = port
        self._fault = fault
        self.writes: Counter[str] = Counter()

    async def get(self, resource: Resource, namespace: str, name: str) -> Body:
        return await self._port.get(resource, namespace, name)

    def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        selector: str = "",
        fields: str = "",
        limit: int = 500,
    ) -> AsyncIterator[Body]:
        return self._port.list(resource, namespace, selector=selector, fields=fields, limit=limit)

    async def create(self, resource: Resource, namespace: str, body: Body) -> Body:
        return await self._write("create", resource, lambda: self._port.create(resource, namespace, body))

    async def apply(self, resource: Resource, namespace: str, body: Body, *, force: bool) -> Body:
        return await self._write("apply", resource, lambda: self._port.apply(resource, namespace, body, force=force))

    async def patch_status(self, resource: Resource, namespace: str, name: str, patch: Body) -> Body:
        return await self._write("patch", resource, lambda: self._port.patch_status(resource, namespace, name, patch))

    async def annotate(
        self, resource: Resource, namespace: str, name: str, annotations: Mapping[str, str], *, resource_version: str
    ) -> Body:
        write = partial(self._port.annotate, resource, namespace, name, annotations, resource_version=resource_version)
        return await self._write("annotate", resource, write)

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str, resource_version: str | None = None
    ) -> None:
        write = partial(self._port.delete, resource, namespace, name, uid=uid, resource_version=resource_version)
        await self._write("delete", resource, write)

    async def review_token(self, token: str, audience: str) -> TokenIdentity | None:
        return await self._port.review_token(token, audience)

    async def _write(self, verb: str, resource: Resource, write: Callable[[], Awaitable[T]]) -> T:
        what = f"{verb} {resource.plural}"
        self.writes[what] += 1
        fault = self._fault if self._fault is not None and self._fault.counts(what) else None
        if fault is not None and not fault.after:
            await fault.strike()
        answer = await write()
        if fault is not None:
            await fault.strike()
        return answer
