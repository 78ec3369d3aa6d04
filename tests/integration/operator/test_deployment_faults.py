"""ModelDeployments on a real API server, where the operator dies before and after each of its writes.

The Deployment and ReplicaSet controllers are the real ones. There is no node: a kubelet of a few lines says of each pod
whether its server has loaded its version.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.integration.operator.namespace import Fault, Namespace
from tests.integration.operator.test_faults import new_namespace
from tests.unit.operator.core.versions import BELOW_2, spec
from trainyard_api import API_VERSION, meta
from trainyard_operator.kube.credentials import Credentials, load_credentials
from trainyard_operator.kube.errors import ConflictError, ThrottledError, UnavailableError
from trainyard_operator.kube.port import (
    DEPLOYMENTS,
    EVENTS,
    MODEL_DEPLOYMENTS,
    MODEL_VERSIONS,
    PODS,
    SERVICES,
    Body,
    Resource,
)

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(580)]

AT_ONCE = 5
"""Lives that run side by side."""

MERGE = "application/merge-patch+json"

Health = dict[int, int | None]
"""By version: the exit code its server ends with, ``None`` where it hangs; what is not named loads."""


class Shop:
    """A user of the ModelDeployment ``shop`` of model ``m``, and the node that its pods run on."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self.health: Health = {}
        self.off = asyncio.Event()
        """Ends the kubelet between two requests: one that is cut off leaves its socket behind."""

    # ---- a user ------------------------------------------------------------------------------------------------------

    async def deploy(self, name: str = "shop", **fields: Any) -> None:
        body = {
            "apiVersion": API_VERSION,
            "kind": "ModelDeployment",
            "metadata": {"name": name},
            "spec": {"modelName": "m", **fields},
        }
        await self.namespace.request("POST", self.namespace.path(MODEL_DEPLOYMENTS), body)

    async def publish(self, number: int, *, good: bool = True) -> None:
        body = {
            "apiVersion": API_VERSION,
            "kind": "ModelVersion",
            "metadata": {"name": f"m-v{number}"},
            "spec": spec(number, "1.5" if good else "2.5", gates=[BELOW_2]),
        }
        await self.namespace.request("POST", self.namespace.path(MODEL_VERSIONS), body)

    async def patch(self, resource: Resource, name: str, body: Body, sub: str = "") -> None:
        await self.namespace.request("PATCH", self.namespace.path(resource, name) + sub, body, content_type=MERGE)

    async def act(self, text: str) -> None:
        await self.patch(MODEL_DEPLOYMENTS, "shop", {"metadata": {"annotations": {meta.ACTION_ANNOTATION: text}}})

    async def edit(self, **fields: Any) -> None:
        await self.patch(MODEL_DEPLOYMENTS, "shop", {"spec": fields})

    async def status(self, name: str = "shop") -> dict[str, Any]:
        body = await self.namespace.client.get(MODEL_DEPLOYMENTS, self.namespace.name, name)
        return body.get("status") or {}

    async def until(self, what: str, holds: Callable[[dict[str, Any]], bool], name: str = "shop") -> dict[str, Any]:
        """Wait until the status is as wanted, and return it."""
        last: dict[str, Any] = {}

        async def ask() -> dict[str, Any] | None:
            nonlocal last
            last = await self.status(name)
            return last if holds(last) else None

        try:
            return await self.namespace.until(what, ask)
        except AssertionError as error:
            raise AssertionError(f"{error}; {name}: {last}") from None

    async def serves(self, number: int) -> dict[str, Any]:
        """Wait until a version serves and nothing else is under way."""
        return await self.until(
            f"version {number} to serve",
            lambda s: s.get("activeVersion") == number and s["phase"] in ("Serving", "Held"),
        )

    async def stalled(self, reason: str, name: str = "shop") -> str:
        """Wait until it is stalled for a reason, and return the sentence."""
        status = await self.until(f"Stalled={reason}", lambda s: condition(s, "Stalled").get("reason") == reason, name)
        return str(condition(status, "Stalled")["message"])

    async def selected(self) -> str:
        service = await self.namespace.client.get(SERVICES, self.namespace.name, "shop")
        return str(service["spec"]["selector"].get(meta.VERSION_LABEL))

    # ---- a node ------------------------------------------------------------------------------------------------------

    async def kubelet(self) -> None:
        """Say of each pod, until it is off, what its server does."""
        while not self.off.is_set():
            for name, pod in (await self.namespace.all(PODS)).items():
                version = int(pod["metadata"]["labels"].get(meta.VERSION_LABEL, 0))
                status = pod_status(self.health.get(version), ready=version not in self.health)
                said = "containerStatuses" in pod["status"] and is_ready(pod) == (version not in self.health)
                if said or "deletionTimestamp" in pod["metadata"]:
                    continue
                with suppress(AssertionError):  # deleted since
                    await self.patch(PODS, name, status, "/status")
            await asyncio.sleep(0.1)


def pod_status(code: int | None, *, ready: bool) -> Body:
    ended = {"exitCode": code, "reason": "Error", "message": "BadData: the digest of model.txt differs"}
    container = {
        "name": meta.SERVER_CONTAINER,
        "image": "i",
        "imageID": "i",
        "ready": ready,
        "restartCount": 0 if code is None else 1,
        "state": {"running": {"startedAt": "2026-11-21T08:00:00Z"}},
        "lastState": {} if code is None else {"terminated": ended},
    }
    return {
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [container],
        }
    }


def is_ready(pod: Body) -> bool:
    conditions = pod["status"].get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def condition(status: dict[str, Any], kind: str) -> Body:
    return next((c for c in status.get("conditions") or () if c["type"] == kind), {})


@pytest.fixture
def credentials(crds: Path) -> Credentials:
    return load_credentials({"KUBECONFIG": str(crds)})


@asynccontextmanager
async def new_shop(credentials: Credentials) -> AsyncIterator[Shop]:
    async with new_namespace(credentials) as namespace:
        shop = Shop(namespace)
        kubelet = asyncio.create_task(shop.kubelet())
        try:
            yield shop
            assert not kubelet.done(), "the kubelet has ended"
        finally:
            shop.off.set()
            await kubelet


@pytest.fixture
async def shop(credentials: Credentials) -> AsyncIterator[Shop]:
    async with new_shop(credentials) as shop:
        yield shop


# ---- killed at any write ---------------------------------------------------------------------------------------------

Life = Callable[[Shop], Coroutine[Any, Any, dict[str, Any]]]
"""What users and pods do, whoever watches over it; returns the last status."""


async def blue_green(shop: Shop) -> dict[str, Any]:
    await shop.deploy()
    await shop.publish(1)
    await shop.serves(1)
    await shop.publish(2)
    return await shop.serves(2)


async def a_corrupt_one_and_back(shop: Shop) -> dict[str, Any]:
    await blue_green(shop)
    shop.health[3] = 65
    await shop.publish(3)
    await shop.until("version 3 to be rejected", lambda s: any(r["version"] == 3 for r in rejections(s)))
    await shop.act("rollback/previous/t1")
    return await shop.until("version 1 to serve again", lambda s: s["activeVersion"] == 1 and s["phase"] == "Held")


def rejections(status: dict[str, Any]) -> list[Body]:
    return status.get("rejectedVersions") or []


LIVES: dict[str, Life] = {"blue-green": blue_green, "corrupt-and-back": a_corrupt_one_and_back}

End = tuple[Any, ...]


async def end_of(shop: Shop, status: dict[str, Any]) -> tuple[End, Counter[str]]:
    """Return what must not hang on where an operator died, and the Events about the ModelDeployment."""

    versions: dict[str, Body] = {}

    async def quarantined() -> bool:
        versions.update(await shop.namespace.all(MODEL_VERSIONS))
        phases = {body["spec"]["version"]: body["status"]["phase"] for body in versions.values()}
        return all(phases[entry["version"]] == "Quarantined" for entry in rejections(status))

    await shop.namespace.until("rejected versions to be quarantined", quarantined)
    events = [b for b in (await shop.namespace.all(EVENTS)).values() if b["regarding"]["kind"] == "ModelDeployment"]
    state = (
        status["phase"],
        status["activeVersion"],
        status.get("previousVersion"),
        status.get("candidateVersion"),
        [(entry["version"], entry["outcome"]) for entry in status["history"]],
        [(entry["version"], entry["reason"]) for entry in rejections(status)],
        (status.get("hold") or {}).get("above"),
        {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]},
        await shop.selected(),
        {name: body["status"]["phase"] for name, body in versions.items()},
    )
    return state, Counter(body["reason"] for body in events)


async def live(credentials: Credentials, life: Life, fault: Fault | None) -> tuple[End, Counter[str], int]:
    """Live one life; an operator that dies is followed by another. Return its end, the Events, and the writes."""
    async with new_shop(credentials) as shop:
        end = asyncio.create_task(life(shop))
        async with shop.namespace.operator(fault) as port:
            dies = asyncio.create_task(fault.died.wait()) if fault is not None else None
            await asyncio.wait([end, *([dies] if dies else [])], return_when=asyncio.FIRST_COMPLETED)
            if dies:
                dies.cancel()
            if end.done():
                state, events = await end_of(shop, end.result())
                return state, events, sum(port.writes.values())
        async with shop.namespace.operator():
            state, events = await end_of(shop, await end)
        return state, events, sum(port.writes.values())


async def live_with_every_fault(
    credentials: Credentials, life: str, make: Callable[[int], Fault], *, events_are_lost: bool = False
) -> None:
    """Live as often as there are writes, with the fault at each of them, and compare the ends."""
    limit = asyncio.Semaphore(AT_ONCE)
    wanted, told, writes = await live(credentials, LIVES[life], None)

    async def one(at: int) -> None:
        async with limit:
            fault = make(at)
            state, events, _ = await live(credentials, LIVES[life], fault)
            assert state == wanted, f"write {at}"
            assert events <= told if events_are_lost else events == told, f"write {at}: {events}, not {told}"

    async with asyncio.TaskGroup() as group:
        for at in range(1, writes + 1):
            group.create_task(one(at))


@pytest.mark.parametrize("life", LIVES)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_killed_at_any_write(credentials: Credentials, life: str, *, after: bool) -> None:
    await live_with_every_fault(credentials, life, lambda at: Fault(at, after=after))


@pytest.mark.parametrize(
    ("error", "after"),
    [
        (UnavailableError(0, "Timeout", "no answer in time"), True),
        (UnavailableError(500, "InternalError", "etcd is slow"), False),
        (ThrottledError(429, "TooManyRequests", "slow down", 0.5), False),
        (ConflictError(409, "Conflict", "the object has been modified"), False),
    ],
    ids=["lost-answer", "500", "429", "409"],
)
async def test_refused_at_any_write(credentials: Credentials, error: Exception, *, after: bool) -> None:
    """An Event that cannot be written is given up, never told twice."""
    make = lambda at: Fault(at, after=after, error=error)  # noqa: E731
    await live_with_every_fault(credentials, "blue-green", make, events_are_lost=not after)


# ---- what only a real API server and its controllers show ------------------------------------------------------------


async def test_requests_always_have_a_ready_pod(shop: Shop) -> None:
    """From the first version on, the Service never has an endpoint that is not ready, and never none."""
    counts: list[int] = []

    async def count() -> int:
        """Count what the endpoints controller would list; it lists nothing without a node."""
        service = await shop.namespace.client.get(SERVICES, shop.namespace.name, "shop")
        selector = ",".join(f"{key}={value}" for key, value in service["spec"]["selector"].items())
        pods = [body async for body in shop.namespace.client.list(PODS, shop.namespace.name, selector=selector)]
        return sum("deletionTimestamp" not in pod["metadata"] and is_ready(pod) for pod in pods)

    done = asyncio.Event()

    async def watch() -> None:
        while not done.is_set():
            counts.append(await count())
            await asyncio.sleep(0.02)

    await shop.deploy(serving={"replicas": 2})
    async with shop.namespace.operator():
        await shop.publish(1)
        await shop.serves(1)

        watcher = asyncio.create_task(watch())
        await shop.publish(2)
        await shop.serves(2)
        shop.health[3] = 65
        await shop.publish(3)
        await shop.until("version 3 to be rejected", lambda s: bool(rejections(s)))
        await shop.act("rollback/previous/t1")
        await shop.serves(1)
        await shop.edit(serving={"replicas": 1, "podLabels": {"team": "shop"}})
        await shop.until("the edit to be rolled out", lambda s: not condition(s, "Reconciling"))
        done.set()
        await watcher
    assert len(counts) > 20
    assert min(counts) >= 1, counts


async def test_the_warm_version_takes_over_when_the_active_one_goes(shop: Shop) -> None:
    await shop.deploy()
    async with shop.namespace.operator():
        await shop.publish(1)
        await shop.serves(1)
        await shop.publish(2)
        await shop.serves(2)
        shop.health[2] = None
        status = await shop.serves(1)
        assert await shop.selected() == "1"
    assert status["rejectedVersions"][0]["reason"] == "Unready"
    assert condition(status, "RolledBack")["status"] == "True"
    assert [entry["outcome"] for entry in status["history"]] == ["Active", "RolledBack", "Replaced"]


async def test_old_pods_leave_and_the_namespace_is_left_clean(shop: Shop) -> None:
    await shop.deploy(rollout={"keepWarmSeconds": 0})
    async with shop.namespace.operator():
        await shop.publish(1)
        await shop.serves(1)
        await shop.publish(2)
        await shop.serves(2)

        async def alone() -> bool:
            return list(await shop.namespace.all(DEPLOYMENTS)) == ["shop-v2"]

        await shop.namespace.until("the Deployment of version 1 to go", alone)
        await shop.namespace.request("DELETE", shop.namespace.path(MODEL_DEPLOYMENTS, "shop"))

        async def gone() -> bool:
            kinds = (MODEL_DEPLOYMENTS, DEPLOYMENTS, SERVICES, PODS)
            return not any([await shop.namespace.all(kind) for kind in kinds])

        await shop.namespace.until("everything but the versions to go", gone)
    assert sorted(await shop.namespace.all(MODEL_VERSIONS)) == ["m-v1", "m-v2"]


async def test_children_are_kept_as_they_should_be(shop: Shop) -> None:
    await shop.deploy(serving={"nodeSelector": {"disk": "ssd"}})
    async with shop.namespace.operator():
        await shop.publish(1)
        await shop.serves(1)
        await shop.patch(SERVICES, "shop", {"spec": {"selector": {"app": "mine"}}})

        async def selects_only_ours() -> bool:
            service = await shop.namespace.client.get(SERVICES, shop.namespace.name, "shop")
            return set(service["spec"]["selector"]) == {meta.DEPLOYMENT_UID_LABEL, meta.VERSION_LABEL}

        await shop.namespace.until("the selector to be corrected", selects_only_ours)
        await shop.namespace.request("DELETE", shop.namespace.path(SERVICES, "shop"))
        await shop.namespace.request("DELETE", shop.namespace.path(DEPLOYMENTS, "shop-v1"))
        await shop.serves(1)
        await shop.namespace.until("the Service to come back", selects_only_ours_or_absent(shop))
        await shop.edit(serving={"nodeSelector": None})

        async def anywhere() -> bool:
            body = await shop.namespace.client.get(DEPLOYMENTS, shop.namespace.name, "shop-v1")
            return "nodeSelector" not in body["spec"]["template"]["spec"]

        await shop.namespace.until("the node selector to be taken away", anywhere)


def selects_only_ours_or_absent(shop: Shop) -> Callable[[], Coroutine[Any, Any, bool]]:
    async def ask() -> bool:
        both = (await shop.namespace.all(SERVICES)).keys() | (await shop.namespace.all(DEPLOYMENTS)).keys()
        return both == {"shop", "shop-v1"}

    return ask


async def test_what_the_api_server_refuses_is_told(shop: Shop) -> None:
    await shop.deploy(serving={"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}})
    async with shop.namespace.operator():
        await shop.publish(1)
        assert "must be less than or equal to memory limit" in await shop.stalled("InvalidSpec")
        assert not await shop.namespace.all(DEPLOYMENTS)
        await shop.edit(serving={"resources": {"requests": {"memory": "1Gi"}}})
        await shop.serves(1)


async def test_a_foreign_service_has_the_name(shop: Shop) -> None:
    foreign = {"metadata": {"name": "shop"}, "spec": {"ports": [{"port": 80}]}}
    await shop.namespace.request("POST", shop.namespace.path(SERVICES), foreign)
    await shop.deploy()
    async with shop.namespace.operator():
        await shop.publish(1)
        told = await shop.until("a sentence", lambda s: condition(s, "Reconciling").get("reason") == "ChildRefused")
    assert "Service shop exists and is not of this ModelDeployment" in condition(told, "Ready")["message"]


async def test_bad_wishes_are_answered_once(shop: Shop) -> None:
    await shop.deploy()
    async with shop.namespace.operator() as port:
        await shop.publish(1)
        await shop.serves(1)
        await shop.act("rollback/previous/t1")
        status = await shop.until("an answer", lambda s: s.get("lastHandledAction") == "rollback/previous/t1")
        assert status["lastActionMessage"].startswith("refused: there is nothing to go back to")
        await shop.edit(version={"policy": "Pinned", "pin": "9"})
        assert "names no ModelVersion of model m" in await shop.stalled("PinnedVersionNotFound")
        await shop.deploy("shop-too")  # of the same second, perhaps: then the name decides
        assert "ModelDeployment shop serves model m already" in await shop.stalled("ModelTaken", "shop-too")
        before = port.writes.copy()
        await asyncio.sleep(2)
        assert port.writes == before, "nothing is written at rest"
