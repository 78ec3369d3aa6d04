"""A ModelDeployment on a real API server: its user, and the node that its pods run on.

The Deployment and ReplicaSet controllers are the real ones. There is no node: a small kubelet writes for each pod
whether its server has loaded its version.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from tests.integration.operator.namespace import POLL_SECONDS, Namespace
from tests.integration.operator.test_faults import new_namespace
from tests.unit.operator.core.versions import BELOW_2, spec
from trainyard_api import API_VERSION, meta
from trainyard_operator.core.plan import Body
from trainyard_operator.kube.credentials import Credentials
from trainyard_operator.kube.port import MODEL_DEPLOYMENTS, MODEL_VERSIONS, PODS, SERVICES, Resource

MERGE = "application/merge-patch+json"

Health = dict[int, int | None]
"""By version: the exit code of its server, or ``None`` if the server hangs. Versions that are not listed load."""


class Shop:
    """A user of the ModelDeployment ``shop`` of model ``m``, and the node that its pods run on."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self.health: Health = {}
        self.stopped = asyncio.Event()
        """Stops the kubelet between two requests. A cancelled request would leave its socket open."""

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
        """Wait until ``holds`` is true for the status, and return the status."""
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
        """Wait until the version serves and no rollout is in progress."""
        return await self.until(
            f"version {number} to serve",
            lambda s: s.get("activeVersion") == number and s.get("phase") in ("Serving", "Held"),
        )

    async def stalled(self, reason: str, name: str = "shop") -> str:
        """Wait until the ModelDeployment is Stalled with this reason, and return the message."""
        status = await self.until(f"Stalled={reason}", lambda s: condition(s, "Stalled").get("reason") == reason, name)
        return str(condition(status, "Stalled")["message"])

    async def selected(self) -> str:
        service = await self.namespace.client.get(SERVICES, self.namespace.name, "shop")
        return str(service["spec"]["selector"].get(meta.VERSION_LABEL))

    # ---- a node ------------------------------------------------------------------------------------------------------

    async def kubelet(self) -> None:
        """Write the state of each serving pod until the kubelet is stopped."""
        while not self.stopped.is_set():
            for name, pod in (await self.namespace.all(PODS)).items():
                if meta.DEPLOYMENT_LABEL not in pod["metadata"]["labels"]:
                    continue  # a pod of a training
                version = int(pod["metadata"]["labels"].get(meta.VERSION_LABEL, 0))
                if version == 0:
                    continue  # a pod of a training
                status = pod_status(self.health.get(version), ready=version not in self.health)
                is_written = "containerStatuses" in pod["status"] and is_ready(pod) == (version not in self.health)
                if is_written or "deletionTimestamp" in pod["metadata"]:
                    continue
                with suppress(AssertionError):  # deleted in the meantime
                    await self.patch(PODS, name, status, "/status")
            await asyncio.sleep(POLL_SECONDS)


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


@asynccontextmanager
async def new_shop(credentials: Credentials) -> AsyncIterator[Shop]:
    async with new_namespace(credentials) as namespace:
        shop = Shop(namespace)
        kubelet = asyncio.create_task(shop.kubelet())
        try:
            yield shop
            assert not kubelet.done(), "the kubelet has ended"
        finally:
            shop.stopped.set()
            await kubelet


def rejections(status: dict[str, Any]) -> list[Body]:
    return status.get("rejectedVersions") or []
