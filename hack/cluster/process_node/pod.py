"""One pod of the node: its containers, its status, and its removal."""

import asyncio
import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from cluster.process_node.client import ApiClient, ApiError, Json, retry
from cluster.process_node.container import ContainerRunner, Launch
from cluster.process_node.environment import ConfigError, build_environment, expand
from cluster.process_node.leftovers import FOLDER_ENV
from cluster.process_node.logs import ContainerLog
from cluster.process_node.paths import ContainerPaths
from cluster.process_node.pods import Container, Pod
from cluster.process_node.programs import Program, find_program, read_programs
from cluster.process_node.settings import NodeSettings
from cluster.process_node.states import pod_status, wire_time
from cluster.process_node.volumes import PodVolumes

_log = logging.getLogger(__name__)


class PodRunner:
    """Runs one pod. ``update`` takes new versions of its object, ``vanish`` reports that the object is gone."""

    def __init__(self, settings: NodeSettings, client: ApiClient, raw: Json, addresses: tuple[str, str]) -> None:
        """Take a new pod, with the addresses of the node and of the pod."""
        self.pod = Pod.model_validate({**raw, "address": addresses[1]})
        self.folder = settings.pod_folder(self.pod.metadata.uid)
        self._settings = settings
        self._client = client
        self._fixed = {"hostIP": addresses[0], "podIP": addresses[1], "startTime": wire_time(datetime.now(UTC))}
        self._volumes = PodVolumes(client, self.folder / ".volumes", settings.folder / "claims")
        self._leaving = asyncio.Event()
        self._gone = asyncio.Event()
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()
        policy = self.pod.spec.restart_policy
        init_policy = "OnFailure" if policy == "Always" else policy
        self._init = [self._runner(each, init_policy) for each in self.pod.spec.init_containers]
        self._main = [self._runner(each, policy) for each in self.pod.spec.containers]
        self._all = (*self._init, *self._main)

    def _runner(self, container: Container, policy: str) -> ContainerRunner:
        grace = self.pod.spec.termination_grace_period_seconds
        return ContainerRunner(container, policy, grace, self._launch, self._changed.set, self._settings.timing)

    def update(self, raw: Json) -> None:
        """Take a new version of the object. A deletion ends the pod."""
        self.pod = Pod.model_validate({**raw, "address": self.pod.address})
        if self.pod.metadata.deletion_timestamp:
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
            options = {"gracePeriodSeconds": 0, "preconditions": {"uid": self.pod.metadata.uid}}
            await retry(f"deletion of {self.pod.path}", partial(self._client.delete, self.pod.path, options))
        await self._gone.wait()

    async def _run_to_the_end(self) -> None:
        """Run all containers to their end, and write the status after each change."""
        publisher = asyncio.create_task(self._publish())
        helpers = [asyncio.create_task(each) for each in (self._stop_when_leaving(), self._refresh_volumes())]
        await self._run_containers()
        for helper in helpers:
            helper.cancel()
        self._ended.set()
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
        metadata, grace = self.pod.metadata, self.pod.spec.termination_grace_period_seconds
        if metadata.deletion_grace_period_seconds is not None:
            grace = metadata.deletion_grace_period_seconds
        stopping = asyncio.create_task(self._stop_all(0 if self._gone.is_set() else grace))
        await self._gone.wait()  # the object may be deleted by force before the end of the grace period
        await self._stop_all(0)
        await stopping

    async def _stop_all(self, grace: float) -> None:
        await asyncio.gather(*(each.stop(grace) for each in self._all))

    async def _refresh_volumes(self) -> None:
        """Write the files of the volumes again and again, so that their tokens do not expire."""
        while True:
            await asyncio.sleep(self._settings.timing.refresh)
            try:
                await self._volumes.prepare(self.pod)
            except (ConfigError, ApiError, OSError) as error:
                _log.warning("%s: the volumes are not refreshed: %s", self.pod.path, error)

    async def _launch(self, container: Container) -> Launch:
        """Return everything that the process of a container needs, from the objects as they are now."""
        if fields := container.unsupported():
            raise ConfigError(f"a process node does not support {', '.join(fields)}")
        folder = self.folder / container.name
        paths = ContainerPaths(folder / "rootfs", container)
        program = find_program(read_programs(self._settings.programs), container.image)
        base = self._base_environment(folder, program)
        variables = await build_environment(self._client, self.pod, container, base)
        paths.link_mounts(await self._volumes.prepare(self.pod))
        # The node's own values and the program are paths of this machine already. They may be below a mount path.
        env = {name: value if base.get(name) == value else paths.rewrite(value) for name, value in variables.items()}
        words = (expand(word, variables) for word in program.command_line(container))
        argv = tuple(word if word in program.command else paths.rewrite(word) for word in words)
        for needed in ("rootfs", "home", "tmp"):
            (folder / needed).mkdir(parents=True, exist_ok=True)
        termination_file = paths.local(container.termination_message_path)
        return Launch(argv, env, paths.rootfs, folder / "log", termination_file, self.pod.address)

    def _base_environment(self, folder: Path, program: Program) -> Mapping[str, str]:
        server = urlsplit(self._settings.server)
        return {
            "PATH": self._settings.search_path,
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "HOSTNAME": self.pod.metadata.name,
            "LANG": os.environ.get("LANG", "C.UTF-8"),
            "KUBERNETES_SERVICE_HOST": server.hostname or "",
            "KUBERNETES_SERVICE_PORT": str(server.port),
            FOLDER_ENV: str(self._settings.folder),
            **program.variables(self.pod.address),
        }

    def find_log(self, container: str) -> ContainerLog | None:
        """Return the output of a container, for the log endpoint."""
        for runner in self._all:
            if runner.record.name == container:
                return ContainerLog(self.folder / container / "log", runner.has_ended)
        return None

    async def _publish(self) -> None:
        """Write the status after each change, until the pod has ended and its last status is written."""
        ended, written = False, Json()
        while not ended and not self._gone.is_set():
            ended = self._ended.is_set()
            self._changed.clear()
            records = [[each.record for each in runners] for runners in (self._init, self._main)]
            status = pod_status(records[0], records[1], self._fixed, written)
            if status != written:
                body = {"metadata": {"uid": self.pod.metadata.uid}, "status": status}
                path = f"{self.pod.path}/status"
                await retry(f"status of {self.pod.path}", partial(self._client.patch, path, body))
                written = status
            if not ended:
                await self._changed.wait()
