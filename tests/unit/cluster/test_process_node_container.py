"""Life of one container, with real processes: exit codes, restarts, messages, grace, probes, logs."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from cluster.process_node.client import Json
from cluster.process_node.container import ContainerRunner, Launch
from cluster.process_node.environment import ConfigError
from cluster.process_node.leftovers import FOLDER_ENV, end_processes_of, processes_of
from cluster.process_node.local_process import LocalProcess
from cluster.process_node.logs import ContainerLog, log_application
from cluster.process_node.pods import Container, Probe
from cluster.process_node.probes import check
from cluster.process_node.programs import ImageUnknownError
from cluster.process_node.settings import Timing
from tests.unit.cluster.waiting import BOUND_SECONDS, until

PATH = {"PATH": os.environ["PATH"]}
QUICK = Timing(retry=0.01, first_restart=0.01, longest_restart=0.04)


def container(**raw: Any) -> Container:
    return Container.model_validate({"name": "c", "image": "i", **raw})


class FakePod:
    """A pod that runs a shell script and keeps the states of its container."""

    def __init__(self, folder: Path, script: str) -> None:
        self.folder = folder
        self.script = script
        self.problems: list[Exception] = []
        self.states: list[Json] = []
        self.runner: ContainerRunner

    def start(self, restart: str = "Never", timing: Timing = QUICK, **raw: Any) -> asyncio.Task[None]:
        self.runner = ContainerRunner(container(**raw), restart, 0, self.launch, self.changed, timing)
        return asyncio.create_task(self.runner.run())

    async def launch(self, _container: Container) -> Launch:
        if self.problems:
            raise self.problems.pop(0)
        env = {**PATH, "FOLDER": str(self.folder)}
        argv, log, message = ("sh", "-c", self.script), self.folder / "log", self.folder / "message"
        return Launch(argv, env, self.folder, log, message, "127.0.0.1")

    def changed(self) -> None:
        if not self.states or self.states[-1] != self.runner.record.state:
            self.states.append(self.runner.record.state)

    def exit_codes(self) -> list[int]:
        return [state["terminated"]["exitCode"] for state in self.states if "terminated" in state]


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 65", 65), ("kill -9 $$", 137), ("kill -15 $$", 143)]
)
async def test_exit_codes_and_signals(tmp_path: Path, script: str, code: int) -> None:
    pod = FakePod(tmp_path, script)
    await pod.start()
    assert pod.exit_codes() == [code]
    assert pod.runner.record.done
    assert pod.runner.record.failed == (code != 0)


async def test_a_program_that_does_not_exist_is_a_start_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await LocalProcess.start(["/no/such/program"], {}, tmp_path, tmp_path / "log")


@pytest.mark.parametrize(
    ("script", "policy", "message"),
    [
        ("echo noise; printf done > message; exit 1", "File", "done"),
        ("echo noise; exit 1", "File", ""),
        ("echo noise; exit 1", "FallbackToLogsOnError", "noise"),
        ("echo noise; exit 0", "FallbackToLogsOnError", ""),
    ],
)
async def test_termination_messages(tmp_path: Path, script: str, policy: str, message: str) -> None:
    pod = FakePod(tmp_path, script)
    await pod.start(terminationMessagePolicy=policy)
    assert pod.runner.record.state["terminated"]["message"] == message


async def test_messages_are_bounded(tmp_path: Path) -> None:
    pod = FakePod(tmp_path, "head -c 9000 /dev/zero | tr '\\0' x > message")
    await pod.start()
    assert len(pod.runner.record.state["terminated"]["message"]) == 4096


async def test_on_failure_restarts_until_it_succeeds(tmp_path: Path) -> None:
    pod = FakePod(tmp_path, 'echo x >> count; [ "$(wc -l < count)" -ge 4 ]')
    await pod.start("OnFailure")
    assert pod.exit_codes() == [1, 1, 1, 0]
    assert pod.runner.record.restarts == 3
    delays = [state["waiting"]["message"] for state in pod.states if state.get("waiting", {}).get("message")]
    assert delays == [
        "back-off 0.01s restarting failed container=c",
        "back-off 0.02s restarting failed container=c",
    ]


async def test_a_stop_during_back_off_keeps_the_end(tmp_path: Path) -> None:
    pod = FakePod(tmp_path, "exit 3")
    run = pod.start("Always", timing=Timing(first_restart=3600, longest_restart=3600))
    await until("the back-off", lambda: "CrashLoopBackOff" in str(pod.runner.record.state))
    await pod.runner.stop(0)
    await run
    assert pod.runner.record.exit_code == 3


async def test_a_container_waits_for_missing_objects(tmp_path: Path) -> None:
    pod = FakePod(tmp_path, "exit 0")
    pod.problems = [ConfigError("secret 's' not found"), ImageUnknownError("no 'i'"), ImageUnknownError("no 'j'")]
    await pod.start()
    assert [state["waiting"]["reason"] for state in pod.states if "waiting" in state] == [
        "CreateContainerConfigError",
        "ErrImagePull",
        "ErrImagePull",
    ]
    assert pod.exit_codes() == [0]


async def test_a_container_can_handle_sigterm(tmp_path: Path) -> None:
    pod = FakePod(tmp_path, "trap 'echo bye > message; exit 75' TERM; echo up; while :; do sleep 0.02; done")
    run = pod.start("Always")
    await until("the first output", lambda: text(tmp_path / "log") == "up\n")
    await pod.runner.stop(BOUND_SECONDS)
    await run
    assert pod.exit_codes() == [75]
    assert pod.runner.record.state["terminated"]["message"] == "bye\n"


async def test_what_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    pod = FakePod(tmp_path, "trap '' TERM; sleep 3600 & echo $! > child; wait; while :; do sleep 0.02; done")
    run = pod.start()
    await until("the child", lambda: text(tmp_path / "child") != "")
    await pod.runner.stop(0.05)
    await run
    assert pod.exit_codes() == [137]
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
    pod, server = FakePod(tmp_path, "sleep 3600"), Server()
    async with server:
        run = pod.start(readinessProbe=server.probe())
        await until("a process", lambda: "running" in pod.runner.record.state)
        assert not pod.runner.record.ready
        server.status = 200
        await until("readiness", lambda: pod.runner.record.ready)
        server.status = 503
        await until("loss of readiness", lambda: not pod.runner.record.ready)
        await pod.runner.stop(0)
        await run


async def test_failed_liveness_restarts(tmp_path: Path) -> None:
    pod, server = FakePod(tmp_path, "trap '' TERM; while :; do sleep 0.02; done"), Server()
    async with server:
        run = pod.start("Always", livenessProbe=server.probe(failureThreshold=2))
        await until("a restart", lambda: pod.runner.record.restarts >= 1)
        await pod.runner.stop(0)
        await run
    assert pod.exit_codes()[0] == 137


async def test_the_liveness_probe_waits_for_the_startup_probe(tmp_path: Path) -> None:
    pod, server = FakePod(tmp_path, "sleep 3600"), Server()
    async with server:
        run = pod.start(startupProbe=server.probe(failureThreshold=1000), livenessProbe=server.probe())
        await until("some probes", lambda: server.requests > 3)
        assert not pod.runner.record.started
        server.status = 200
        await until("the start", lambda: pod.runner.record.started and pod.runner.record.ready)
        await pod.runner.stop(0)
        await run
    assert pod.runner.record.restarts == 0


async def test_problems_of_probes_are_named(tmp_path: Path) -> None:
    server = Server()
    async with server:
        given = container(ports=[{"name": "web", "containerPort": server.port}])

        async def problem(port: int | str) -> str | None:
            probe = Probe.model_validate(
                {"httpGet": {"path": "/healthz", "port": port}, "timeoutSeconds": BOUND_SECONDS}
            )
            return await check(probe, given, "127.0.0.1")

        assert await problem("web") == "HTTP probe failed with status 503"
        server.status = 200
        assert await problem("web") is None
        assert "other" in str(await problem("other"))
    assert "HTTP probe failed" in str(await problem("web"))


class Server:
    """An HTTP server that answers each request with its present status."""

    def __init__(self) -> None:
        self.status = 503
        self.requests = 0

    async def __aenter__(self) -> None:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    def probe(self, **fields: Any) -> dict[str, Any]:
        return {"httpGet": {"port": self.port}, "periodSeconds": 0.02, "failureThreshold": 1, **fields}

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.requests += 1
        writer.write(f"HTTP/1.1 {self.status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()


async def test_processes_of_this_node_only_are_ended(tmp_path: Path) -> None:
    async def sleeper(folder: Path) -> LocalProcess:
        return await LocalProcess.start(
            ["sleep", "3600"], {**PATH, FOLDER_ENV: str(folder)}, tmp_path, tmp_path / "log"
        )

    mine, other = await sleeper(tmp_path / "node"), await sleeper(tmp_path / "node-of-another")
    await until("both", lambda: len(processes_of(tmp_path / "node") + processes_of(tmp_path / "node-of-another")) == 2)
    end_processes_of(tmp_path / "node")
    assert await mine.wait() == 137
    assert len(processes_of(tmp_path / "node-of-another")) == 1
    await other.end(0)


async def test_log_endpoint(tmp_path: Path) -> None:
    (tmp_path / "log.previous").write_text("old\n")
    (tmp_path / "log").write_text("".join(f"{number}\n" for number in range(5)))
    ended = [False]

    def find(namespace: str, pod: str, name: str) -> ContainerLog | None:
        given = (namespace, pod, name) == ("n", "p", "c")
        return ContainerLog(tmp_path / "log", lambda: ended[0]) if given else None

    async with TestClient(TestServer(log_application(find))) as client:

        async def read(query: str = "") -> tuple[int, str]:
            async with client.get(f"/containerLogs/n/p/c{query}") as response:
                return response.status, await response.text()

        assert await read() == (200, "0\n1\n2\n3\n4\n")
        assert await read("?tailLines=2") == (200, "3\n4\n")
        assert await read("?tailLines=0") == (200, "")
        assert await read("?tailLines=99") == (200, "0\n1\n2\n3\n4\n")
        assert await read("?previous=true") == (200, "old\n")
        assert (await read("?sinceSeconds=5"))[0] == 400
        assert (await client.get("/containerLogs/n/p/other")).status == 404
        assert "not supported" in await (await client.post("/exec/n/p/c?command=sh")).text()
        async with client.get("/containerLogs/n/p/c?follow=true&tailLines=1") as response:
            assert await response.content.readline() == b"4\n"
            with (tmp_path / "log").open("a") as more:
                more.write("5\n")
            assert await response.content.readline() == b"5\n"
            ended[0] = True
            assert await response.content.read() == b""
