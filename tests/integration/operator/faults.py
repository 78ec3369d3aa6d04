"""Faults at one write of an operator: the operator dies before or after the write, or the write returns an error."""

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
"""The process dies. With ``after`` it dies after the write, before it receives the response."""

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
"""The write returns ``error``. With ``after`` the API server has stored the write all the same."""


class Fault:
    """A fault at the ``at``-th write of an operator.

    With an ``error`` the write returns this error. Without one the process dies. With ``after`` the API server stores
    the write first, so only the response is lost. With ``only`` no other writes count. Their names are those in
    :attr:`FaultyPort.writes`.
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
        """Count one write. Return whether the fault happens at it."""
        if self.only is not None and write not in self.only:
            return False
        self.left -= 1
        return self.left == 0

    async def trigger(self) -> None:
        """Raise the error, or block for ever, as a dead process does."""
        if self.error is not None:
            raise self.error
        self.died.set()
        await asyncio.Event().wait()


class FaultyPort:
    """A port that counts all writes. A :class:`Fault` may happen at one of them."""

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
            await fault.trigger()
        answer = await write()
        if fault is not None:
            await fault.trigger()
        return answer
