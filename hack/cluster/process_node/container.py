"""One container of a pod: start, probes, restarts by the restart policy, and the end."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cluster.process_node.local_process import LocalProcess
from cluster.process_node.pods import Container, Probe
from cluster.process_node.probes import verdict
from cluster.process_node.programs import ImageUnknownError
from cluster.process_node.settings import Timing
from cluster.process_node.states import ContainerRecord, running, terminated, waiting

_log = logging.getLogger(__name__)

START_ERROR_CODE = 128
LOST_EXIT_CODE = 137
MESSAGE_BYTES = 4096
_LOG_MESSAGE_BYTES = 2048


@dataclass(frozen=True)
class Launch:
    """Everything that the process of a container needs."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    folder: Path
    log: Path
    termination_file: Path
    address: str


class ContainerRunner:
    """Runs one container until it has ended and is not started again, or :meth:`stop` is called.

    Parameters
    ----------
    grace
        Seconds between SIGTERM and SIGKILL if a probe fails.
    launch
        Returns how to start the container now. Raises ConfigError, ImageUnknownError or ApiError if it cannot start.
    changed
        Called after each change of ``record``.
    """

    def __init__(
        self,
        container: Container,
        restart_policy: str,
        grace: float,
        launch: Callable[[Container], Awaitable[Launch]],
        changed: Callable[[], None],
        timing: Timing,
    ) -> None:
        self.record = ContainerRecord(container.name, container.image, waiting("ContainerCreating"))
        self._container = container
        self._restart_policy = restart_policy
        self._launch = launch
        self._changed = changed
        self._timing = timing
        self._process: LocalProcess | None = None
        self._grace = grace
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Run the container to its end."""
        while not self._stop.is_set():
            launch = await self._prepare()
            if launch is None:
                await self._pause(self._timing.retry)
                continue
            if self._stop.is_set():
                break
            code = await self._run_once(launch)
            if self._restart_policy == "Never" or (self._restart_policy == "OnFailure" and code == 0):
                break
            await self._back_off()
        state = self.record.state
        if "waiting" in state:
            message = "the pod ended before this container started"
            state = self.record.last_state or terminated(
                LOST_EXIT_CODE, "ContainerStatusUnknown", message, datetime.now(UTC)
            )
        self._set(state=state, done=True)

    async def stop(self, grace: float) -> None:
        """End the process: SIGTERM, and SIGKILL after ``grace`` seconds. It is not started again."""
        self._grace = grace
        self._stop.set()
        if self._process:
            await self._process.end(grace)

    def has_ended(self) -> bool:
        """Return whether the container has ended and is not started again."""
        return self.record.done

    async def _prepare(self) -> Launch | None:
        try:
            return await self._launch(self._container)
        except ImageUnknownError as error:
            problem = waiting("ErrImagePull", str(error))
        except Exception as error:  # noqa: BLE001 - show errors of this node, too, in the status of the pod
            problem = waiting("CreateContainerConfigError", str(error) or type(error).__name__)
        self._set(state=problem)
        return None

    async def _run_once(self, launch: Launch) -> int:
        begin = datetime.now(UTC)
        launch.termination_file.parent.mkdir(parents=True, exist_ok=True)
        launch.termination_file.write_bytes(b"")
        if launch.log.exists():
            launch.log.replace(previous_log(launch.log))
        try:
            process = await LocalProcess.start(launch.argv, launch.env, launch.folder, launch.log)
        except OSError as error:
            message = f"cannot start {launch.argv[0]!r}: {error.strerror or error}"
            self._set(state=terminated(START_ERROR_CODE, "StartError", message, begin))
            return START_ERROR_CODE
        self._process = process
        started = self._container.startup_probe is None
        ready = started and self._container.readiness_probe is None
        self._set(state=running(begin), started=started, ready=ready)
        probes = asyncio.create_task(self._probe(process, launch.address))
        if self._stop.is_set():  # it was stopped while its process started
            await process.end(self._grace)
        code = await process.wait()
        self._process = None
        probes.cancel()
        await asyncio.gather(probes, return_exceptions=True)
        ended = terminated(code, "Error" if code else "Completed", self._message(launch, code), begin)
        self._set(state=ended, ready=False, started=False)
        return code

    async def _back_off(self) -> None:
        """Wait before a restart. The first restart is immediate, then the delay doubles."""
        restarts, ended = self.record.restarts, self.record.state
        if restarts:
            delay = min(self._timing.first_restart * 2 ** min(restarts - 1, 10), self._timing.longest_restart)
            message = f"back-off {delay:g}s restarting failed container={self._container.name}"
            self._set(state=waiting("CrashLoopBackOff", message), last_state=ended)
            await self._pause(delay)
        if not self._stop.is_set():
            self._set(state=waiting("ContainerCreating"), last_state=ended, restarts=restarts + 1)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return

    async def _probe(self, process: LocalProcess, address: str) -> None:
        """Run the probes. Readiness and liveness probes start after the startup probe has succeeded."""
        container = self._container
        if container.startup_probe:
            if problem := await verdict(container.startup_probe, container, address):
                await self._end_unhealthy(process, f"Startup probe failed: {problem}")
                return
            self._set(started=True, ready=container.readiness_probe is None)
        await asyncio.gather(
            self._probe_readiness(container.readiness_probe, address),
            self._probe_liveness(container.liveness_probe, process, address),
        )

    async def _probe_readiness(self, probe: Probe | None, address: str) -> None:
        while probe:
            self._set(ready=await verdict(probe, self._container, address) is None)
            await asyncio.sleep(probe.period_seconds)

    async def _probe_liveness(self, probe: Probe | None, process: LocalProcess, address: str) -> None:
        while probe:
            if problem := await verdict(probe, self._container, address):
                await self._end_unhealthy(process, f"Liveness probe failed: {problem}")
            await asyncio.sleep(probe.period_seconds)

    async def _end_unhealthy(self, process: LocalProcess, problem: str) -> None:
        _log.warning("container %s: %s", self._container.name, problem)
        await process.end(self._grace)

    def _message(self, launch: Launch, code: int) -> str:
        """Return the termination message. If the policy says so, it is the end of the output after an error."""
        file = launch.termination_file
        data = file.read_bytes()[:MESSAGE_BYTES] if file.is_file() else b""
        if not data and code and self._container.termination_message_policy == "FallbackToLogsOnError":
            data = launch.log.read_bytes()[-_LOG_MESSAGE_BYTES:].rstrip()
        return data.decode(errors="replace")

    def _set(self, **changes: Any) -> None:
        self.record = replace(self.record, **changes)
        self._changed()


def previous_log(log: Path) -> Path:
    """Return where the output before the last restart is."""
    return log.with_suffix(".previous")
