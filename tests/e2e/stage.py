"""A cluster with trainyard, and the actions of a test: apply with kubectl, wait and check.

Repeated reads use one connection to the API server. One kubectl process per read would take a third of a core.
"""

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster import lifecycle, object_store, toolchain
from cluster.commands import run
from cluster.kubectl import kubectl, program
from cluster.model import Cluster, Kind
from cluster.object_store import ObjectStore
from demo.images import build_images, build_torch_image, provide_images
from demo.install import (
    BUCKET,
    CHART,
    DATA_BUCKET,
    JOBS_NAMESPACE,
    OPERATOR_NAMESPACE,
    RELEASE,
    give_store_access,
    install_chart,
    make_namespaces,
)
from tests.api_server import ApiServer
from trainyard_api import API_VERSION
from trainyard_api.kinds import KINDS

Json = dict[str, Any]

JOB_SECONDS = 240
POLL_SECONDS = 0.2
DEPLOYMENT = "deployment/trainyard"

_IN_NAMESPACE = f"namespaces/{JOBS_NAMESPACE}"
_PATHS = {
    **{kind.short: f"/apis/{API_VERSION}/{_IN_NAMESPACE}/{kind.plural}" for kind in KINDS},
    "jobs": f"/apis/batch/v1/{_IN_NAMESPACE}/jobs",
    "deployments": f"/apis/apps/v1/{_IN_NAMESPACE}/deployments",
    **{plural: f"/api/v1/{_IN_NAMESPACE}/{plural}" for plural in ("pods", "services")},
    **{plural: f"/api/v1/{plural}" for plural in ("namespaces", "nodes")},
}
"""The paths of the API server for the kinds that tests read."""


@dataclass(frozen=True)
class Stage:
    """A running cluster with operator, object store and both buckets."""

    cluster: Cluster
    store: ObjectStore
    api: ApiServer

    @classmethod
    def set_up(cls, name: str, kind: Kind | None, *, torch: bool = False) -> "Stage":
        """Start everything, as the demo does. With ``torch`` the node starts with Torch's image too."""

        def images() -> list[Path]:
            return [*build_images(print).values(), *([build_torch_image(print)] if torch else [])]

        cluster = lifecycle.up(name, kind, print, images)
        source = provide_images(cluster, print)
        store = object_store.deploy(cluster, lifecycle.backend(cluster.kind), print)
        for bucket in (BUCKET, DATA_BUCKET):
            store.make_bucket(bucket)
        make_namespaces(cluster)
        give_store_access(cluster, store.credentials())
        install_chart(cluster, endpoint=store.endpoint_in_cluster, source=source)
        return cls(cluster, store, ApiServer(cluster.kubeconfig, cluster.folder))

    def close(self) -> None:
        """Close the connection to the API server."""
        self.api.close()

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl as administrator in the namespace of the jobs."""
        return kubectl(self.cluster, f"--namespace={JOBS_NAMESPACE}", *arguments, stdin=stdin)

    def refused(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl and return its error message. The command must fail."""
        command = [str(program()), f"--kubeconfig={self.cluster.kubeconfig}", f"--namespace={JOBS_NAMESPACE}"]
        done = subprocess.run([*command, *arguments], input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode != 0, f"kubectl {' '.join(arguments)} was accepted: {done.stdout}"
        return done.stderr

    def put(self, key: str, content: str | bytes) -> str:
        """Upload a table and return its address."""
        data = content if isinstance(content, bytes) else content.encode()
        return self.store.upload(data, DATA_BUCKET, key)

    def apply(self, name: str, **spec: Any) -> None:
        """Apply a TrainingJob."""
        body = {
            "apiVersion": "trainyard.dev/v1alpha1",
            "kind": "TrainingJob",
            "metadata": {"name": name},
            "spec": spec,
        }
        self.kubectl("apply", "-f", "-", stdin=json.dumps(body))

    def apply_objects(self, *objects: Json) -> None:
        """Apply objects of any kind."""
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))

    def clear(self) -> None:
        """Delete all objects of trainyard with their dependents, first those that create others."""
        for kind in ("tsched", "md", "pj", "tj", "mv"):
            self.kubectl("delete", kind, "--all", "--cascade=foreground", f"--timeout={JOB_SECONDS}s")

    def get(self, kind: str, name: str) -> Json:
        """Return one object. It must exist."""
        return self._read(f"{_PATHS[kind]}/{name}")

    def items(self, kind: str, selector: str = "") -> list[Json]:
        """Return the objects with these labels."""
        found: list[Json] = self._read(_PATHS[kind], labelSelector=selector)["items"]
        return found

    def _read(self, path: str, **query: str) -> Json:
        code, body = self.api.request("GET", path, **query)
        assert code == 200, f"{path}: {code}: {body.get('message')}"
        return body

    def wait_for_phase(self, name: str, *phases: str, kind: str = "tj", seconds: float = JOB_SECONDS) -> Json:
        """Wait until a TrainingJob, or an object of another kind, is in one of the phases. Return it."""

        def reached() -> Json | None:
            job = self.get(kind, name)
            return job if job.get("status", {}).get("phase") in phases else None

        ended: Json = self.wait_until(f"{kind} {name} to be {' or '.join(phases)}", reached, seconds, about=name)
        return ended

    def wait_until(self, what: str, check: Callable[[], Any], seconds: float = JOB_SECONDS, *, about: str = "") -> Any:
        """Wait until ``check()`` returns a true value, and return the value.

        After ``seconds`` raise :class:`AssertionError` with kubectl's description of the job ``about``.
        """
        deadline = time.monotonic() + seconds
        while not (found := check()):
            if time.monotonic() > deadline:
                description = self.kubectl("describe", "tj", about) if about else ""
                raise AssertionError(f"waited {seconds:.0f} s for {what}\n{description}")
            time.sleep(POLL_SECONDS)
        return found

    def versions_of(self, job: Json) -> list[Json]:
        """Return the ModelVersions that a TrainingJob created."""
        return self.items("mv", f"trainyard.dev/trainingjob-uid={job['metadata']['uid']}")

    def operator(self, *arguments: str) -> str:
        """Run kubectl in the operator's namespace."""
        return kubectl(self.cluster, f"--namespace={OPERATOR_NAMESPACE}", *arguments)

    def set_values(self, *values: str) -> None:
        """Upgrade the release with changed chart values (``name=JSON``), and wait for the new operator."""
        command = ["upgrade", RELEASE, str(CHART), f"--namespace={OPERATOR_NAMESPACE}", "--reuse-values", "--wait"]
        helm, access = toolchain.ensure("helm"), f"--kubeconfig={self.cluster.kubeconfig}"
        run([helm, access, *command, *(f"--set-json={value}" for value in values)], timeout=300)

    def service_address(self, port: int) -> str:
        """Return ``host:port`` of the operator's Service, as this machine can reach it."""
        backend = lifecycle.backend(self.cluster.kind)
        return backend.service_address(self.cluster, OPERATOR_NAMESPACE, "trainyard", port)


def condition(job: Json, kind: str) -> Json:
    """Return a condition of an object. It must exist."""
    found: Json = next(each for each in job["status"]["conditions"] if each["type"] == kind)
    return found
