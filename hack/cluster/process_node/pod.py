"""One pod's life on the node: volumes, init containers, containers, status, end."""

import asyncio
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from cluster.process_node.client import ApiClient, ApiError, insist
from cluster.process_node.container import ContainerRunner, Launch, Timing
from cluster.process_node.environment import build_environment, expand, sources_of
from cluster.process_node.events import EventRecorder
from cluster.process_node.layout import ContainerFolder, NodeFolder, folder_name
from cluster.process_node.leftovers import MARK
from cluster.process_node.mounts import PathMap, link_mounts
from cluster.process_node.payloads import VolumeError
from cluster.process_node.podspec import Container, Json, Pod, not_offered, read_pod
from cluster.process_node.probes import ProbeTarget
from cluster.process_node.programs import ImageUnknownError, Program, command_line, find_program, read_programs
from cluster.process_node.states import (
    LOST_EXIT_CODE,
    LOST_REASON,
    ContainerRecord,
    PodAddress,
    PodVerdict,
    Progress,
    Terminated,
    Waiting,
    pod_status,
    recovered,
)
from cluster.process_node.volumes import SERVICE_ACCOUNT_PATH, PodVolumes, fetch_sources, write_kubeconfig

_log = logging.getLogger(__name__)

_STATUS_RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class NodeFacts:
    """What every pod needs to know of its node.

    `programs` is the mapping file, read at each start of a container, so that one can be added while the node runs;
    `search_path` is the PATH of every container.
    """

    name: str
    address: str
    folder: NodeFolder
    programs: Path
    search_path: str
    allocatable: Mapping[str, str]
    timing: Timing


@dataclass(frozen=True)
class PodSlot:
    """A pod's address, and where another pod had it, the event of that one's end."""

    address: str
    after: asyncio.Event | None = None


class PodRunner:
    """Runs one pod: `run` to its end, then `leave` until the object is gone; `update` tells it of changes."""

    def __init__(self, facts: NodeFacts, client: ApiClient, events: EventRecorder, raw: Json, slot: PodSlot) -> None:
        self.ended = asyncio.Event()
        self._ip = slot.address
        self._after = slot.after
        self._facts = facts
        self._client = client
        self._events = events
        self._pod = read_pod(raw)
        self._address = PodAddress(facts.address, slot.address, _started_at(self._pod))
        self._folder = facts.folder.pod(self._pod.uid)
        self._volumes = PodVolumes(client, self._folder, facts.allocatable)
        self._volume_folders: Mapping[str, Path] = {}
        self._verdict: PodVerdict | None = None
        self._stop = asyncio.Event()
        self._leaving = asyncio.Event()
        self._gone = asyncio.Event()
        self._dirty = asyncio.Event()
        self._settled = False
        self._written: Json | None = None
        self._init = [self._runner(each, init=True) for each in self._pod.init_containers]
        self._main = [self._runner(each, init=False) for each in self._pod.containers]

    @property
    def pod(self) -> Pod:
        """The pod as last told."""
        return self._pod

    def update(self, raw: Json) -> None:
        """Take a new version of the object; a deletion ends the pod."""
        self._pod = read_pod(raw)
        if self._pod.deleting:
            self._leaving.set()
            self._stop.set()

    def vanish(self) -> None:
        """The object is gone: end everything at once."""
        _log.info("%s: the object is gone", self._pod.key)
        self._gone.set()
        self._leaving.set()
        self._stop.set()
        for runner in self._all:
            runner.kill()

    async def run(self) -> None:
        """Run the pod to its end: by itself, by its deadline or by its deletion."""
        publisher = asyncio.create_task(self._publish_changes())
        self.changed()
        if unsupported := not_offered(self._pod):
            self.report("NotOffered", f"a process node does not offer: {', '.join(unsupported)}", warning=True)
        work = asyncio.create_task(self._work())
        stop = asyncio.create_task(self._stop.wait())
        try:
            waiters = {work, stop, publisher}
            await asyncio.wait(waiters, timeout=self._seconds_left(), return_when=asyncio.FIRST_COMPLETED)
            if publisher.done():
                await publisher  # a defect, which must not stay unseen
            if not work.done():
                await self._end(work)
            await work
        finally:
            stop.cancel()
            self._settled = True
            self.changed()
            await publisher  # not cancelled: a write on its way could overtake the last one

    async def leave(self) -> None:
        """Wait until someone deletes the pod, let it go, and wait until it is gone."""
        await self._leaving.wait()
        if not self._gone.is_set():
            path = f"/api/v1/namespaces/{self._pod.namespace}/pods/{self._pod.name}"
            options = {"gracePeriodSeconds": 0, "preconditions": {"uid": self._pod.uid}}
            await insist(f"removal of {self._pod.key}", partial(self._client.delete, path, options))
        await self._gone.wait()

    async def fail(self, message: str) -> None:
        """Give the pod up, visibly."""
        self._verdict = PodVerdict("ProcessNodeError", message)
        await self._stop_all(0)
        self._mark_lost()
        await self._publish()

    async def close(self, grace: float) -> None:
        """End all processes because the node ends; the object keeps its last status."""
        self._gone.set()
        self._stop.set()
        await self._stop_all(grace)

    def has(self, container: str) -> bool:
        """Whether the pod has a container of this name."""
        return any(each.record.name == container for each in self._all)

    def may_write(self, container: str) -> bool:
        """Whether more output of the container can come."""
        return not self._gone.is_set() and any(
            each.record.name == container and not each.record.done for each in self._all
        )

    @property
    def _all(self) -> list[ContainerRunner]:
        return [*self._init, *self._main]

    async def _stop_all(self, grace: float) -> None:
        await asyncio.gather(*(runner.stop(grace) for runner in self._all))

    async def _end(self, work: asyncio.Task[None]) -> None:
        """Stop before the natural end: the pod was deleted, or its time is over."""
        if not self._stop.is_set():
            self._verdict = PodVerdict(
                "DeadlineExceeded", "Pod was active on the node longer than the specified deadline"
            )
            self._stop.set()
        await self._stop_all(0 if self._gone.is_set() else self._pod.grace_seconds)
        await work
        self._mark_lost()

    def _mark_lost(self) -> None:
        """Give containers that never had a process, or have none any more, an end: a pod ends only with all of them."""
        now = datetime.now(UTC)
        lost = Terminated(LOST_EXIT_CODE, LOST_REASON, "the container had no process when the pod was ended", now, now)
        for runner in self._main:
            state = runner.record.state
            runner.record = replace(runner.record, state=state if isinstance(state, Terminated) else lost, done=True)

    async def _work(self) -> None:
        if self._after:
            await self._first(self._after)
        if not await self._mount():
            return
        refresher = asyncio.create_task(self._refresh())
        try:
            for runner in self._init:
                await runner.run()
                if self._stop.is_set() or runner.record.failed:
                    return
                runner.record = replace(runner.record, ready=True)
            await asyncio.gather(*(runner.run() for runner in self._main))
        finally:
            refresher.cancel()
            await asyncio.gather(refresher, return_exceptions=True)

    async def _first(self, event: asyncio.Event) -> None:
        """Wait for an event, or for the order to stop."""
        waiters = [asyncio.create_task(each.wait()) for each in (event, self._stop)]
        await asyncio.wait(waiters, return_when=asyncio.FIRST_COMPLETED)
        for wait in waiters:
            wait.cancel()

    async def _mount(self) -> bool:
        """Prepare the volumes, as often as it takes; False when the pod was stopped meanwhile."""
        wait = self._facts.timing.retry_first
        while not self._stop.is_set():
            try:
                self._volume_folders = await self._volumes.prepare(self._pod)
            except (VolumeError, OSError, TimeoutError, aiohttp.ClientError) as error:
                self.report("FailedMount", str(error), warning=True)
            else:
                return True
            try:
                await asyncio.wait_for(self._stop.wait(), wait)
            except TimeoutError:
                wait = min(wait * 2, self._facts.timing.retry_limit)
        return False

    async def _refresh(self) -> None:
        """Keep files of volumes fresh: changed ConfigMaps, tokens before they end."""
        while True:
            await asyncio.sleep(self._facts.timing.refresh)
            try:
                self._volume_folders = await self._volumes.prepare(self._pod)
                for container in (*self._pod.init_containers, *self._pod.containers):
                    self._write_kubeconfig(container, self._folder.container(container.name))
            except (VolumeError, OSError, TimeoutError, aiohttp.ClientError) as error:
                self.report("FailedMount", str(error), warning=True)

    def _runner(self, container: Container, *, init: bool) -> ContainerRunner:
        held = self._pod.raw.get("status", {}).get("initContainerStatuses" if init else "containerStatuses", [])
        reason = "ContainerCreating" if init or not self._pod.init_containers else "PodInitializing"
        fresh = ContainerRecord(container.name, container.image, Waiting(reason))
        mine = next((each for each in held if each["name"] == container.name), None)
        policy = self._pod.restart_policy
        restart = "OnFailure" if init and policy == "Always" else policy
        record = recovered(fresh, mine, datetime.now(UTC))
        return ContainerRunner(container, record, restart, self, self._facts.timing)

    def log(self, container: Container, restarts: int) -> Path:
        """File for the output of a container after so many restarts."""
        return self._folder.container(container.name).log(restarts)

    async def launch(self, container: Container) -> Launch:
        """Work out everything that a container's process needs, from the objects as they are now."""
        folder = self._folder.container(container.name)
        folder.create()
        program = find_program(_read(self._facts.programs), container.image)
        sources = await fetch_sources(self._client, self._pod.namespace, sources_of(container))
        base = self._base_environment(folder) | program.variables(self._ip)
        if self._write_kubeconfig(container, folder):
            base["KUBECONFIG"] = str(folder.kubeconfig)
        variables = build_environment(self._placed_pod(), container, sources, base, self._facts.allocatable)
        sub_paths = {m.path: expand(m.sub_path_expression, variables) or m.sub_path for m in container.mounts}
        link_mounts(folder.rootfs, container.mounts, self._volume_folders, sub_paths)
        paths = PathMap(folder.rootfs, tuple(mount.path for mount in container.mounts), container.termination_path)
        # What the node itself says names real folders already, which may lie below a mount path such as /tmp.
        env = {name: value if base.get(name) == value else paths.rewrite(value) for name, value in variables.items()}
        working = paths.local(container.working_dir)
        working.mkdir(parents=True, exist_ok=True)
        local = {*program.entrypoint, *program.arguments}
        words = (expand(word, variables) for word in command_line(program, container))
        argv = tuple(word if word in local else paths.rewrite(word) for word in words)
        target = ProbeTarget(self._ip, container.ports, env, working, folder.root / "probe.log", paths.rewrite)
        return Launch(argv, env, working, paths.local(container.termination_path), target)

    def _placed_pod(self) -> Pod:
        """The pod with its address, which the API server may not have been told yet."""
        status = {**self._pod.raw.get("status", {}), "podIP": self._ip, "hostIP": self._facts.address}
        return replace(self._pod, raw={**self._pod.raw, "status": status})

    def _base_environment(self, folder: ContainerFolder) -> dict[str, str]:
        server = urlsplit(self._client.access.server)
        return {
            "PATH": self._facts.search_path,
            "HOME": str(folder.home),
            "TMPDIR": str(folder.temporary),
            "HOSTNAME": self._pod.name,
            "LANG": os.environ.get("LANG", "C.UTF-8"),
            "KUBERNETES_SERVICE_HOST": server.hostname or "",
            "KUBERNETES_SERVICE_PORT": str(server.port),
            "KUBERNETES_SERVICE_PORT_HTTPS": str(server.port),
            MARK: str(self._facts.folder.pods / folder_name(self._pod.uid)),
        }

    def _write_kubeconfig(self, container: Container, folder: ContainerFolder) -> bool:
        mount = next((each for each in container.mounts if each.path == SERVICE_ACCOUNT_PATH), None)
        if mount is None or not folder.root.exists():
            return False
        account = self._volume_folders[mount.volume]
        write_kubeconfig(folder.kubeconfig, self._client.access.server, account, self._pod.namespace)
        return True

    def _seconds_left(self) -> float | None:
        if self._pod.active_deadline_seconds is None:
            return None
        used = (datetime.now(UTC) - self._address.started_at).total_seconds()
        return max(0.0, self._pod.active_deadline_seconds - used)

    def changed(self) -> None:
        """Take note that the status has changed."""
        self._dirty.set()

    def report(self, reason: str, message: str, *, warning: bool = False) -> None:
        """Write an event about the pod."""
        self._events.record(self._pod, reason, message, warning=warning)

    async def _publish_changes(self) -> None:
        settled = False
        while not settled:
            await self._dirty.wait()
            self._dirty.clear()
            settled = self._settled  # what changes during the write is written next
            await self._publish()

    async def _publish(self) -> None:
        """Write the status if it has changed, until the API server has it or the pod is gone."""
        while not self._gone.is_set():
            progress = Progress(
                [each.record for each in self._init], [each.record for each in self._main], self._verdict
            )
            held = (self._written or self._pod.raw.get("status", {})).get("conditions", [])
            status = pod_status(self._pod, self._address, progress, held, datetime.now(UTC))
            if status == self._written:
                return
            path = f"/api/v1/namespaces/{self._pod.namespace}/pods/{self._pod.name}/status"
            try:
                await self._client.patch(path, {"metadata": {"uid": self._pod.uid}, "status": status})
            except ApiError as error:
                if error.status in {404, 409}:
                    _log.info("%s: status not wanted any more: %s", self._pod.key, error)
                    return
                _log.warning("%s: status not written: %s", self._pod.key, error)
            except (aiohttp.ClientError, TimeoutError) as error:
                _log.warning("%s: status not written: %s", self._pod.key, error)
            else:
                self._written = status
                return
            await asyncio.sleep(_STATUS_RETRY_SECONDS)


def _started_at(pod: Pod) -> datetime:
    text = pod.raw.get("status", {}).get("startTime")
    return datetime.fromisoformat(text) if text else datetime.now(UTC)


def _read(programs: Path) -> Mapping[str, Program]:
    try:
        return read_programs(programs)
    except (OSError, ValueError) as error:
        raise ImageUnknownError(str(error)) from error
