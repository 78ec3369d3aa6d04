"""Life of a whole pod against a pretended API server, with real processes."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest

from cluster.process_node.client import STRATEGIC_MERGE, Access, ApiClient, ApiError
from cluster.process_node.container import Timing
from cluster.process_node.events import EventRecorder
from cluster.process_node.layout import NodeFolder, PodFolder
from cluster.process_node.pod import NodeFacts, PodRunner, PodSlot
from cluster.process_node.podspec import Json, read_pod
from cluster.process_node.programs import Program, write_programs
from cluster.process_node.volumes import PodVolumes, write_kubeconfig
from tests.unit.cluster.waiting import until


class FakeApi(ApiClient):
    """Holds objects by path and keeps what was written."""

    def __init__(self, objects: dict[str, Json] | None = None) -> None:
        self.objects = objects or {}
        self.statuses: list[Json] = []
        self.events: list[Json] = []
        self.tokens: list[Json] = []
        self.deleted: list[tuple[str, Json | None]] = []

    @property
    def access(self) -> Access:
        return Access("https://127.0.0.1:6443", Path("ca"), Path("crt"), Path("key"))

    async def get(self, path: str) -> Json:
        if path not in self.objects:
            raise ApiError(404, f"{path} not found")
        return self.objects[path]

    async def find(self, path: str) -> Json | None:
        return self.objects.get(path)

    async def create(self, path: str, body: Json) -> Json:
        if path.endswith("/events"):
            self.events.append(body)
            return body
        self.tokens.append(body["spec"])
        return {"status": {"token": f"token-{len(self.tokens)}"}}

    async def patch(self, _path: str, body: Json, _kind: str = STRATEGIC_MERGE) -> Json:
        self.statuses.append(body["status"])
        return body

    async def delete(self, path: str, body: Json | None = None) -> None:
        self.deleted.append((path, body))


def raw_pod(script: str, **spec: Any) -> Json:
    main = {"name": "c", "image": "sh", "args": ["-c", script], **spec.pop("container", {})}
    body = {"containers": [main], "restartPolicy": "Never", "terminationGracePeriodSeconds": 0, **spec}
    return {"metadata": {"namespace": "n", "name": "p", "uid": "a-b-c"}, "spec": body}


@pytest.fixture
def facts(tmp_path: Path) -> NodeFacts:
    programs = tmp_path / "programs.json"
    write_programs(programs, {"sh": Program(("/bin/sh",))})
    timing = Timing(retry_first=0.01, retry_limit=0.02, restart_first=0.01)
    return NodeFacts("n1", "127.64.0.1", NodeFolder(tmp_path), programs, "/usr/bin:/bin", {"cpu": "2"}, timing)


def runner_of(facts: NodeFacts, api: FakeApi, raw: Json, address: PodSlot | None = None) -> PodRunner:
    return PodRunner(facts, api, EventRecorder(api, "n1"), raw, address or PodSlot("127.64.1.1"))


async def test_phases_are_written_once_each(facts: NodeFacts) -> None:
    api = FakeApi()
    await runner_of(facts, api, raw_pod("sleep 0.1; exit 65")).run()
    assert [each["phase"] for each in api.statuses] == ["Pending", "Running", "Failed"]
    assert all(each["podIP"] == "127.64.1.1" for each in api.statuses)


@pytest.mark.parametrize(
    ("own", "seen"), [([], "127.64.1.1:80"), ([{"name": "WHERE", "value": ":80"}], ":80")], ids=["of program", "of pod"]
)
async def test_a_program_is_told_the_address_of_its_pod(facts: NodeFacts, own: list[Json], seen: str) -> None:
    write_programs(facts.programs, {"sh": Program(("/bin/sh",), env={"WHERE": "$(POD_IP):80"})})
    await runner_of(facts, FakeApi(), raw_pod('printf %s "$WHERE"', container={"env": own})).run()
    assert facts.folder.pod("a-b-c").container("c").log(0).read_text() == seen


class SlowApi(FakeApi):
    """Answers the first write once its pod has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = asyncio.Event()

    async def patch(self, path: str, body: Json, kind: str = STRATEGIC_MERGE) -> Json:
        if not self.statuses:
            await self.ended.wait()
        return await super().patch(path, body, kind)


async def test_a_pod_that_ends_during_a_write_gets_another_one(facts: NodeFacts) -> None:
    api = SlowApi()
    runner = runner_of(facts, api, raw_pod("exit 0"))
    life = asyncio.create_task(runner.run())
    await until("the end of its container", lambda: not runner.may_write("c"))
    for _ in range(20):  # the pod follows its container within a few turns of the loop
        await asyncio.sleep(0)
    api.ended.set()
    await life
    assert api.statuses[-1]["phase"] == "Succeeded"


async def test_init_containers_run_in_order_and_stop_at_a_failure(facts: NodeFacts, tmp_path: Path) -> None:
    def step(name: str, code: int) -> Json:
        return {"name": name, "image": "sh", "args": ["-c", f"echo {name} >> {tmp_path}/order; exit {code}"]}

    api = FakeApi()
    await runner_of(facts, api, raw_pod("exit 0", initContainers=[step("a", 0), step("b", 1), step("c0", 0)])).run()
    assert (tmp_path / "order").read_text() == "a\nb\n"
    assert api.statuses[-1]["phase"] == "Failed"


async def test_a_deadline_ends_the_pod(facts: NodeFacts) -> None:
    api = FakeApi()
    await runner_of(facts, api, raw_pod("sleep 3600", activeDeadlineSeconds=0)).run()
    assert (api.statuses[-1]["phase"], api.statuses[-1]["reason"]) == ("Failed", "DeadlineExceeded")


async def test_a_deletion_ends_the_pod_and_lets_it_go(facts: NodeFacts) -> None:
    api = FakeApi()
    raw = raw_pod("sleep 3600", restartPolicy="Always")
    runner = runner_of(facts, api, raw)
    life = asyncio.create_task(runner.run())
    await until("a running pod", lambda: bool(api.statuses) and api.statuses[-1]["phase"] == "Running")
    raw["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 0}
    runner.update(raw)
    await life
    assert api.statuses[-1]["phase"] == "Failed"
    leave = asyncio.create_task(runner.leave())
    await until("the removal", lambda: bool(api.deleted))
    assert api.deleted[0][1] == {"gracePeriodSeconds": 0, "preconditions": {"uid": "a-b-c"}}
    assert not leave.done()
    runner.vanish()
    await leave


async def test_a_vanished_pod_is_ended_without_a_word(facts: NodeFacts) -> None:
    api = FakeApi()
    runner = runner_of(facts, api, raw_pod("sleep 3600"))
    life = asyncio.create_task(runner.run())
    await until("a running pod", lambda: bool(api.statuses) and api.statuses[-1]["phase"] == "Running")
    runner.vanish()
    await life
    assert api.statuses[-1]["phase"] == "Running"


async def test_an_address_is_waited_for(facts: NodeFacts) -> None:
    api, ended = FakeApi(), asyncio.Event()
    life = asyncio.create_task(runner_of(facts, api, raw_pod("exit 0"), PodSlot("127.64.1.1", ended)).run())
    await until("the first status", lambda: bool(api.statuses))
    assert api.statuses[-1]["phase"] == "Pending"
    ended.set()
    await life
    assert api.statuses[-1]["phase"] == "Succeeded"


async def test_a_missing_volume_source_is_told_and_waited_for(facts: NodeFacts) -> None:
    api = FakeApi()
    mounts = {"volumeMounts": [{"name": "v", "mountPath": "/v"}], "env": [{"name": "V", "value": "/v/k"}]}
    raw = raw_pod('cat "$V"', volumes=[{"name": "v", "configMap": {"name": "cm"}}], container=mounts)
    life = asyncio.create_task(runner_of(facts, api, raw).run())
    await until("the event", lambda: bool(api.events))
    assert api.events[0]["reason"] == "FailedMount"
    assert "configmap 'cm' not found" in api.events[0]["message"]
    data = base64.b64encode(b"late").decode()
    api.objects["/api/v1/namespaces/n/configmaps/cm"] = {"binaryData": {"k": data}}
    await life
    assert api.statuses[-1]["phase"] == "Succeeded"
    assert facts.folder.pod("a-b-c").container("c").log(0).read_text() == "late"


async def test_a_mount_over_the_nodes_own_folders_moves_none_of_them(facts: NodeFacts, tmp_path: Path) -> None:
    """A checkout and the pods' folders may lie below /tmp, where pods like to mount an emptyDir."""
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\ntest -d "$TMPDIR" && test -d "$HOME" && echo "$GIVEN" > {tmp_path}/given\n')
    program.chmod(0o755)
    write_programs(facts.programs, {"sh": Program((str(program),))})
    above = f"/{tmp_path.parts[1]}"
    container = {
        "volumeMounts": [{"name": "v", "mountPath": above}],
        "env": [{"name": "GIVEN", "value": f"{above}/file"}],
    }
    api = FakeApi()
    await runner_of(facts, api, raw_pod("", volumes=[{"name": "v", "emptyDir": {}}], container=container)).run()
    assert api.statuses[-1]["phase"] == "Succeeded", api.statuses[-1]
    assert (tmp_path / "given").read_text().endswith(f"/rootfs{above}/file\n")


async def test_a_defect_of_the_node_becomes_the_pods_end(facts: NodeFacts) -> None:
    api = FakeApi()
    runner = runner_of(facts, api, raw_pod("sleep 3600"))
    await runner.fail("a defect")
    assert api.statuses[-1]["phase"] == "Failed"
    assert (api.statuses[-1]["reason"], api.statuses[-1]["message"]) == ("ProcessNodeError", "a defect")


async def test_tokens_are_bound_to_the_pod_and_renewed_in_time(tmp_path: Path) -> None:
    token = {"serviceAccountToken": {"path": "token", "audience": "job", "expirationSeconds": 1000}}
    pod = read_pod(raw_pod("", volumes=[{"name": "v", "projected": {"sources": [token]}}]))
    api, now = FakeApi(), [0.0]
    volumes = PodVolumes(api, PodFolder(tmp_path), {}, clock=lambda: now[0])

    async def token_at(seconds: float) -> str:
        now[0] = seconds
        folders = await volumes.prepare(pod)
        return (folders["v"] / "token").read_text()

    assert [await token_at(each) for each in (0, 799, 800, 801)] == ["token-1", "token-1", "token-2", "token-2"]
    assert api.tokens[0] == {
        "audiences": ["job"],
        "expirationSeconds": 1000,
        "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "a-b-c"},
    }


def test_the_kubeconfig_of_a_pod_is_private(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    file = tmp_path / "kubeconfig"
    write_kubeconfig(file, "https://127.0.0.1:6443", tmp_path, "n")
    assert file.stat().st_mode & 0o777 == 0o600
    assert '"token": "t"' in file.read_text()
