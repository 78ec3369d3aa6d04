"""The basic parts of a cluster with a host node: CoreDNS, and the pause image."""

from pathlib import Path
from typing import Any

from cluster import toolchain
from cluster.archives import write_archive
from cluster.containers import PAUSE_IMAGE
from cluster.model import Progress
from cluster.state import cache_folder

_DNS_IMAGE = "localhost/coredns:1"
_DNS_PORT = 1053
_READY_PORT = 8181
_LABELS = {"k8s-app": "kube-dns"}
_COREFILE = """\
.:{port} {{
    errors
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        ttl 5
        fallthrough in-addr.arpa ip6.arpa
    }}
    {forward}
    cache 5
    reload
}}
"""


def images(progress: Progress) -> list[Path]:
    """Return the archives of the images. They are made of programs that are built here, without a registry."""
    found = []
    for program, ref in (("pause", PAUSE_IMAGE), ("coredns", _DNS_IMAGE)):
        binary = toolchain.ensure(program, progress)
        archive = cache_folder() / "images" / f"{binary.parent.name}.tar"
        if not archive.exists():
            write_archive(archive, ref, {f"/{program}": binary}, (f"/{program}",))
        found.append(archive)
    return found


def folder_volume(name: str, folder: Path, size: str, storage_class: str = "") -> dict[str, Any]:
    """Return a PersistentVolume that is a folder of this machine."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"],
            "capacity": {"storage": size},
            "hostPath": {"path": str(folder)},
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": storage_class,
        },
    }


def proxy_permissions() -> dict[str, Any]:
    """Return the permission of kube-proxy to read Services and endpoints."""
    return _binding("trainyard:kube-proxy", "system:node-proxier", {"kind": "User", "name": "system:kube-proxy"})


def readiness(path: str, port: int | str) -> dict[str, Any]:
    """Return a probe: ready after the first success, not ready after 30 failures.

    Each of these programs has one pod. On a busy machine, a late response must not make it unavailable.
    """
    http = {"path": path, "port": port}
    return {"httpGet": http, "periodSeconds": 1, "timeoutSeconds": 10, "failureThreshold": 30}


def core_dns(address: str, *, forward: bool) -> list[dict[str, Any]]:
    """Return CoreDNS with a Service address. With ``forward``, it asks the node's name servers about other names."""
    account = {"kind": "ServiceAccount", "name": "coredns", "namespace": "kube-system"}
    metadata = {"name": "coredns", "namespace": "kube-system"}
    corefile = _COREFILE.format(port=_DNS_PORT, forward="forward . /etc/resolv.conf" if forward else "")
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "system:coredns"},
            "rules": [
                {
                    "apiGroups": [""],
                    "resources": ["endpoints", "services", "pods", "namespaces"],
                    "verbs": ["list", "watch"],
                },
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
            ],
        },
        _binding("system:coredns", "system:coredns", account),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"Corefile": corefile}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": _LABELS},
            "spec": {
                "clusterIP": address,
                "selector": _LABELS,
                "ports": [
                    {"name": f"dns-{protocol.lower()}", "port": 53, "targetPort": _DNS_PORT, "protocol": protocol}
                    for protocol in ("UDP", "TCP")
                ],
            },
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "selector": {"matchLabels": _LABELS},
                "template": {"metadata": {"labels": _LABELS}, "spec": _dns_pod()},
            },
        },
    ]


def _dns_pod() -> dict[str, Any]:
    return {
        "serviceAccountName": "coredns",
        "priorityClassName": "system-cluster-critical",
        "dnsPolicy": "Default",
        "terminationGracePeriodSeconds": 1,
        "containers": [
            {
                "name": "coredns",
                "image": _DNS_IMAGE,
                "imagePullPolicy": "Never",
                "args": ["-conf", "/etc/coredns/Corefile"],
                "readinessProbe": readiness("/ready", _READY_PORT),
                "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": True,
                    "runAsNonRoot": True,
                },
            }
        ],
        "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
    }


def _binding(name: str, role: str, subject: dict[str, str]) -> dict[str, Any]:
    group = "rbac.authorization.k8s.io"
    subject_with_group = subject if subject["kind"] == "ServiceAccount" else {**subject, "apiGroup": group}
    return {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [subject_with_group],
    }
