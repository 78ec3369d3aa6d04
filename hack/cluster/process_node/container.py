"""One container's life: start it, watch it, start it again as the restart policy says, end it on request."""

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

import aiohttp

from cluster.process_node.client import ApiError
from cluster.process_node.environment import ConfigError
from cluster.process_node.local_process import LocalProcess
from cluster.process_node.mounts import MountError
from cluster.process_node.podspec import Container, Probe
from cluster.process_node.probes import ProbeTarget, Report, watch_probe
from cluster.process_node.programs import ImageUnknownError
from cluster.process_node.states import ContainerRecord, Running, Terminated, Waiting

START_ERROR_CODE = 128
MESSAGE_LIMIT = 4096
_LOG_MESSAGE_LIMIT = 2048
_LOG_MESSAGE_LINES = 80
_IMAGE_REASONS = ("ErrImagePull", "ImagePullBackOff")


@dataclass(frozen=True)
class Timing:
    """Waits in seconds; the restart figures are the kubelet's."""

    retry_first: float = 0.2
    retry_limit: float = 5
    restart_first: float = 10
    restart_limit: float = 300
    restart_forgiven_after: float = 600
    refresh: float = 30


@dataclass(frozen=True)
class Launch:
    """All that is needed to start a process for a container."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    folder: Path
    termination_file: Path
    probe_target: ProbeTarget


class Host(Protocol):
    """What a container needs of its pod."""

    def log(self, container: Container, restarts: int) -> Path:
        """File for the output after so many restarts."""

    async def launch(self, container: Container) -> Launch:
        """Work out how to start it now; raises ConfigError, MountError or ImageUnknownError where it has to wait."""

    def changed(self) -> None:
        """Take note that a record has changed."""

    def report(self, reason: str, message: str, *, warning: bool = False) -> None:
        """Write an event."""


class ContainerRunner:
    """Runs one container until it has ended for good or `stop` is called."""

    def __init__(
        self,
        container: Container,
        record: ContainerRecord,
        restart: Literal["Always", "OnFailure", "Never"],
        host: Host,
        timing: Timing,
    ) -> None:
        self.record = record
        self._container = container
        self._restart = restart
        self._host = host
        self._timing = timing
        self._process: LocalProcess | None = None
        self._stop = asyncio.Event()
        self._watches: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Run to the end: returns when the container is not to be started again."""
        retry, delay = self._timing.retry_first, 0.0
        while not self._stop.is_set():
            if isinstance(ended := self.record.state, Terminated):
                if not self._starts_again(ended.exit_code):
                    break
                delay = self._next_delay(ended, delay)
                await self._back_off(ended, delay)
                continue
            launch = await self._prepare()
            if launch is None or self._stop.is_set():
                await self._pause(retry)
                retry = min(retry * 2, self._timing.retry_limit)
                continue
            retry = self._timing.retry_first
            await self._run_once(launch)
        self._set(replace(self.record, done=True))

    async def stop(self, grace: float) -> None:
        """End the process: SIGTERM, after `grace` seconds SIGKILL. Nothing is started afterwards."""
        self._stop.set()
        if self._process:
            await _end(self._process, grace)

    def kill(self) -> None:
        """End the process at once and start nothing afterwards."""
        self._stop.set()
        if self._process:
            self._process.kill()

    async def _prepare(self) -> Launch | None:
        """Work out the start; None, with the reason in the state, where it has to wait."""
        try:
            return await self._host.launch(self._container)
        except ImageUnknownError as error:
            state = self.record.state
            again = isinstance(state, Waiting) and state.reason in _IMAGE_REASONS
            self._wait_because(_IMAGE_REASONS[again], str(error))
        except (ConfigError, MountError, OSError) as error:
            self._wait_because("CreateContainerConfigError", str(error))
        except (ApiError, aiohttp.ClientError, TimeoutError) as error:
            self._wait_because("CreateContainerConfigError", f"the API server did not answer: {error}")
        return None

    def _wait_because(self, reason: str, message: str) -> None:
        self._set(replace(self.record, state=Waiting(reason, message), ready=False, started=False))
        self._host.report("Failed", f"container {self._container.name}: {message}", warning=True)

    async def _run_once(self, launch: Launch) -> None:
        launch.termination_file.parent.mkdir(parents=True, exist_ok=True)
        launch.termination_file.write_bytes(b"")
        log = self._host.log(self._container, self.record.restarts)
        begin = datetime.now(UTC)
        try:
            process = LocalProcess(launch.argv, launch.env, launch.folder, log)
        except OSError as error:
            message = f"cannot start {launch.argv[0]!r}: {error.strerror or error}"
            self._set(replace(self.record, state=Terminated(START_ERROR_CODE, "StartError", message, begin, begin)))
            return
        self._process = process
        started = self._container.startup is None
        ready = started and self._container.readiness is None
        self._set(replace(self.record, state=Running(begin), ready=ready, started=started))
        self._host.report("Started", f"started container {self._container.name}")
        self._watch(launch.probe_target)
        code = await process.wait()
        self._process = None
        await self._end_watches()
        message = read_message(launch.termination_file, log, code, log_on_error=self._container.log_is_message_on_error)
        ended = Terminated(code, "Completed" if code == 0 else "Error", message, begin, datetime.now(UTC))
        self._set(replace(self.record, state=ended, ready=False, started=False))

    def _starts_again(self, code: int) -> bool:
        return self._restart == "Always" or (self._restart == "OnFailure" and code != 0)

    def _next_delay(self, ended: Terminated, last: float) -> float:
        """The first restart is immediate, as a kubelet does it; then the wait doubles."""
        if self.record.restarts == 0:
            return 0
        ran = (ended.finished_at - ended.started_at).total_seconds()
        if last == 0 or ran > self._timing.restart_forgiven_after:
            return self._timing.restart_first
        return min(last * 2, self._timing.restart_limit)

    async def _back_off(self, ended: Terminated, delay: float) -> None:
        """Wait and step to the next restart; a stop meanwhile leaves the end as it was."""
        if delay:
            message = f"back-off {delay:g}s restarting failed container={self._container.name}"
            self._set(replace(self.record, state=Waiting("CrashLoopBackOff", message), last_state=ended))
            self._host.report("BackOff", f"back-off restarting failed container {self._container.name}", warning=True)
            await self._pause(delay)
        if self._stop.is_set():
            self._set(replace(self.record, state=ended))
        else:
            waiting = Waiting("ContainerCreating")
            self.record = replace(self.record, state=waiting, last_state=ended, restarts=self.record.restarts + 1)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return

    def _watch(self, target: ProbeTarget) -> None:
        """Start the probes; readiness and liveness wait for the startup probe."""
        container, gate = self._container, asyncio.Event()

        def on_startup(problem: str | None) -> None:
            if gate.is_set():
                return
            if problem:
                self._end_unhealthy(f"Startup probe failed: {problem}")
                return
            gate.set()
            self._set(replace(self.record, started=True, ready=container.readiness is None))

        async def after_startup(probe: Probe, report: Report) -> None:
            await gate.wait()
            await watch_probe(probe, target, report)

        if container.startup:
            self._spawn(watch_probe(container.startup, target, on_startup))
        else:
            gate.set()
        if container.readiness:
            self._spawn(after_startup(container.readiness, self._on_readiness))
        if container.liveness:
            self._spawn(after_startup(container.liveness, self._on_liveness))

    def _on_readiness(self, problem: str | None) -> None:
        if (problem is None) != self.record.ready:
            self._set(replace(self.record, ready=problem is None))
        if problem:
            self._host.report("Unhealthy", f"Readiness probe failed: {problem}", warning=True)

    def _on_liveness(self, problem: str | None) -> None:
        if problem:
            self._end_unhealthy(f"Liveness probe failed: {problem}")

    def _end_unhealthy(self, why: str) -> None:
        self._host.report("Unhealthy", why, warning=True)
        if self._process:
            self._spawn(_end(self._process, self._container.grace_seconds))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._watches.append(asyncio.create_task(work))

    async def _end_watches(self) -> None:
        for task in self._watches:
            task.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        self._watches = []

    def _set(self, record: ContainerRecord) -> None:
        self.record = record
        self._host.changed()


async def _end(process: LocalProcess, grace: float) -> None:
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), grace)
    except TimeoutError:
        process.kill()
        await process.wait()


def read_message(file: Path, log: Path, code: int, *, log_on_error: bool) -> str:
    """Read what a container left as its last word, cut to 4096 bytes; after an error, where asked, its output's end."""
    data = b""
    if file.is_file():
        with file.open("rb") as content:
            data = content.read(MESSAGE_LIMIT)
    if not data and code != 0 and log_on_error:
        data = b"\n".join(_tail(log, _LOG_MESSAGE_LIMIT).splitlines()[-_LOG_MESSAGE_LINES:])
    return data.decode(errors="replace")


def _tail(file: Path, size: int) -> bytes:
    with file.open("rb") as content:
        content.seek(max(0, file.stat().st_size - size))
        return content.read()
