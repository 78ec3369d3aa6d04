"""The node: runs all pods that the scheduler has assigned to it."""

import asyncio
import logging
import shutil

from cluster.process_node.addresses import claim_address, pod_addresses
from cluster.process_node.client import ApiClient, ApiError, Json
from cluster.process_node.logs import ContainerLog, log_application, serve
from cluster.process_node.pod import PodRunner
from cluster.process_node.registration import register, renew_lease
from cluster.process_node.settings import NodeSettings

_log = logging.getLogger(__name__)


_PODS = "/api/v1/pods"
_RETRY_SECONDS = 1


class ProcessNode:
    """All pods of the node. Each pod has one task, until its object is gone."""

    def __init__(self, settings: NodeSettings, client: ApiClient, address: str) -> None:
        self._settings = settings
        self._client = client
        self._address = address
        self._pod_addresses = pod_addresses(address)
        self._pods: dict[str, PodRunner] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def follow_pods(self) -> None:
        """Act on every change of a pod of this node, without end. When a watch ends, list all pods again."""
        query = f"fieldSelector=spec.nodeName%3D{self._settings.name}"
        while True:
            try:
                listed = await self._client.get(f"{_PODS}?{query}")
                present = {pod["metadata"]["uid"] for pod in listed["items"]}
                for uid in self._pods.keys() - present:
                    self._pods[uid].vanish()
                for pod in listed["items"]:
                    self._update(pod)
                async for kind, pod in self._client.watch(_PODS, query, listed["metadata"]["resourceVersion"]):
                    if kind != "DELETED":
                        self._update(pod)
                    elif runner := self._pods.get(pod["metadata"]["uid"]):
                        runner.vanish()
            except ApiError as error:
                _log.warning("the watch of the pods failed: %s", error)
            await asyncio.sleep(_RETRY_SECONDS)

    def find_log(self, namespace: str, pod: str, container: str) -> ContainerLog | None:
        """Return the output of a container, for the log endpoint."""
        for runner in self._pods.values():
            metadata = runner.pod.metadata
            if (metadata.namespace, metadata.name) == (namespace, pod):
                return runner.find_log(container)
        return None

    def _update(self, pod: Json) -> None:
        uid = pod["metadata"]["uid"]
        if uid not in self._pods:
            addresses = (self._address, next(self._pod_addresses))
            self._pods[uid] = PodRunner(self._settings, self._client, pod, addresses)
            task = asyncio.create_task(self._run(self._pods[uid]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._pods[uid].update(pod)

    async def _run(self, runner: PodRunner) -> None:
        await runner.run()
        del self._pods[runner.pod.metadata.uid]
        shutil.rmtree(runner.folder, ignore_errors=True)


async def run_node(settings: NodeSettings) -> None:
    """Run a node until its process is killed. The caller then ends the processes of its pods."""
    listener, address = claim_address()
    async with ApiClient(settings) as client:
        node = ProcessNode(settings, client, address)
        await serve(log_application(node.find_log), listener, settings)
        await register(client, settings.name, address)
        _log.info("node %s is registered with address %s", settings.name, address)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(node.follow_pods())
            tasks.create_task(renew_lease(client, settings.name))
