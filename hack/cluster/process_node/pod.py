"""One pod of the node: its containers, its status, and its removal."""

import asyncio
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from cluster.process_node.client import ApiClient, ApiError, Json, retry
from cluster.process_node.container import ContainerRunner, Launch, Timing
from cluster.process_node.environment import ConfigError, build_environment, expand
from cluster.process_node.leftovers import FOLDER_ENV
from cluster.process_node.paths import ContainerPaths
from cluster.process_node.pods import Container, Pod
from cluster.process_node.probes import ProbeTarget
from cluster.process_node.programs import Program, find_program, read_programs
from cluster.process_node.states import Progress, pod_status
from cluster.process_node.volumes import PodVolumes

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NodeFacts:
    """What every pod needs to know of its node.

    Attributes
    ----------
    folder
        Of the pods and their volumes. Its path is short, because programs put sockets below it: a socket's path has at
        most 107 bytes.
    programs
        The file that maps images to programs. It is read whenever a container starts.
    search_path
        The PATH of every container.
    """

    name: str
    server: str
    address: str
    folder: Path
    programs: Path
    search_path: str
    timing: Timing = Timing()  # noqa: RUF009 - it is frozen

    def pod_folder(self, uid: str) -> Path:
        """Return the folder of a pod. The last twelve digits of a uid are random."""
        return self.folder / "pods" / uid.rpartition("-")[2]


class PodRunner:
    """Runs one pod. ``update`` takes new versions of its object, ``vanish`` reports that the object is gone."""

    def __init__(self, facts: NodeFacts, client: ApiClient, raw: Json, address: str) -> None:
        self.pod = Pod.read(raw, address)
        self.folder = facts.pod_folder(self.pod.uid)
        self._facts = facts
        self._client = client
        self._started_at = datetime.now(UTC)
        self._volumes = PodVolumes(client, self.folder / ".volumes", facts.folder / "claims")
        self._leaving = asyncio.Event()
        self._gone = asyncio.Event()
        self._changed = asyncio.Event()
        self._ended = False
        self._defect = ""
        self._written: Json = {}
        policy = self.pod.spec.restart_policy
        self._init = [
            self._runner(each, "OnFailure" if policy == "Always" else policy) for each in self.pod.spec.init_containers
        ]
        self._main = [self._runner(each, policy) for each in self.pod.spec.containers]

    def _runner(self, container: Container, policy: str) -> ContainerRunner:
        grace = self.pod.spec.termination_grace_period_seconds
        return ContainerRunner(container, policy, grace, self._launch, self._changed.set, self._facts.timing)

    def update(self, raw: Json) -> None:
        """Take a new version of the object. A deletion ends the pod."""
        self.pod = Pod(raw, self.pod.address, self.pod.spec)
        if self.pod.deleting:
            self._leaving.set()

    def vanish(self) -> None:
        """End all processes at once: the object is gone."""
        self._gone.set()
        self._leaving.set()

    async def run(self) -> None:
        """Run the pod until its object is gone."""
        await self._run_to_the_end()
        await self._leaving.wait()
        if not self._gone.is_set():
            options = {"gracePeriodSeconds": 0, "preconditions": {"uid": self.pod.uid}}
            await retry(f"deletion of {self.pod.path}", partial(self._client.delete, self.pod.path, options))
        await self._gone.wait()

    async def _run_to_the_end(self) -> None:
        """Run all containers to their end, and write the status after each change."""
        publisher = asyncio.create_task(self._publish())
        helpers = [asyncio.create_task(each) for each in (self._stop_when_leaving(), self._refresh_volumes())]
        try:
            await self._run_containers()
        except Exception as error:  # noqa: BLE001 - a defect of the node must not leave the pod running for ever
            _log.exception("%s: a defect of the process node", self.pod.path)
            self._defect = f"a defect of the process node: {type(error).__name__}: {error}"
            await self._stop_all(0)
        for helper in helpers:
            helper.cancel()
        self._ended = True
        self._changed.set()
        await publisher

    async def _run_containers(self) -> None:
        for runner in self._init:
            await runner.run()
            if runner.record.failed:
                return
        await asyncio.gather(*(runner.run() for runner in self._main))

    async def _stop_when_leaving(self) -> None:
        await self._leaving.wait()
        await self._stop_all(0 if self._gone.is_set() else self.pod.grace_seconds)

    async def _stop_all(self, grace: float) -> None:
        await asyncio.gather(*(runner.stop(grace) for runner in (*self._init, *self._main)))

    async def _refresh_volumes(self) -> None:
        """Write the files of the volumes again and again, so that their tokens do not expire."""
        while True:
            await asyncio.sleep(self._facts.timing.refresh)
            try:
                await self._volumes.prepare(self.pod)
            except (ConfigError, ApiError, OSError) as error:
                _log.warning("%s: the volumes are not refreshed: %s", self.pod.path, error)

    async def _launch(self, container: Container) -> Launch:
        """Return everything that the process of a container needs, from the objects as they are now."""
        if fields := list(container.not_offered()):
            raise ConfigError(f"a process node does not support {', '.join(fields)}")
        folder = self.folder / container.name
        paths = ContainerPaths(folder / "rootfs", container)
        program = find_program(read_programs(self._facts.programs), container.image)
        base = self._base_environment(folder, program)
        variables = await build_environment(self._client, self.pod, container, base)
        paths.link_mounts(await self._volumes.prepare(self.pod))
        # The node's own values and the program are paths of this machine already. They may be below a mount path.
        env = {name: value if base.get(name) == value else paths.rewrite(value) for name, value in variables.items()}
        words = (expand(word, variables) for word in program.command_line(container))
        argv = tuple(word if word in program.command else paths.rewrite(word) for word in words)
        working_folder = paths.local(container.working_dir)
        for needed in (working_folder, folder / "home", folder / "tmp"):
            needed.mkdir(parents=True, exist_ok=True)
        termination_file = paths.local(container.termination_message_path)
        target = ProbeTarget(self.pod.address, container)
        return Launch(argv, env, working_folder, folder / "log", termination_file, target)

    def _base_environment(self, folder: Path, program: Program) -> Mapping[str, str]:
        server = urlsplit(self._facts.server)
        return {
            "PATH": self._facts.search_path,
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "HOSTNAME": self.pod.name,
            "LANG": os.environ.get("LANG", "C.UTF-8"),
            "KUBERNETES_SERVICE_HOST": server.hostname or "",
            "KUBERNETES_SERVICE_PORT": str(server.port),
            FOLDER_ENV: str(self._facts.folder),
            **program.variables(self.pod.address),
        }

    def log_of(self, container: str) -> Path | None:
        """Return the file with a container's output, or ``None`` if the pod has no such container."""
        found = any(each.record.name == container for each in (*self._init, *self._main))
        return self.folder / container / "log" if found else None

    def may_log_more(self, container: str) -> bool:
        """Return whether more output of a container can come."""
        records = [each.record for each in (*self._init, *self._main)]
        return not self._ended and any(each.name == container and not each.done for each in records)

    async def _publish(self) -> None:
        """Write the status after each change, until the pod has ended and its last status is written."""
        ended = False
        while not ended and not self._gone.is_set():
            ended = self._ended
            progress = Progress(
                [each.record for each in self._init], [each.record for each in self._main], self._defect
            )
            addresses = (self._facts.address, self.pod.address)
            before = self._written.get("conditions", [])
            status = pod_status(progress, addresses, self._started_at, before, datetime.now(UTC))
            if status != self._written:
                body = {"metadata": {"uid": self.pod.uid}, "status": status}
                await retry(f"status of {self.pod.path}", partial(self._client.patch, f"{self.pod.path}/status", body))
                self._written = status
            if not ended:
                await self._changed.wait()
                self._changed.clear()
