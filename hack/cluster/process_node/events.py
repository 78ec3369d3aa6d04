"""Events about pods, so that `kubectl describe pod` tells what a kubelet would tell."""

import asyncio
import logging
from datetime import UTC, datetime

import aiohttp

from cluster.process_node.client import ApiClient, ApiError
from cluster.process_node.podspec import Pod
from cluster.process_node.states import wire_time

_log = logging.getLogger(__name__)


class EventRecorder:
    """Writes events; the same one about the same pod only once."""

    def __init__(self, client: ApiClient, node: str) -> None:
        self._client = client
        self._node = node
        self._reported: set[tuple[str, str, str]] = set()
        self._writes: set[asyncio.Task[None]] = set()

    def record(self, pod: Pod, reason: str, message: str, *, warning: bool = False) -> None:
        """Write one event in the background. One that cannot be written is logged: it must not stop the pod."""
        if (pod.uid, reason, message) in self._reported:
            return
        self._reported.add((pod.uid, reason, message))
        write = asyncio.create_task(self._write(pod, reason, message, warning=warning))
        self._writes.add(write)
        write.add_done_callback(self._writes.discard)

    def forget(self, pod: Pod) -> None:
        """Drop the memory of a pod that is gone."""
        self._reported = {each for each in self._reported if each[0] != pod.uid}

    async def _write(self, pod: Pod, reason: str, message: str, *, warning: bool) -> None:
        now = wire_time(datetime.now(UTC))
        about = {"apiVersion": "v1", "kind": "Pod", "namespace": pod.namespace, "name": pod.name, "uid": pod.uid}
        body = {
            "metadata": {"generateName": f"{pod.name}.", "namespace": pod.namespace},
            "involvedObject": about,
            "type": "Warning" if warning else "Normal",
            "reason": reason,
            "message": message[:1024],
            "source": {"component": "process-node", "host": self._node},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            await self._client.create(f"/api/v1/namespaces/{pod.namespace}/events", body)
        except (ApiError, aiohttp.ClientError, TimeoutError) as error:
            _log.warning("%s: event %s (%s) not written: %s", pod.key, reason, message, error)
