"""`kubectl` for a local cluster."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cluster import toolchain
from cluster.commands import run
from cluster.model import Cluster, ClusterError

_SECONDS = 300
POLL_SECONDS = 0.25
"""Interval of checks with kubectl. Each takes 0.1 s of CPU time."""


def program() -> Path:
    """Return an installed kubectl, or the one that is built here."""
    installed = shutil.which("kubectl")
    return Path(installed) if installed else toolchain.ensure("kubectl")


def kubectl(cluster: Cluster, *arguments: str, stdin: str | None = None) -> str:
    """Run kubectl as administrator and return its output. Raises :class:`ClusterError` with its error message."""
    # The discovery cache is removed with the cluster.
    common = (f"--kubeconfig={cluster.kubeconfig}", f"--cache-dir={cluster.folder / 'kubectl-cache'}")
    return run([program(), *common, *arguments], timeout=_SECONDS, stdin=stdin)


def apply(cluster: Cluster, objects: Sequence[dict[str, Any]]) -> None:
    """Create or update objects with server-side apply. Raises :class:`ClusterError`."""
    content = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    kubectl(cluster, "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=content)


def read(cluster: Cluster, kind: str, name: str = "", *, namespace: str = "", selector: str = "") -> dict[str, Any]:
    """Return one object (empty if it does not exist), or a list if there is no name. Raises :class:`ClusterError`."""
    options = [*([f"--namespace={namespace}"] if namespace else []), *([f"--selector={selector}"] if selector else [])]
    response = kubectl(cluster, "get", kind, *([name, "--ignore-not-found"] if name else []), *options, "-o", "json")
    return dict(json.loads(response)) if response.strip() else {}


def is_ready(item: dict[str, Any]) -> bool:
    """Return whether the condition Ready of a node or pod is True."""
    conditions = item.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def takes_pods(cluster: Cluster, node: str) -> bool:
    """Return whether a node is ready, and the controllers have removed the taint of an unready node."""
    found = read(cluster, "node", node)
    return bool(found) and is_ready(found) and not found["spec"].get("taints")


def service_port(cluster: Cluster, namespace: str, service: str, port: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the spec of a Service and its entry for a port. Raises :class:`ClusterError` if there is none."""
    spec = read(cluster, "service", service, namespace=namespace).get("spec", {})
    for entry in spec.get("ports", []):
        if entry["port"] == port:
            return spec, entry
    raise ClusterError(f"there is no Service {namespace}/{service} with port {port} in cluster {cluster.name}")
