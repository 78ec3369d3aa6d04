"""Life of one container, with real processes: ends, restarts, last words, grace, probes, log reading."""

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from aiohttp.test_utils import TestClient, TestServer

from cluster.process_node.container import ContainerRunner, Launch, Timing
from cluster.process_node.environment import ConfigError
from cluster.process_node.leftovers import MARK, end_leftovers
from cluster.process_node.local_process import LocalProcess
from cluster.process_node.logs import ContainerLogs, log_application
from cluster.process_node.podspec import Container, Probe, read_pod
from cluster.process_node.probes import ProbeTarget, check_once
from cluster.process_node.programs import ImageUnknownError
from cluster.process_node.states import ContainerRecord, Running, State, Terminated, Waiting
from tests.unit.cluster.waiting import BOUND_SECONDS, until

PATH = {"PATH": os.environ["PATH"]}
QUICK = Timing(retry_first=0.01, retry_limit=0.02, restart_first=0.01, restart_limit=0.04)


def container(**raw: Any) -> Container:
    spec = {"containers": [{"name": "c", "image": "i", **raw}], "terminationGracePeriodSeconds": 0}
    return read_pod({"metadata": {"namespace": "n", "name": "p", "uid": "u"}, "spec": spec}).containers[0]


class FakePod:
    """A pod that runs a shell line and keeps what its container tells."""

    def __init__(self, folder: Path, script: str) -> None:
        self.folder = folder
        self.script = script
        self.problems: list[Exception] = []
        self.states: list[State] = []
        self.events: list[str] = []
        self.runner: ContainerRunner

    def start(
        self, restart: Literal["Always", "OnFailure", "Never"] = "Never", timing: Timing = QUICK, **raw: Any
    ) -> asyncio.Task[None]:
        record = ContainerRecord("c", "i", Waiting("ContainerCreating"))
        self.runner = ContainerRunner(container(**raw), record, restart, self, timing)
        return asyncio.create_task(self.runner.run())

    def log(self, _container: Container, restarts: int) -> Path:
        return self.folder / f"{restarts}.log"

    async def launch(self, _container: Container) -> Launch:
        if self.problems:
            raise self.problems.pop(0)
        env = {**PATH, "FOLDER": str(self.folder)}
        target = ProbeTarget("127.0.0.1", {}, env, self.folder, self.folder / "probe.log", str)
        return Launch(("sh", "-c", self.script), env, self.folder, self.folder / "last-word", target)

    def changed(self) -> None:
        if not self.states or self.states[-1] != self.runner.record.state:
            self.states.append(self.runner.record.state)

    def report(self, reason: str, message: str, *, warning: bool = False) -> None:  # noqa: ARG002 - the Protocol's
        self.events.append(f"{reason}: {message}")

    def ends(self) -> list[int]:
        return [state.exit_code for state in self.states if isinstance(state, Terminated)]


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 65", 65), ("kill -9 $$", 137), ("kill -15 $$", 143)]
)
async def test_exit_codes_and_signals(tmp_path: Path, script: str, code: int) -> None:
    pod = FakePod(tmp_path, script)
    await pod.start()
    assert pod.ends() == [code]
    assert pod.runner.record.done
    assert pod.runner.record.failed == (code != 0)


async def test_a_program_that_does_not_exist_is_a_start_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        LocalProcess(["/no/such/program"], {}, tmp_path, tmp_path / "log")


@pytest.mark.parametrize(
    ("script", "policy", "message"),
    [
        ("echo noise; printf done > last-word; exit 1", "File", "done"),
        ("echo noise; exit 1", "File", ""),
        ("echo noise; exit 1", "FallbackToLogsOnError", "noise"),
        ("echo noise; exit 0", "FallbackToLogsOnError", ""),
    ],
)
async def test_last_words(tmp_path: Path, script: str, policy: str, message: str) -> None:
    pod = FakePod(tmp_path, script)
    await pod.start(terminationMessagePolicy=policy)
    assert isinstance(state := pod.runner.record.state, Terminated)
    assert state.message == message


async def test_last_words_are_bounded(tmp_path: Path) -> None:
    pod = FakePod(tmp_path, "head -c 9000 /dev/zero | tr '\\0' x > last-word")
    await pod.start()
    assert isinstance(state := pod.runner.record.state, Terminated)
    assert len(state.message) == 4096


async def test_on_failure_restarts_until_it_succeeds(tmp_path: Path) -> None:
    pod = FakePod(tmp_path, 'echo x >> count; [ "$(wc -l < count)" -ge 4 ]')
    await pod.start("OnFailure")
    assert pod.ends() == [1, 1, 1, 0]
    assert pod.runner.record.restarts == 3
    waiters = [state.message for state in pod.states if isinstance(state, Waiting)]
    assert waiters == [
        "back-off 0.01s restarting failed container=c",
        "back-off 0.02s restarting failed container=c",
    ]
    assert pod.runner.record.restarts == 3


async def test_a_stop_during_back_off_keeps_the_end(tmp_path: Path) -> None:
    pod = FakePod(tmp_path, "exit 3")
    run = pod.start("Always", timing=replace(QUICK, restart_first=3600))
    await until(
        "back-off", lambda: isinstance(s := pod.runner.record.state, Waiting) and s.reason == "CrashLoopBackOff"
    )
    await pod.runner.stop(0)
    await run
    assert isinstance(state := pod.runner.record.state, Terminated)
    assert state.exit_code == 3


async def test_what_is_missing_is_waited_for(tmp_path: Path) -> None:
    pod = FakePod(tmp_path, "exit 0")
    pod.problems = [ConfigError("secret 's' not found"), ImageUnknownError("no 'i'"), ImageUnknownError("no 'i'")]
    await pod.start()
    assert [state.reason for state in pod.states if isinstance(state, Waiting)] == [
        "CreateContainerConfigError",
        "ErrImagePull",
        "ImagePullBackOff",
    ]
    assert pod.ends() == [0]


async def test_sigterm_is_heard(tmp_path: Path) -> None:
    pod = FakePod(tmp_path, "trap 'echo bye > last-word; exit 75' TERM; echo up; while :; do sleep 0.02; done")
    run = pod.start("Always")
    await until("the first output", lambda: text(tmp_path / "0.log") == "up\n")
    await pod.runner.stop(BOUND_SECONDS)
    await run
    assert pod.ends() == [75]
    assert pod.runner.record.state.message == "bye\n"  # type: ignore[union-attr]


async def test_what_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    pod = FakePod(tmp_path, "trap '' TERM; sleep 3600 & echo $! > child; wait; while :; do sleep 0.02; done")
    run = pod.start()
    await until("the child", lambda: text(tmp_path / "child") != "")
    await pod.runner.stop(0.05)
    await run
    assert pod.ends() == [137]
    await until("the end of the child", lambda: not child_lives(tmp_path))


async def test_children_end_with_the_first_process(tmp_path: Path) -> None:
    pod = FakePod(tmp_path, "sleep 3600 & echo $! > child; exit 0")
    await pod.start()
    await until("the end of the child", lambda: not child_lives(tmp_path))


def child_lives(folder: Path) -> bool:
    return alive(int(text(folder / "child")))


def text(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


async def test_readiness_follows_its_probe(tmp_path: Path) -> None:
    pod = FakePod(tmp_path, "sleep 3600")
    probe = {"exec": {"command": ["test", "-e", "ready"]}, "periodSeconds": 0.02, "failureThreshold": 1}
    run = pod.start(readinessProbe=probe)
    await until("a process", lambda: isinstance(pod.runner.record.state, Running))
    assert not pod.runner.record.ready
    (tmp_path / "ready").touch()
    await until("readiness", lambda: pod.runner.record.ready)
    (tmp_path / "ready").unlink()
    await until("loss of readiness", lambda: not pod.runner.record.ready)
    await pod.runner.stop(0)
    await run
    assert any("Readiness probe failed" in each for each in pod.events)


async def test_failed_liveness_restarts(tmp_path: Path) -> None:
    pod = FakePod(tmp_path, "trap '' TERM; echo x >> starts; while :; do sleep 0.02; done")
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 0.02, "failureThreshold": 2}
    run = pod.start("Always", livenessProbe=probe)
    await until("a restart", lambda: pod.runner.record.restarts >= 1)
    await pod.runner.stop(0)
    await run
    assert pod.ends()[0] == 137


async def test_startup_holds_liveness_back(tmp_path: Path) -> None:
    pod = FakePod(tmp_path, "sleep 3600")
    startup = {"exec": {"command": ["test", "-e", "up"]}, "periodSeconds": 0.02, "failureThreshold": 1000}
    run = pod.start(
        startupProbe=startup, livenessProbe={"exec": {"command": ["test", "-e", "up"]}, "periodSeconds": 0.02}
    )
    await until("a process", lambda: isinstance(pod.runner.record.state, Running))
    assert not pod.runner.record.started
    (tmp_path / "up").touch()
    await until("the start", lambda: pod.runner.record.started and pod.runner.record.ready)
    await pod.runner.stop(0)
    await run
    assert pod.runner.record.restarts == 0


async def test_network_probes(tmp_path: Path) -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    target = ProbeTarget("127.0.0.1", {"web": port}, {}, tmp_path, tmp_path / "log", str)

    async def problem(kind: Literal["httpGet", "tcpSocket", "grpc"], **action: Any) -> str | None:
        return await check_once(Probe(kind, action, timeout=BOUND_SECONDS), target)

    async with server:
        assert await problem("httpGet", port="web", path="/healthz") is None
        assert await problem("httpGet", port=port, path="/broken") == "HTTP probe failed with statuscode: 500"
        assert await problem("tcpSocket", port=port) is None
    assert "no port named 'other'" in str(await problem("tcpSocket", port="other"))
    assert "does not offer grpc" in str(await problem("grpc", port=1))
    assert "probe failed" in str(await problem("httpGet", port=port))


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    line = await reader.readline()
    status = b"500 no" if b"/broken" in line else b"200 ok"
    writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    await writer.drain()
    writer.close()


async def test_leftovers_of_this_node_only_are_ended(tmp_path: Path) -> None:
    def sleeper(folder: Path) -> LocalProcess:
        return LocalProcess(["sleep", "3600"], {**PATH, MARK: str(folder)}, tmp_path, tmp_path / "log")

    mine, other = sleeper(tmp_path / "pods/u-1"), sleeper(tmp_path / "pods-of-another/u-1")
    assert end_leftovers(tmp_path / "pods") == [mine.pid]
    assert await mine.wait() == 128 + signal.SIGKILL
    assert alive(other.pid)
    other.kill()
    await other.wait()


async def test_log_endpoint(tmp_path: Path) -> None:
    (tmp_path / "0.log").write_text("old\n")
    (tmp_path / "10.log").write_text("".join(f"{number}\n" for number in range(5)))
    running = [True]

    def find(namespace: str, pod: str, name: str) -> ContainerLogs | None:
        return ContainerLogs(tmp_path, lambda: running[0]) if (namespace, pod, name) == ("n", "p", "c") else None

    async with TestClient(TestServer(log_application(find))) as client:

        async def read(query: str = "") -> tuple[int, str]:
            async with client.get(f"/containerLogs/n/p/c{query}") as response:
                return response.status, await response.text()

        assert await read() == (200, "0\n1\n2\n3\n4\n")
        assert await read("?tailLines=2") == (200, "3\n4\n")
        assert await read("?tailLines=0") == (200, "")
        assert await read("?tailLines=99") == (200, "0\n1\n2\n3\n4\n")
        assert await read("?limitBytes=3") == (200, "0\n1")
        assert await read("?previous=true") == (200, "old\n")
        assert (await read("?sinceSeconds=5"))[0] == 400
        assert (await client.get("/containerLogs/n/p/other")).status == 404
        assert "not offered" in await (await client.post("/exec/n/p/c?command=sh")).text()
        async with client.get("/containerLogs/n/p/c?follow=true&tailLines=1") as response:
            assert await response.content.readline() == b"4\n"
            with (tmp_path / "10.log").open("a") as more:
                more.write("5\n")
            assert await response.content.readline() == b"5\n"
            running[0] = False
            assert await response.content.read() == b""
