"""One namespace on a real API server: a user, a small kubelet, and operators that can be killed.

The control plane has no node. The Job controller creates the pods. The kubelet here writes that they run and how they
end.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import aiohttp

from tests.integration.operator.faults import Fault, FaultyPort
from trainyard_api import API_VERSION, meta
from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.core.plan import Body, Kind
from trainyard_operator.kube.client import KubeClient
from trainyard_operator.kube.credentials import Credentials
from trainyard_operator.kube.errors import UnavailableError
from trainyard_operator.kube.port import MODEL_VERSIONS, TRAINING_JOBS, Resource
from trainyard_operator.runtime.clock import Clock, utc_now
from trainyard_operator.runtime.registry import KINDS
from trainyard_operator.runtime.runtime import Runtime

T = TypeVar("T")

WAIT_SECONDS = 120.0
POLL_SECONDS = 0.2
"""Many scenarios run in parallel. More frequent requests slow down the API server that all of them need."""

_RETRIES = 3

SPEC: dict[str, Any] = {
    "framework": "LightGBM",
    "task": "Regression",
    "data": {"uri": "s3://datasets/diabetes.csv", "target": "target"},
    "storage": {"uri": "s3://models"},
    "retry": {"maxAttempts": 3, "initialSeconds": 0},
}


async def with_retries(ask: Callable[[], Awaitable[T]]) -> T:
    """Repeat a request that a busy API server does not answer in time: this is no fault of the operator."""
    for _ in range(_RETRIES):
        try:
            return await ask()
        except (UnavailableError, aiohttp.ClientConnectionError, TimeoutError):
            continue
    return await ask()


class Namespace:
    """A namespace for one test, and functions to act in it."""

    def __init__(self, credentials: Credentials, client: KubeClient, session: aiohttp.ClientSession, name: str) -> None:
        self.client = client
        self.name = name
        self.clock: Clock = utc_now
        """The clock of the operators that are started here."""
        self._credentials = credentials
        self._session = session

    # ---- plain requests ----------------------------------------------------------------------------------------------

    async def request(
        self, method: str, path: str, body: Body | None = None, *, content_type: str = "application/json"
    ) -> Body:
        """Send a request as the administrator."""
        data = json.dumps(body) if body is not None else None
        url, headers = self._credentials.server + path, {"Content-Type": content_type}

        async def send() -> Body:
            async with self._session.request(method, url, data=data, headers=headers) as answer:
                content: Body = await answer.json()
                if answer.status >= 400:
                    raise AssertionError(f"{method} {path}: {content}")
                return content

        return await (send() if method == "POST" else with_retries(send))

    def path(self, resource: Resource, name: str = "") -> str:
        return "/".join(filter(None, (f"{resource.base}/namespaces/{self.name}/{resource.plural}", name)))

    async def all(self, resource: Resource) -> dict[str, Body]:
        async def ask() -> dict[str, Body]:
            return {body["metadata"]["name"]: body async for body in self.client.list(resource, self.name)}

        return await with_retries(ask)

    async def until(self, what: str, ask: Callable[[], Awaitable[T | None]], seconds: float = WAIT_SECONDS) -> T:
        """Call ``ask`` until it returns a value."""
        try:
            async with asyncio.timeout(seconds):
                while not (found := await with_retries(ask)):  # noqa: ASYNC110 - the API server cannot wake us
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            state = await self.all(TRAINING_JOBS)
            statuses = {name: body.get("status") for name, body in state.items()}
            raise AssertionError(f"waited {seconds:.0f} s for {what}; TrainingJobs: {statuses}") from None
        return found

    # ---- a user ------------------------------------------------------------------------------------------------------

    async def apply(self, name: str = "a", **spec: Any) -> Body:
        body = {
            "apiVersion": API_VERSION,
            "kind": "TrainingJob",
            "metadata": {"name": name},
            "spec": {**SPEC, **spec},
        }
        return await self.request("POST", self.path(TRAINING_JOBS), body)

    async def edit(self, name: str = "a", **spec: Any) -> None:
        path = self.path(TRAINING_JOBS, name)
        await self.request("PATCH", path, {"spec": spec}, content_type="application/merge-patch+json")

    async def status(self, name: str = "a") -> dict[str, Any]:
        status: dict[str, Any] = (await self.client.get(TRAINING_JOBS, self.name, name)).get("status") or {}
        return status

    async def phase(self, wanted: str, name: str = "a") -> dict[str, Any]:
        """Wait for a phase and return the status."""

        async def ask() -> dict[str, Any] | None:
            status = await self.status(name)
            return status if status.get("phase") == wanted else None

        return await self.until(f"phase {wanted} of {name}", ask)

    async def judged(self) -> dict[str, Body]:
        """Wait until no ModelVersion is Pending, and return them all."""

        async def ask() -> dict[str, Body] | None:
            versions = await self.all(MODEL_VERSIONS)
            return versions if all(body["status"]["phase"] != "Pending" for body in versions.values()) else None

        return await self.until("every ModelVersion to be judged", ask)

    # ---- a kubelet ---------------------------------------------------------------------------------------------------

    async def pod_of(self, job: str) -> str:
        """Wait for the pod that the Job controller makes."""
        pods = Resource("", "v1", "pods")

        async def ask() -> str | None:
            selector = f"batch.kubernetes.io/job-name={job}"
            found = [body async for body in self.client.list(pods, self.name, selector=selector)]
            return str(found[0]["metadata"]["name"]) if found else None

        return await self.until(f"a pod of Job {job}", ask)

    async def run_pod(self, job: str) -> None:
        """Let the pod run and be ready."""
        state = {"running": {"startedAt": "2026-11-21T08:00:00Z"}}
        await self._pod_status(job, "Running", state, ready=True)

    async def make_pod_unschedulable(self, job: str, why: str) -> None:
        """Report that the scheduler finds no node for the pod."""
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why}
        await self._patch_pod(job, {"phase": "Pending", "conditions": [condition]})

    async def end_pod(self, job: str, exit_code: int, message: str = "") -> None:
        """Let the pod end as if its trainer had ended. The artifact lies in this namespace's folder."""
        message = message.replace("s3://models/team/", f"s3://models/{self.name}/")
        reason = "Completed" if exit_code == 0 else "Error"
        ended = {"exitCode": exit_code, "reason": reason, "message": message, "finishedAt": "2026-11-21T08:00:09Z"}
        phase = "Succeeded" if exit_code == 0 else "Failed"
        await self._pod_status(job, phase, {"terminated": ended}, ready=False)

    async def _pod_status(self, job: str, phase: str, state: Body, *, ready: bool) -> None:
        image = {"image": "i", "imageID": "i"}
        container = {
            "name": meta.CONTAINER,
            **image,
            "restartCount": 0,
            "ready": ready,
            "started": ready,
            "state": state,
        }
        condition = {"type": "Ready", "status": str(ready)}
        await self._patch_pod(job, {"phase": phase, "conditions": [condition], "containerStatuses": [container]})

    async def _patch_pod(self, job: str, status: Body) -> None:
        path = self.path(Resource("", "v1", "pods"), f"{await self.pod_of(job)}/status")
        await self.request("PATCH", path, {"status": status}, content_type="application/merge-patch+json")

    # ---- operators ---------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def operator(self, fault: Fault | None = None, **config_fields: Any) -> AsyncIterator[FaultyPort]:
        """Run an operator. The end of the block kills the operator, whatever it does at that moment."""
        port = FaultyPort(self.client, fault)
        config = OperatorConfig(namespaces=(self.name,), workers=2, **config_fields)
        runtime = Runtime(port, config, ca="-----BEGIN CERTIFICATE-----", clock=self.clock)
        await runtime.start()
        watches = [asyncio.create_task(self._watch(kind, runtime)) for kind in KINDS]
        try:
            yield port
            problems = [repr(watch.exception()) for watch in watches if watch.done()]
            assert not problems, problems
            assert runtime.health() is None
        finally:
            for watch in watches:
                watch.cancel()
            for watch in watches:
                with suppress(asyncio.CancelledError):
                    await watch
            await runtime.stop()

    async def _watch(self, kind: Kind, runtime: Runtime) -> None:
        """List the objects, then watch from that resourceVersion, as kopf does."""
        path = self.path(KINDS[kind].resource)
        listed = await self.request("GET", path)
        for body in listed["items"]:
            runtime.observe(kind, None, body)
        url = f"{self._credentials.server}{path}?watch=1&resourceVersion={listed['metadata']['resourceVersion']}"
        async with self._session.get(url, timeout=aiohttp.ClientTimeout(total=None)) as stream:
            async for line in stream.content:
                event = json.loads(line)
                runtime.observe(kind, event["type"], event["object"])
        raise AssertionError(f"the watch on {kind} ended")
