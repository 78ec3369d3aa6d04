"""Life of a whole pod with a fake API server and real processes."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from cluster.process_node.client import ApiClient, ApiError, Json
from cluster.process_node.pod import PodRunner
from cluster.process_node.programs import Program, write_programs
from cluster.process_node.settings import NodeSettings, Timing
from tests.unit.cluster.waiting import until


class FakeApi(ApiClient):
    """Holds objects by path and keeps what was written."""

    def __init__(self, objects: dict[str, Json] | None = None) -> None:
        self.objects = objects or {}
        self.statuses: list[Json] = []
        self.tokens: list[Json] = []
        self.deleted: list[tuple[str, Json]] = []

    async def get(self, path: str) -> Json:
        if path not in self.objects:
            raise ApiError(404, f"{path} not found")
        return self.objects[path]

    async def create(self, _path: str, body: Json) -> Json:
        self.tokens.append(body["spec"])
        return {"status": {"token": f"token-{len(self.tokens)}"}}

    async def patch(self, _path: str, body: Json) -> Json:
        self.statuses.append(body["status"])
        return body

    async def delete(self, path: str, options: Json) -> None:
        self.deleted.append((path, options))

    def phases(self) -> list[str]:
        return [each["phase"] for each in self.statuses]


def raw_pod(script: str, **spec: Any) -> Json:
    main = {"name": "c", "image": "sh", "args": ["-c", script], **spec.pop("container", {})}
    body = {"containers": [main], "restartPolicy": "Never", "terminationGracePeriodSeconds": 0, **spec}
    return {"metadata": {"namespace": "n", "name": "p", "uid": "a-b-c"}, "spec": body}


def deleted(raw: Json, grace: int = 0) -> Json:
    times = {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": grace}
    return {**raw, "metadata": {**raw["metadata"], **times}}


@pytest.fixture
def settings(tmp_path: Path) -> NodeSettings:
    programs = tmp_path / "programs.json"
    write_programs(programs, {"sh": Program(("/bin/sh",))})
    timing = Timing(retry=0.01, first_restart=0.01, refresh=0.05)
    files = dict.fromkeys(("ca", "certificate", "key"), tmp_path)
    return NodeSettings(
        name="n1", server="https://127.0.0.1:6443", folder=tmp_path, programs=programs, search_path="/usr/bin:/bin",
        timing=timing, **files,
    )  # fmt: skip


def runner_of(settings: NodeSettings, api: FakeApi, raw: Json) -> PodRunner:
    return PodRunner(settings, api, raw, ("127.64.0.1", "127.64.1.1"))


async def run(settings: NodeSettings, api: FakeApi, raw: Json) -> PodRunner:
    """Run a pod until its last status is written, then let its object go."""
    runner = runner_of(settings, api, raw)
    life = asyncio.create_task(runner.run())
    await until("the end of the pod", lambda: bool(api.phases()) and api.phases()[-1] in {"Succeeded", "Failed"})
    runner.vanish()
    await life
    return runner


def output(settings: NodeSettings) -> str:
    return (settings.pod_folder("a-b-c") / "c/log").read_text()


async def test_phases_are_written_once_each(settings: NodeSettings) -> None:
    api = FakeApi()
    await run(settings, api, raw_pod("sleep 0.1; exit 65"))
    assert api.phases() == ["Pending", "Running", "Failed"]
    assert all(each["podIP"] == "127.64.1.1" for each in api.statuses)


@pytest.mark.parametrize(
    ("own", "seen"), [([], "127.64.1.1:80"), ([{"name": "WHERE", "value": ":80"}], ":80")], ids=["of program", "of pod"]
)
async def test_a_program_gets_the_address_of_its_pod(settings: NodeSettings, own: list[Json], seen: str) -> None:
    write_programs(settings.programs, {"sh": Program(("/bin/sh",), {"WHERE": "$(POD_IP):80"})})
    await run(settings, FakeApi(), raw_pod('printf %s "$WHERE"', container={"env": own}))
    assert output(settings) == seen


class SlowApi(FakeApi):
    """Does not finish the first write before it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.released = asyncio.Event()

    async def patch(self, path: str, body: Json) -> Json:
        if not self.statuses:
            await self.released.wait()
        return await super().patch(path, body)


async def test_a_pod_that_ends_during_a_write_gets_another_one(settings: NodeSettings) -> None:
    api = SlowApi()
    runner = runner_of(settings, api, raw_pod("exit 0"))
    life = asyncio.create_task(runner.run())
    await until("the end of its container", lambda: (log := runner.find_log("c")) is not None and log.ended())
    api.released.set()
    await until("the last status", lambda: api.phases()[-1:] == ["Succeeded"])
    runner.vanish()
    await life


async def test_init_containers_run_in_order_and_stop_at_a_failure(settings: NodeSettings, tmp_path: Path) -> None:
    def step(name: str, code: int) -> Json:
        return {"name": name, "image": "sh", "args": ["-c", f"echo {name} >> {tmp_path}/order; exit {code}"]}

    api = FakeApi()
    await run(settings, api, raw_pod("exit 0", initContainers=[step("a", 0), step("b", 1), step("c0", 0)]))
    assert (tmp_path / "order").read_text() == "a\nb\n"
    assert api.phases()[-1] == "Failed"


async def test_a_deletion_ends_the_pod_and_removes_its_object(settings: NodeSettings) -> None:
    api = FakeApi()
    raw = raw_pod("sleep 3600", restartPolicy="Always")
    runner = runner_of(settings, api, raw)
    life = asyncio.create_task(runner.run())
    await until("a running pod", lambda: api.phases()[-1:] == ["Running"])
    runner.update(deleted(raw))
    await until("the removal", lambda: bool(api.deleted))
    assert api.phases()[-1] == "Failed"
    assert api.deleted[0][1] == {"gracePeriodSeconds": 0, "preconditions": {"uid": "a-b-c"}}
    assert not life.done()
    runner.vanish()
    await life


async def test_a_pod_that_is_deleted_before_it_starts_fails(settings: NodeSettings) -> None:
    api = FakeApi()
    raw = raw_pod("", container={"image": "unknown"})
    runner = runner_of(settings, api, raw)
    life = asyncio.create_task(runner.run())
    await until("the reason", lambda: "ErrImagePull" in str(api.statuses[-1:]))
    runner.update(deleted(raw))
    await until("the removal", lambda: bool(api.deleted))
    assert api.statuses[-1]["containerStatuses"][0]["state"]["terminated"]["reason"] == "ContainerStatusUnknown"
    runner.vanish()
    await life


async def test_a_pod_whose_object_is_gone_ends_without_a_status(settings: NodeSettings) -> None:
    api = FakeApi()
    runner = runner_of(settings, api, raw_pod("sleep 3600"))
    life = asyncio.create_task(runner.run())
    await until("a running pod", lambda: api.phases()[-1:] == ["Running"])
    runner.vanish()
    await life
    assert api.phases()[-1] == "Running"


async def test_a_deletion_by_force_does_not_wait_for_the_grace_period(settings: NodeSettings) -> None:
    api = FakeApi()
    raw = raw_pod("trap '' TERM; echo up; while :; do sleep 0.02; done")
    runner = runner_of(settings, api, raw)
    life = asyncio.create_task(runner.run())
    log = settings.pod_folder("a-b-c") / "c/log"
    await until("the trap", lambda: log.exists() and log.read_text() == "up\n")
    runner.update(deleted(raw, grace=3600))
    await asyncio.sleep(0.05)
    assert not life.done()
    runner.vanish()
    await until("the end", life.done)
    await life


async def test_a_pod_names_a_missing_volume_source_and_waits(settings: NodeSettings) -> None:
    api = FakeApi()
    mounts = {"volumeMounts": [{"name": "v", "mountPath": "/v"}], "env": [{"name": "V", "value": "/v/k"}]}
    raw = raw_pod('cat "$V"', volumes=[{"name": "v", "configMap": {"name": "cm"}}], container=mounts)
    runner = runner_of(settings, api, raw)
    life = asyncio.create_task(runner.run())
    await until("the message", lambda: "ConfigMap 'cm' not found" in str(api.statuses[-1:]))
    assert "CreateContainerConfigError" in str(api.statuses[-1])
    api.objects["/api/v1/namespaces/n/configmaps/cm"] = {"data": {"k": "late"}}
    await until("success", lambda: api.phases()[-1] == "Succeeded")
    assert output(settings) == "late"
    runner.vanish()
    await life


async def test_a_mount_over_the_nodes_own_folders_moves_none_of_them(settings: NodeSettings, tmp_path: Path) -> None:
    """A checkout and the pods' folders may be below /tmp, where pods often mount an emptyDir."""
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\ntest -d "$TMPDIR" && test -d "$HOME" && echo "$GIVEN" > {tmp_path}/given\n')
    program.chmod(0o755)
    write_programs(settings.programs, {"sh": Program((str(program),))})
    above = f"/{tmp_path.parts[1]}"
    container = {
        "volumeMounts": [{"name": "v", "mountPath": above}],
        "env": [{"name": "GIVEN", "value": f"{above}/file"}],
    }
    api = FakeApi()
    await run(settings, api, raw_pod("", volumes=[{"name": "v", "emptyDir": {}}], container=container))
    assert api.phases()[-1] == "Succeeded", api.statuses[-1]
    assert (tmp_path / "given").read_text().endswith(f"/rootfs{above}/file\n")


async def test_an_error_of_the_node_is_shown_in_the_pod(settings: NodeSettings) -> None:
    api = FakeApi()
    settings.programs.write_text("no JSON")
    runner = runner_of(settings, api, raw_pod("sleep 3600"))
    life = asyncio.create_task(runner.run())
    await until("the message", lambda: "Invalid JSON" in str(api.statuses[-1:]))
    runner.vanish()
    await life


async def test_what_a_node_does_not_support_is_named(settings: NodeSettings) -> None:
    api = FakeApi()
    fields = {"lifecycle": {"preStop": {}}, "readinessProbe": {"exec": {"command": ["true"]}}}
    runner = runner_of(settings, api, raw_pod("", container=fields))
    life = asyncio.create_task(runner.run())
    expected = "does not support lifecycle, probes other than httpGet"
    await until("the message", lambda: expected in str(api.statuses[-1:]))
    runner.vanish()
    await life


async def test_tokens_are_bound_to_the_pod_and_renewed(settings: NodeSettings) -> None:
    token = {"serviceAccountToken": {"path": "token", "audience": "job", "expirationSeconds": 1000}}
    api = FakeApi()
    runner = runner_of(settings, api, raw_pod("sleep 3600", volumes=[{"name": "v", "projected": {"sources": [token]}}]))
    life = asyncio.create_task(runner.run())
    await until("a new token", lambda: len(api.tokens) > 1)
    assert api.tokens[0] == {
        "audiences": ["job"],
        "expirationSeconds": 1000,
        "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "a-b-c"},
    }
    runner.vanish()
    await life
