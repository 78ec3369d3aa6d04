"""The Node object: registered once, kept alive by a lease, its allocatable resources kept equal to its capacity."""

import asyncio
import logging
import os
import platform
import shutil
from datetime import UTC, datetime

import aiohttp

from cluster.process_node.addresses import NODE_PORT
from cluster.process_node.client import MERGE, ApiClient, ApiError
from cluster.process_node.podspec import Json
from cluster.process_node.states import wire_time

_log = logging.getLogger(__name__)

_HEARTBEAT_SECONDS = 10
_LEASE_SECONDS = 40
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_PODS_PER_NODE = 250
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def machine_capacity() -> dict[str, str]:
    """What this machine has, as node resources."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024
    disk = shutil.disk_usage("/").total // 1024
    return {
        "cpu": str(os.cpu_count() or 1),
        "memory": f"{memory}Ki",
        "ephemeral-storage": f"{disk}Ki",
        "pods": str(_PODS_PER_NODE),
    }


class Registration:
    """Keeps one Node object true."""

    def __init__(self, client: ApiClient, name: str, address: str, capacity: dict[str, str]) -> None:
        self._client = client
        self._name = name
        self._address = address
        self._capacity = capacity

    async def register(self) -> None:
        """Create the Node, or take over the one of an earlier run, and report it ready.

        Raises
        ------
        ApiError
            The API server refuses.
        """
        architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
        labels = {"kubernetes.io/hostname": self._name, "kubernetes.io/os": "linux", "kubernetes.io/arch": architecture}
        try:
            await self._client.create("/api/v1/nodes", {"metadata": {"name": self._name, "labels": labels}})
        except ApiError as error:
            if error.status != 409:
                raise
        version = (await self._client.get("/version"))["gitVersion"]
        await self._renew_lease()
        await self._client.patch(f"/api/v1/nodes/{self._name}/status", {"status": self._status(architecture, version)})

    async def keep_alive(self) -> None:
        """Renew the lease for ever; a failure is logged and tried again at the next beat."""
        while True:
            await asyncio.sleep(_HEARTBEAT_SECONDS)
            try:
                await self._renew_lease()
                await self._follow_capacity()
            except (ApiError, aiohttp.ClientError, TimeoutError) as error:
                _log.warning("heartbeat failed: %s", error)

    async def _renew_lease(self) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": self._name, "leaseDurationSeconds": _LEASE_SECONDS, "renewTime": now}
        try:
            await self._client.patch(f"{_LEASES}/{self._name}", {"spec": spec}, MERGE)
        except ApiError as error:
            if error.status != 404:
                raise
            await self._client.create(_LEASES, {"metadata": {"name": self._name}, "spec": spec})

    async def _follow_capacity(self) -> None:
        """Offer resources that someone wrote into the capacity, as a kubelet does: tests pretend GPUs so."""
        path = f"/api/v1/nodes/{self._name}"
        status = (await self._client.get(path))["status"]
        if status.get("allocatable") != status.get("capacity"):
            await self._client.patch(f"{path}/status", {"status": {"allocatable": status["capacity"]}})

    def _status(self, architecture: str, version: str) -> Json:
        now = wire_time(datetime.now(UTC))
        message = "pods run as processes of this machine"
        ready = {"type": "Ready", "status": "True", "reason": "ProcessNodeReady", "message": message}
        none = [("MemoryPressure", "memory"), ("DiskPressure", "disk"), ("PIDPressure", "process ids")]
        fine = [
            {"type": kind, "status": "False", "reason": "NotWatched", "message": f"{what}: not watched"}
            for kind, what in none
        ]
        times = {"lastHeartbeatTime": now, "lastTransitionTime": now}
        addresses = {"InternalIP": self._address, "Hostname": self._name}
        return {
            "addresses": [{"type": kind, "address": address} for kind, address in addresses.items()],
            "capacity": self._capacity,
            "allocatable": self._capacity,
            "conditions": [{**each, **times} for each in (ready, *fine)],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": NODE_PORT}},
            "nodeInfo": {
                "architecture": architecture,
                "containerRuntimeVersion": "process://1",
                "kernelVersion": platform.release(),
                "kubeletVersion": version,
                "operatingSystem": "linux",
                "osImage": platform.platform(terse=True),
                "bootID": "", "kubeProxyVersion": "", "machineID": "", "systemUUID": "",
            },
        }  # fmt: skip
