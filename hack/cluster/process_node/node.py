"""The node: runs all pods that the scheduler has assigned to it."""

import asyncio
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cluster.process_node.addresses import claim_address, pod_addresses
from cluster.process_node.client import Access, ApiClient, Change
from cluster.process_node.logs import ContainerLog, log_application, serve
from cluster.process_node.pod import NodeFacts, PodRunner
from cluster.process_node.registration import register, renew_lease

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NodeSettings:
    """How a process node is started. The certificate in ``access`` also serves the log endpoint."""

    name: str
    access: Access
    folder: Path
    programs: Path
    search_path: str


class ProcessNode:
    """All pods of the node. Each pod has one task, until its object is gone."""

    def __init__(self, facts: NodeFacts, client: ApiClient, addresses: Iterator[str]) -> None:
        self._facts = facts
        self._client = client
        self._addresses = addresses
        self._pods: dict[str, PodRunner] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def follow_pods(self) -> None:
        """Act on every change of a pod of this node, without end."""
        query = f"fieldSelector=spec.nodeName%3D{self._facts.name}"
        async for change in self._client.follow("/api/v1/pods", query):
            self._act(change)

    def find_log(self, namespace: str, pod: str, container: str) -> ContainerLog | None:
        """Return the output of a container, for the log endpoint."""
        for runner in self._pods.values():
            if (runner.pod.namespace, runner.pod.name) == (namespace, pod) and (log := runner.log_of(container)):
                return ContainerLog(log, partial(runner.may_log_more, container))
        return None

    def _act(self, change: Change) -> None:
        uid = change.item["metadata"]["uid"]
        runner = self._pods.get(uid)
        if change.kind == "DELETED":
            if runner:
                runner.vanish()
        elif runner:
            runner.update(change.item)
        else:
            self._pods[uid] = runner = PodRunner(self._facts, self._client, change.item, next(self._addresses))
            runner.update(change.item)
            task = asyncio.create_task(self._run(runner))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, runner: PodRunner) -> None:
        try:
            await runner.run()
        finally:
            del self._pods[runner.pod.uid]
            shutil.rmtree(runner.folder, ignore_errors=True)


async def run_node(settings: NodeSettings) -> None:
    """Run a node until its process is killed. The caller then ends the processes of its pods."""
    listener, address = claim_address()
    facts = NodeFacts(
        settings.name, settings.access.server, address, settings.folder, settings.programs, settings.search_path
    )
    async with ApiClient(settings.access) as client:
        node = ProcessNode(facts, client, pod_addresses(address))
        await serve(log_application(node.find_log), listener, settings.access)
        await register(client, settings.name, address)
        _log.info("node %s is registered with address %s", settings.name, address)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(node.follow_pods())
            tasks.create_task(renew_lease(client, settings.name))
