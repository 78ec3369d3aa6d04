"""The node: gives every pod bound to it a runner, and cleans up after it."""

import asyncio
import logging
import shutil
import signal
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cluster.process_node.addresses import PodAddresses, claim_network
from cluster.process_node.client import Access, ApiClient, Change, insist
from cluster.process_node.container import Timing
from cluster.process_node.events import EventRecorder
from cluster.process_node.layout import NodeFolder, folder_name
from cluster.process_node.leftovers import end_leftovers
from cluster.process_node.logs import ContainerLogs, log_application, serve, server_context
from cluster.process_node.pod import NodeFacts, PodRunner, PodSlot
from cluster.process_node.programs import read_programs
from cluster.process_node.provisioner import provision, reclaim
from cluster.process_node.registration import Registration, machine_capacity

_log = logging.getLogger(__name__)

_CLOSE_SECONDS = 3


@dataclass(frozen=True)
class NodeSettings:
    """How a process node is started. The certificate of `access` serves the log endpoint as well."""

    name: str
    access: Access
    folder: Path
    programs: Path
    search_path: str
    timing: Timing = Timing()  # noqa: RUF009 - frozen


class ProcessNode:
    """All pods of the node, one task each for as long as the object exists."""

    def __init__(self, facts: NodeFacts, client: ApiClient, addresses: PodAddresses) -> None:
        self._facts = facts
        self._client = client
        self._addresses = addresses
        self._events = EventRecorder(client, facts.name)
        self._runners: dict[str, PodRunner] = {}
        self._lives: dict[str, asyncio.Task[None]] = {}

    async def follow_pods(self) -> None:
        """Act on every change of a pod bound here, for ever."""
        query = f"fieldSelector=spec.nodeName%3D{self._facts.name}"
        await self._clean_folders(query)
        async for change in self._client.follow("/api/v1/pods", query):
            self._take(change)

    async def close(self) -> None:
        """End the processes of all pods."""
        await asyncio.gather(*(runner.close(_CLOSE_SECONDS) for runner in self._runners.values()))
        for life in self._lives.values():
            life.cancel()
        await asyncio.gather(*self._lives.values(), return_exceptions=True)

    def find_logs(self, namespace: str, pod: str, container: str) -> ContainerLogs | None:
        """Find a container's output, for the log endpoint."""
        for runner in self._runners.values():
            if (runner.pod.namespace, runner.pod.name) == (namespace, pod) and runner.has(container):
                folder = self._facts.folder.pod(runner.pod.uid).container(container)
                return ContainerLogs(folder.root, partial(runner.may_write, container))
        return None

    def _take(self, change: Change) -> None:
        uid = change.item["metadata"]["uid"]
        runner = self._runners.get(uid)
        if change.kind == "DELETED":
            if runner:
                runner.vanish()
        elif runner:
            runner.update(change.item)
        else:
            leaving = {each for each, other in self._runners.items() if other.pod.deleting}
            given = self._addresses.give(change.item, leaving)
            after = self._runners[given.after].ended if given.after else None
            runner = PodRunner(self._facts, self._client, self._events, change.item, PodSlot(given.address, after))
            self._runners[uid] = runner
            self._lives[uid] = asyncio.create_task(self._live(runner))
            self._lives[uid].add_done_callback(_log_defect)

    async def _live(self, runner: PodRunner) -> None:
        uid = runner.pod.uid
        if not runner.pod.finished:
            try:
                await runner.run()
            except Exception as error:  # noqa: BLE001 - it becomes the pod's visible end
                _log.exception("%s: a defect of the process node", runner.pod.key)
                await runner.fail(f"a defect of the process node: {type(error).__name__}: {error}")
        runner.ended.set()
        await runner.leave()
        shutil.rmtree(self._facts.folder.pod(uid).root, ignore_errors=True)
        self._addresses.take_back(uid)
        self._events.forget(runner.pod)
        del self._runners[uid], self._lives[uid]

    async def _clean_folders(self, query: str) -> None:
        """Remove the folders of pods that went while no node was running."""
        present = {
            folder_name(item["metadata"]["uid"]) for item in (await self._client.get(f"/api/v1/pods?{query}"))["items"]
        }
        self._facts.folder.pods.mkdir(parents=True, exist_ok=True)
        for folder in self._facts.folder.pods.iterdir():
            if folder.name not in present:
                shutil.rmtree(folder)


def _log_defect(life: asyncio.Task[None]) -> None:
    if not life.cancelled() and (error := life.exception()):
        _log.error("a pod was given up by a defect of the process node", exc_info=error)


async def run_node(settings: NodeSettings) -> None:
    """Run a node until SIGTERM or SIGINT; its pods' processes end with it.

    Raises
    ------
    ValueError
        The mapping of programs is malformed.
    """
    read_programs(settings.programs)
    folder = NodeFolder(settings.folder.resolve())
    if ended := end_leftovers(folder.pods):
        _log.info("ended %d processes of an earlier run", len(ended))
    folder = folder.shorten()
    claim, network = claim_network()
    address, capacity = f"127.{network}.0.1", machine_capacity()
    facts = NodeFacts(
        settings.name, address, folder, settings.programs, settings.search_path, capacity, settings.timing
    )
    async with ApiClient(settings.access) as client:
        node = ProcessNode(facts, client, PodAddresses(network))
        registration = Registration(client, settings.name, address, capacity)
        context = server_context(settings.access.certificate, settings.access.key, settings.access.ca)
        server = await serve(log_application(node.find_logs), claim, context)
        await insist("registration", registration.register)
        _log.info("node %s is registered with address %s", settings.name, address)
        await _until_signal(node, registration, client, folder)
        await server.cleanup()
    folder.unshorten()


async def _until_signal(node: ProcessNode, registration: Registration, client: ApiClient, folder: NodeFolder) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        async with asyncio.TaskGroup() as tasks:
            works = (node.follow_pods(), registration.keep_alive(), provision(client, folder), reclaim(client, folder))
            running = [tasks.create_task(each) for each in works]
            await stop.wait()
            for task in running:
                task.cancel()
    finally:
        await node.close()
