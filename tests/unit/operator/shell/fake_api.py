"""A minimal API server for kopf: discovery, lists, and watches that stay open. It can refuse requests."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from trainyard_api.kinds import KINDS
from trainyard_operator.kube.credentials import Credentials, FixedToken

CORE = [
    ("namespaces", "Namespace", False),
    ("events", "Event", True),
    ("services", "Service", True),
    ("secrets", "Secret", True),
]
GROUPS = {
    ("batch", "v1"): [("jobs", "Job", True)],
    ("apps", "v1"): [("deployments", "Deployment", True)],
    ("policy", "v1"): [("poddisruptionbudgets", "PodDisruptionBudget", True)],
    ("trainyard.dev", "v1alpha1"): [(kind.plural, kind.kind, True) for kind in KINDS],
    ("events.k8s.io", "v1"): [("events", "Event", True)],
}
TRAINING_JOBS = "/apis/trainyard.dev/v1alpha1/trainingjobs"
JOBS = "/apis/batch/v1/jobs"

CREATED = "2026-11-21T07:30:00Z"


def training_job(name: str, version: int) -> dict[str, Any]:
    return {
        "apiVersion": "trainyard.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {
            "namespace": "team",
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": str(version),
            "creationTimestamp": CREATED,
            "generation": 1,
        },
        "spec": {
            "framework": "LightGBM",
            "task": "Regression",
            "data": {"uri": "s3://datasets/diabetes.csv", "target": "target"},
        },
        "status": {"observedGeneration": -1},
    }


class FakeApi:
    def __init__(self) -> None:
        self.objects: dict[str, list[dict[str, Any]]] = {}
        self.secrets: dict[str, dict[str, Any]] = {}
        self.leases: dict[str, dict[str, Any]] = {}
        """Leases by path."""
        self.versions = itertools.count(1000)
        self.statuses: dict[str, dict[str, Any]] = {}
        self.writes: list[tuple[str, str, Any]] = []
        self.created_job = asyncio.Event()
        self.watches: dict[str, web.StreamResponse] = {}
        self.queries: dict[str, dict[str, str]] = {}
        self.watching = asyncio.Condition()
        self.refuse: int | None = None
        self.refuse_watches = False
        self.away = False
        """Close every connection without a response."""
        self.forbidden = ""
        """A part of the paths that RBAC forbids."""
        self.requested = asyncio.Event()
        """Set by each request."""
        self.url = ""

    @property
    def credentials(self) -> Credentials:
        return Credentials(self.url, None, FixedToken("secret-token"))

    @property
    def jobs(self) -> list[str]:
        return [body["metadata"]["name"] for _, path, body in self.writes if path.endswith("/jobs")]

    async def until_watched(self, *paths: str) -> None:
        async with asyncio.timeout(30), self.watching:  # wait until kopf watches these paths
            await self.watching.wait_for(lambda: set(paths) <= self.watches.keys())

    async def send(self, path: str, event: str, body: dict[str, Any]) -> None:
        """Deliver a change to the watches. The next list has it too."""
        others = [each for each in self.objects.get(path, []) if each["metadata"]["name"] != body["metadata"]["name"]]
        self.objects[path] = others if event == "DELETED" else [*others, body]
        await self.watches[path].write(json.dumps({"type": event, "object": body}).encode() + b"\n")

    def cut_watches(self) -> None:
        """Abort every open watch, as an API server that becomes unavailable does."""
        for response in self.watches.values():
            transport = response._req.transport if response._req is not None else None
            if transport is not None:
                transport.abort()
        self.watches.clear()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert request.headers["Authorization"] == "Bearer secret-token"
        self.requested.set()
        if self.away and request.transport is not None:
            request.transport.abort()
        watch = "watch" in request.query
        if self.forbidden and self.forbidden in request.path:
            return web.json_response({"kind": "Status", "reason": "Forbidden", "message": "no RBAC"}, status=403)
        if self.refuse is not None or (watch and self.refuse_watches):
            code = self.refuse or 401
            return web.json_response({"kind": "Status", "reason": "No", "message": "go away"}, status=code)
        if request.method != "GET":
            return await self._write(request)
        if watch:
            return await self._watch(request)
        found = self._discover(request.path) or self._read(request.path)
        return web.json_response(found or {"kind": "Status", "reason": "NotFound"}, status=200 if found else 404)

    def _discover(self, path: str) -> dict[str, Any] | None:
        if path == "/api":
            return {"versions": ["v1"]}
        if path == "/apis":
            groups = [{"name": group, "versions": [{"version": version}]} for group, version in GROUPS]
            return {"groups": [{**group, "preferredVersion": group["versions"][0]} for group in groups]}
        known = {f"/apis/{group}/{version}": kinds for (group, version), kinds in GROUPS.items()} | {"/api/v1": CORE}
        if path not in known:
            return None
        verbs = ["get", "list", "watch", "patch"]
        return {
            "resources": [
                {"name": plural, "kind": kind, "singularName": "", "namespaced": namespaced, "verbs": verbs}
                for plural, kind, namespaced in known[path]
            ]
        }

    def _read(self, path: str) -> dict[str, Any] | None:
        if "/secrets/" in path:
            return self.secrets.get(path)
        if "/leases/" in path:
            return self.leases.get(path)
        return {"metadata": {"resourceVersion": "100"}, "items": self.objects.get(path, [])}

    async def _write(self, request: web.Request) -> web.Response:
        body = await request.json()
        if request.path.endswith("/secrets"):
            self.secrets[f"{request.path}/{body['metadata']['name']}"] = body
            return web.json_response(body, status=201)
        if "/leases" in request.path:
            return self._lease(request, body)
        self.writes.append((request.method, request.path, body))
        if request.path.endswith("/status"):
            return web.json_response(self._patched(request.path.split("/")[-2], body))
        if request.path.endswith("/jobs"):
            self.created_job.set()
        body["metadata"] |= {"uid": "u", "resourceVersion": str(next(self.versions)), "creationTimestamp": CREATED}
        return web.json_response(body, status=201)

    def _lease(self, request: web.Request, body: dict[str, Any]) -> web.Response:
        """Create or replace a Lease if its resourceVersion allows that."""
        created = request.method == "POST"
        path = f"{request.path}/{body['metadata']['name']}" if created else request.path
        known = self.leases.get(path)
        if created and known is not None:
            return web.json_response({"kind": "Status", "reason": "AlreadyExists"}, status=409)
        if not created and known is None:
            return web.json_response({"kind": "Status", "reason": "NotFound"}, status=404)
        if known is not None and known["metadata"]["resourceVersion"] != body["metadata"].get("resourceVersion"):
            return web.json_response({"kind": "Status", "reason": "Conflict"}, status=409)
        body["metadata"]["resourceVersion"] = str(next(self.versions))
        self.leases[path] = body
        return web.json_response(body, status=201 if created else 200)

    def _patched(self, name: str, patch: dict[str, Any]) -> dict[str, Any]:
        """Merge a status one level deep, which is enough for the first writes of the operator."""
        status = self.statuses.setdefault(name, {"observedGeneration": -1})
        status |= patch.get("status", {})
        return training_job(name, next(self.versions)) | {
            "status": {key: value for key, value in status.items() if value is not None}
        }

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        async with self.watching:
            self.watches[request.path] = response
            self.queries[request.path] = dict(request.query)
            self.watching.notify_all()
        while not (request.transport is None or request.transport.is_closing()):  # noqa: ASYNC110 - a held connection
            await asyncio.sleep(0.05)
        return response


@asynccontextmanager
async def fake_api() -> AsyncIterator[FakeApi]:
    api = FakeApi()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", api.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    api.url = "http://{}:{}".format(*runner.addresses[0])
    try:
        yield api
    finally:
        await runner.cleanup()
