"""The progress endpoint with real tokens of the API server, TokenReview, pods and their owners."""

import asyncio
import base64
import json
import ssl
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.api_server import ApiServer
from trainyard_api import API_VERSION, meta
from trainyard_operator.core.config import ClientLimits, ProgressServer
from trainyard_operator.kinds.base import Key
from trainyard_operator.kube.client import KubeClient
from trainyard_operator.kube.credentials import load_credentials
from trainyard_operator.progress.keys import IssuerKeys
from trainyard_operator.progress.server import ProgressEndpoint, ProgressListener
from trainyard_operator.progress.tls import ServerCertificate, ensure_authority
from trainyard_operator.runtime.clock import utc_now
from trainyard_operator.runtime.directory import Directory
from trainyard_operator.runtime.elector import steady
from trainyard_operator.runtime.registry import KINDS
from trainyard_operator.runtime.reports import Reports
from trainyard_operator.runtime.store import Store

pytestmark = pytest.mark.cluster

NAME = "demand"
REPORT = {"trainerStatus": {"progressPercentage": 42, "lastUpdatedTime": "2020-06-12T03:00:00Z"}}


@dataclass
class Namespace:
    """A namespace with one TrainingJob, its children in the store, and functions that create pods and their tokens."""

    api: ApiServer
    name: str
    store: Store = field(default_factory=lambda: Store(KINDS))
    uid: str = ""

    def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        code, created = self.api.request("POST", path, body)
        assert code == 201, created
        return created

    def core(self, plural: str) -> str:
        return f"/api/v1/namespaces/{self.name}/{plural}"

    def fill(self) -> None:
        self.create("/api/v1/namespaces", {"metadata": {"name": self.name}})
        self.create(self.core("serviceaccounts"), {"metadata": {"name": "trainer"}})
        job = self.create(
            f"/apis/{API_VERSION}/namespaces/{self.name}/trainingjobs",
            {
                "apiVersion": API_VERSION,
                "kind": "TrainingJob",
                "metadata": {"name": NAME},
                "spec": {
                    "framework": "LightGBM",
                    "task": "Regression",
                    "data": {"uri": "s3://datasets/diabetes.csv", "target": "target"},
                },
            },
        )
        self.uid = job["metadata"]["uid"]
        self.store.apply("TrainingJob", job)

    def job(self, name: str, attempt: int | None) -> str:
        """Create a Job that no controller runs. With an attempt, the TrainingJob owns it. Return its uid."""
        labels = {meta.MANAGED_BY_LABEL: meta.MANAGED_BY, meta.ATTEMPT_LABEL: str(attempt)}
        owner = {"apiVersion": API_VERSION, "kind": "TrainingJob", "name": NAME, "uid": self.uid, "controller": True}
        created = self.create(
            f"/apis/batch/v1/namespaces/{self.name}/jobs",
            {
                "metadata": {"name": name, "labels": labels, "ownerReferences": [owner]} if attempt else {"name": name},
                "spec": {"managedBy": "trainyard.dev/nobody", "template": {"spec": _pod_spec()}},
            },
        )
        if attempt:
            self.store.apply("Job", {**created, "kind": "Job"})
        return str(created["metadata"]["uid"])

    def pod(self, name: str, job: str, job_uid: str) -> None:
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": job_uid, "controller": True}
        self.create(self.core("pods"), {"metadata": {"name": name, "ownerReferences": [owner]}, "spec": _pod_spec()})

    def token(self, pod: str | None, audience: str | None = None) -> str:
        """Request the token that a kubelet would project into the pod."""
        spec: dict[str, Any] = {"audiences": [audience or meta.token_audience(self.name, NAME, self.uid)]}
        if pod is not None:
            spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", "name": pod}
        return str(self.create(self.core("serviceaccounts/trainer/token"), {"spec": spec})["status"]["token"])


def _pod_spec() -> dict[str, Any]:
    return {
        "serviceAccountName": "trainer",
        "automountServiceAccountToken": False,
        "restartPolicy": "Never",
        "containers": [{"name": meta.CONTAINER, "image": "trainer"}],
    }


@pytest.fixture
def namespace(crds: Path, tmp_path: Path) -> Iterator[Namespace]:
    api = ApiServer(crds, tmp_path)
    namespace = Namespace(api, f"progress-{uuid.uuid4().hex[:8]}")
    namespace.fill()
    yield namespace
    api.request("DELETE", f"/api/v1/namespaces/{namespace.name}")
    api.close()


@dataclass
class Sender:
    """A trainer that reports, and the reports that the operator keeps."""

    namespace: Namespace
    url: str
    trust: ssl.SSLContext
    reports: Reports

    async def post(self, token: str, name: str = NAME) -> tuple[int, dict[str, Any]]:
        path = meta.progress_path(self.namespace.name, name)
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.url + path, json=REPORT, headers=headers, ssl=self.trust) as response,
        ):
            return response.status, await response.json()

    def kept(self, attempt: int) -> Any:
        return self.reports.latest(Key(self.namespace.name, NAME), self.namespace.uid, attempt)


@asynccontextmanager
async def endpoint(namespace: Namespace, kubeconfig: Path, *, keys: bool) -> AsyncIterator[Sender]:
    """Run an endpoint. It checks tokens with the API server's keys if ``keys``, else with a TokenReview."""
    credentials = load_credentials({"KUBECONFIG": str(kubeconfig)})
    async with KubeClient(credentials, ClientLimits()) as port:
        authority = await ensure_authority(port, namespace.name, "trainyard-tls", now=utc_now())
        certificate = ServerCertificate(authority, ["127.0.0.1"])
        reports = Reports(wake=lambda _: None)
        app = ProgressEndpoint(
            port,
            Directory(namespace.store),
            reports,
            reports_per_minute=600,
            clock=utc_now,
            tokens=IssuerKeys(port, port, clock=utc_now, steady=steady) if keys else None,
        )
        listener = ProgressListener(app, ProgressServer(bind="127.0.0.1", port=0), certificate.context)
        await listener.start()
        trust = ssl.create_default_context(cadata=authority.pem)
        yield Sender(namespace, f"https://127.0.0.1:{listener.port}", trust, reports)
        await listener.stop()


@pytest.fixture(params=[False, True], ids=["review", "keys"])
async def sender(namespace: Namespace, crds: Path, request: pytest.FixtureRequest) -> AsyncIterator[Sender]:
    async with endpoint(namespace, crds, keys=request.param) as sender:
        yield sender


async def test_the_pod_of_the_current_attempt_may_report(namespace: Namespace, sender: Sender) -> None:
    namespace.pod("p", f"{NAME}-1", namespace.job(f"{NAME}-1", attempt=1))
    token = namespace.token("p")
    code, body = await sender.post(token)
    assert (code, body["trainerStatus"]["progressPercentage"], body["trainerStatus"]["sequence"]) == (200, 42, 1)
    assert (await sender.post(token))[1]["trainerStatus"]["sequence"] == 2
    assert sender.kept(1).progress_percentage == 42


async def test_the_pod_of_another_job_is_refused_even_with_the_right_audience(
    namespace: Namespace, sender: Sender
) -> None:
    namespace.job(f"{NAME}-1", attempt=1)
    namespace.pod("stranger", "other", namespace.job("other", attempt=None))
    code, status = await sender.post(namespace.token("stranger"))
    assert (code, status["reason"]) == (403, "Forbidden")
    assert "not part of trainingjobs" in status["message"]


async def test_a_token_for_another_audience_is_refused(namespace: Namespace, sender: Sender) -> None:
    namespace.pod("p", f"{NAME}-1", namespace.job(f"{NAME}-1", attempt=1))
    other = namespace.token("p", meta.token_audience(namespace.name, "other", namespace.uid))
    assert (await sender.post(other))[0] == 403
    assert (await sender.post(namespace.token("p", "https://kubernetes.default.svc")))[0] == 403
    assert sender.kept(1) is None


async def test_a_service_account_without_a_pod_is_refused(namespace: Namespace, sender: Sender) -> None:
    namespace.job(f"{NAME}-1", attempt=1)
    code, status = await sender.post(namespace.token(None))
    assert (code, status["reason"]) == (403, "Forbidden")
    assert "not bound to a pod" in status["message"]


async def test_a_forged_token_is_refused(namespace: Namespace, sender: Sender) -> None:
    namespace.pod("p", f"{NAME}-1", namespace.job(f"{NAME}-1", attempt=1))
    header, payload, signature = namespace.token("p").split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims["exp"] += 3600
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    assert (await sender.post(f"{header}.{forged}.{signature}"))[0] == 401
    assert sender.kept(1) is None


async def test_the_pod_of_an_earlier_attempt_may_not_report(namespace: Namespace, sender: Sender) -> None:
    namespace.pod("late", f"{NAME}-1", namespace.job(f"{NAME}-1", attempt=1))
    namespace.job(f"{NAME}-2", attempt=2)
    code, status = await sender.post(namespace.token("late"))
    assert (code, status["reason"]) == (409, "Conflict")


async def test_an_unknown_job_is_not_found(namespace: Namespace, sender: Sender) -> None:
    namespace.pod("p", f"{NAME}-1", namespace.job(f"{NAME}-1", attempt=1))
    token = namespace.token("p", meta.token_audience(namespace.name, "gone", "some-uid"))
    assert (await sender.post(token, "gone"))[0] == 404


async def test_the_token_of_a_deleted_pod_is_refused(namespace: Namespace, sender: Sender) -> None:
    namespace.pod("p", f"{NAME}-1", namespace.job(f"{NAME}-1", attempt=1))
    token = namespace.token("p")
    code, response = namespace.api.request("DELETE", namespace.core("pods/p"), gracePeriodSeconds="0")
    assert code == 200, response
    assert (await sender.post(token))[0] in (401, 403)  # the API server may cache its own token for a moment


async def test_two_operators_share_one_authority(namespace: Namespace, crds: Path) -> None:
    credentials = load_credentials({"KUBECONFIG": str(crds)})
    async with KubeClient(credentials, ClientLimits()) as one, KubeClient(credentials, ClientLimits()) as two:
        made = await asyncio.gather(
            *(ensure_authority(port, namespace.name, "trainyard-tls", now=utc_now()) for port in (one, two, one, two))
        )
    assert len({authority.pem for authority in made}) == 1
