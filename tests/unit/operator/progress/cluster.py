"""An in-memory cluster for the progress endpoint: tokens, pods and jobs."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from trainyard_api import meta
from trainyard_operator.core.plan import Body
from trainyard_operator.kube.errors import AlreadyExistsError, ApiError, NotFoundError
from trainyard_operator.kube.port import PODS, Resource, TokenIdentity
from trainyard_operator.runtime.directory import JobFacts

NAMESPACE = "team"
NAME = "demand"
UID = "tj-uid"
JOB_UID = "job-uid-2"
POD, POD_UID = "demand-2-abcde", "pod-uid"


def facts(**changes: Any) -> JobFacts:
    known: dict[str, Any] = {
        "kind": "TrainingJob",
        "uid": UID,
        "terminal": False,
        "current_attempt": 2,
        "attempt_job_uids": {"job-uid-1": 1, JOB_UID: 2},
        "last_sequence": 0,
    }
    return JobFacts(**(known | changes))


def token(
    *,
    name: str = NAME,
    namespace: str = NAMESPACE,
    uid: str = UID,
    signature: str = "good",
    bound_to: str = "",
    **claims: Any,
) -> str:
    """Return a token with the claims of a kubelet's projected token. ``signature`` distinguishes it from others."""
    own = {
        "aud": [meta.token_audience(namespace, name, uid)],
        "kubernetes.io": {"namespace": bound_to or namespace, "pod": {"name": POD, "uid": POD_UID}},
        **claims,
    }
    return ".".join(_segment(part) for part in (b'{"alg":"RS256"}', json.dumps(own).encode(), signature.encode()))


def _segment(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def pod(*, name: str = POD, uid: str = POD_UID, job_uid: str = JOB_UID, of: str = "", **owner: Any) -> Body:
    controller = {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": job_uid, "controller": True, **owner}
    return {"metadata": {"name": name, "uid": uid, "ownerReferences": [controller], "labels": {meta.UID_LABEL: of}}}


def identity(**changes: tuple[str, ...]) -> TokenIdentity:
    extra = {"pod-name": (POD,), "pod-uid": (POD_UID,)} | {
        key.replace("_", "-"): value for key, value in changes.items()
    }
    return TokenIdentity(
        "system:serviceaccount:team:default",
        (meta.token_audience(NAMESPACE, NAME, UID),),
        {f"authentication.kubernetes.io/{key}": value for key, value in extra.items() if value},
    )


@dataclass
class FakeCluster:
    """A KubePort of dicts, and the directory of jobs. It counts the calls that would reach an API server."""

    jobs: dict[tuple[str, str], JobFacts] = field(default_factory=lambda: {(NAMESPACE, NAME): facts()})
    identities: dict[str, TokenIdentity] = field(default_factory=lambda: {token(): identity()})
    objects: dict[tuple[str, str, str], Body] = field(default_factory=lambda: {("pods", NAMESPACE, POD): pod()})
    down: ApiError | None = None
    reviews: int = 0
    gets: int = 0

    def find(self, plural: str, namespace: str, name: str) -> JobFacts | None:
        return self.jobs.get((namespace, name)) if plural == meta.TRAINING_JOBS else None

    async def review_token(self, token: str, audience: str) -> TokenIdentity | None:
        self.reviews += 1
        await asyncio.sleep(0)
        if self.down is not None:
            raise self.down
        found = self.identities.get(token)
        return found if found is not None and audience in found.audiences else None

    async def get(self, resource: Resource, namespace: str, name: str) -> Body:
        self.gets += resource == PODS
        await asyncio.sleep(0)
        if self.down is not None:
            raise self.down
        try:
            return self.objects[resource.plural, namespace, name]
        except KeyError:
            raise NotFoundError(404, "NotFound", f"{resource.plural} {name}") from None

    async def create(self, resource: Resource, namespace: str, body: Body) -> Body:
        await asyncio.sleep(0)
        key = (resource.plural, namespace, body["metadata"]["name"])
        if key in self.objects:
            raise AlreadyExistsError(409, "AlreadyExists", key[2])
        self.objects[key] = body
        return body

    def list(self, *_: Any, **__: Any) -> AsyncIterator[Body]:
        raise AssertionError("the endpoint lists nothing")

    async def patch_status(self, *_: Any, **__: Any) -> Body:
        raise AssertionError("the endpoint writes no status")

    async def annotate(self, *_: Any, **__: Any) -> Body:
        raise AssertionError("the endpoint annotates nothing")

    async def delete(self, *_: Any, **__: Any) -> None:
        raise AssertionError("the endpoint deletes nothing")
