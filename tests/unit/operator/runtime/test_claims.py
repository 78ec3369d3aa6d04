"""The claims of a release on namespaces: taken with the first object, renewed, and released."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

import pytest

from trainyard_operator.core.lease import Timing
from trainyard_operator.core.plan import Body
from trainyard_operator.kube.errors import (
    AlreadyExistsError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
)
from trainyard_operator.kube.leases import Leases
from trainyard_operator.kube.port import Resource
from trainyard_operator.runtime.claims import Claims
from trainyard_operator.runtime.elector import steady

TIMEOUT_SECONDS = 30.0
TIMING = Timing(duration=60, deadline=40, renew=20, poll=0.05)


class Api:
    def __init__(self) -> None:
        self.leases: dict[str, Body] = {}
        self.forbidden: set[str] = set()
        self.version = 0
        self.reads = Counter[str]()

    async def get(self, resource: Resource, namespace: str, name: str) -> Body:  # noqa: ARG002
        self.reads[namespace] += 1
        if namespace in self.forbidden:
            raise ForbiddenError(403, "Forbidden", "no")
        if namespace not in self.leases:
            raise NotFoundError(404, "NotFound", name)
        return self.leases[namespace]

    async def create(self, resource: Resource, namespace: str, body: Body) -> Body:  # noqa: ARG002
        if namespace in self.leases:
            raise AlreadyExistsError(409, "AlreadyExists", "")
        return self._store(namespace, body)

    async def replace(self, resource: Resource, namespace: str, name: str, body: Body) -> Body:  # noqa: ARG002
        known = self.leases[namespace]["metadata"]["resourceVersion"]
        if body["metadata"]["resourceVersion"] != known:
            raise ConflictError(409, "Conflict", "")
        return self._store(namespace, body)

    def _store(self, namespace: str, body: Body) -> Body:
        self.version += 1
        self.leases[namespace] = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        return self.leases[namespace]

    def holders(self) -> dict[str, str]:
        return {namespace: lease["spec"]["holderIdentity"] for namespace, lease in self.leases.items()}


class Release:
    """A release that claims the namespaces of its objects."""

    def __init__(self, api: Api, name: str, *namespaces: str, clock: Callable[[], float] = steady) -> None:
        leases = Leases(api, clock, lambda: datetime.now(UTC))
        self.claims = Claims(leases, name, namespaces, TIMING, clock=clock)
        self.objects_in: set[str] = set()
        self.changes: list[str | None] = []

    @asynccontextmanager
    async def lead(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.claims.run(lambda: self.objects_in, self.changes.append))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def add_object(self, namespace: str) -> None:
        self.objects_in.add(namespace)
        self.claims.want(namespace)


async def until(what: str, holds: Callable[[], bool]) -> None:
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not holds():  # noqa: ASYNC110 - nothing would wake us
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"waited {TIMEOUT_SECONDS} s for {what}") from None


@pytest.fixture
def api() -> Api:
    return Api()


async def test_a_namespace_is_claimed_with_its_first_object_and_released_after_its_last(api: Api) -> None:
    release = Release(api, "ops/one")
    async with release.lead():
        await until("the cluster", lambda: api.holders() == {"kube-public": "ops/one"})
        assert not release.claims.covers("a")
        release.add_object("a")
        await until("namespace a", lambda: release.claims.covers("a"))
        assert release.changes == [None, "a"]
        release.objects_in.clear()
        await until("the end of the claim", lambda: api.holders() == {"kube-public": "ops/one", "a": ""})
        assert not release.claims.covers("a")


async def test_without_the_claim_on_the_cluster_no_namespace_is_claimed(api: Api) -> None:
    one, two = Release(api, "ops/one"), Release(api, "ops/two")
    async with one.lead():
        await until("the cluster", lambda: api.holders() == {"kube-public": "ops/one"})
        async with two.lead():
            two.add_object("a")
            await until("the sentence", lambda: two.claims.waiting is not None)
            assert two.claims.waiting == (
                "the whole cluster is held by the release ops/one (Lease kube-public/trainyard); waiting for it"
            )
            assert not two.claims.covers("a")
            one.add_object("a")
            await until("namespace a", lambda: one.claims.covers("a"))
    assert api.holders()["a"] == "ops/one"


async def test_claims_of_a_dead_release_expire_together(api: Api) -> None:
    """The second release observes the claims on namespaces while it waits for the cluster, so it waits only once."""
    now = [0.0]
    one, two = (Release(api, name, clock=lambda: now[0]) for name in ("ops/one", "ops/two"))
    async with AsyncExitStack() as second:
        async with one.lead():
            one.add_object("a")
            await until("the first release", lambda: one.claims.covers("a"))
            await second.enter_async_context(two.lead())
            await until("the message", lambda: two.claims.waiting is not None)
            read = api.reads["a"]
            two.add_object("a")
            await until("its look at the namespace", lambda: api.reads["a"] > read)
        assert api.holders() == {"kube-public": "ops/one", "a": "ops/one"}
        now[0] = TIMING.duration + 1
        await until("the second release", lambda: two.claims.covers("a"))
    assert api.holders() == {"kube-public": "ops/two", "a": "ops/two"}


async def test_overlapping_releases_divide_the_namespaces(api: Api) -> None:
    one, two = Release(api, "x/one", "a", "b"), Release(api, "y/two", "b", "c")
    async with one.lead():
        await until("both namespaces", lambda: one.claims.covers("a") and one.claims.covers("b"))
        async with two.lead():
            await until("its own", lambda: two.claims.covers("c"))
            assert not two.claims.covers("b")
            assert "namespace b is held by the release x/one" in str(two.claims.waiting)
            assert one.claims.waiting is None
    assert api.holders() == {"a": "x/one", "b": "x/one", "c": "y/two"}


async def test_the_next_leader_of_a_release_keeps_its_claims(api: Api) -> None:
    async with Release(api, "x/one", "a").lead():
        await until("the claim", lambda: api.holders() == {"a": "x/one"})
    successor = Release(api, "x/one", "a")
    async with successor.lead():
        await until("the claim", lambda: successor.claims.covers("a"))
    assert api.leases["a"]["spec"]["leaseTransitions"] == 0


async def test_a_namespace_that_cannot_be_claimed_does_not_block_others(api: Api) -> None:
    release = Release(api, "x/one", "a", "b")
    api.forbidden.add("a")
    async with release.lead():
        await until("the other one", lambda: release.claims.covers("b"))
        assert not release.claims.covers("a")
        assert "namespace a cannot be claimed: 403 Forbidden: no" in str(release.claims.waiting)
        api.forbidden.clear()
        await until("the first one", lambda: release.claims.covers("a"))
        assert release.claims.waiting is None


async def test_a_claim_that_another_release_holds_is_lost(api: Api) -> None:
    """A holder written by hand counts: an administrator can transfer a namespace to another release."""
    release = Release(api, "x/one", "a")
    async with release.lead():
        await until("the claim", lambda: release.claims.covers("a"))
        spec = {**api.leases["a"]["spec"], "holderIdentity": "y/two", "leaseDurationSeconds": 600}
        await api.replace(Resource("", "", ""), "a", "trainyard", {**api.leases["a"], "spec": spec})
        release.claims._due.clear()
        await until("the loss", lambda: not release.claims.covers("a"))
        assert release.changes == ["a", "a"]
