"""The Node object, and the lease that keeps it alive."""

import asyncio
import logging
import os
import shutil
from datetime import UTC, datetime

from cluster.process_node.addresses import NODE_PORT
from cluster.process_node.client import ApiClient, ApiError, Json
from cluster.process_node.states import wire_time

_log = logging.getLogger(__name__)

_HEARTBEAT_SECONDS = 10
_LEASE_SECONDS = 40
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_PODS_PER_NODE = 250


async def register(client: ApiClient, name: str, address: str) -> None:
    """Create the Node and its lease, and report the Node ready. Raises ApiError."""
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
    await client.create("/api/v1/nodes", {"metadata": {"name": name, "labels": labels}})
    await client.create(_LEASES, {"metadata": {"name": name}, "spec": _lease(name)})
    version = (await client.get("/version"))["gitVersion"]
    await client.patch(f"/api/v1/nodes/{name}/status", {"status": _status(address, version)})


async def renew_lease(client: ApiClient, name: str) -> None:
    """Renew the lease without end. After a failure, it is renewed at the next heartbeat."""
    while True:
        await asyncio.sleep(_HEARTBEAT_SECONDS)
        try:
            await client.patch(f"{_LEASES}/{name}", {"spec": _lease(name)})
        except ApiError as error:
            _log.warning("the lease is not renewed: %s", error)


def _lease(name: str) -> Json:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"holderIdentity": name, "leaseDurationSeconds": _LEASE_SECONDS, "renewTime": now}


def _status(address: str, version: str) -> Json:
    now = wire_time(datetime.now(UTC))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024
    capacity = {
        "cpu": str(os.cpu_count() or 1),
        "memory": f"{memory}Ki",
        "ephemeral-storage": f"{shutil.disk_usage('/').total // 1024}Ki",
        "pods": str(_PODS_PER_NODE),
    }
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "ProcessNodeReady",
        "message": "pods run as processes of this machine",
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }
    return {
        "addresses": [{"type": "InternalIP", "address": address}],
        "capacity": capacity,
        "allocatable": capacity,
        "conditions": [ready],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": NODE_PORT}},
        "nodeInfo": {"kubeletVersion": version, "containerRuntimeVersion": "process://1", "operatingSystem": "linux"},
    }
