"""docs/backup.md on a real API server: its commands, and what it says is restored."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from cluster import toolchain
from tests.integration.operator.namespace import SPEC
from tests.integration.operator.shop import Shop, new_shop, rejections
from tests.unit.operator.samples import failure_text, result_text
from trainyard_api import API_VERSION, meta
from trainyard_api.generate import checkout
from trainyard_operator.core.plan import Body
from trainyard_operator.kube.credentials import Credentials, load_credentials
from trainyard_operator.kube.port import (
    EVENTS,
    JOBS,
    MODEL_DEPLOYMENTS,
    MODEL_VERSIONS,
    TRAINING_JOBS,
    TRAINING_SCHEDULES,
)

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(580)]

PAGE = (checkout() / "docs/backup.md").read_text(encoding="utf-8")
OURS = (MODEL_VERSIONS, MODEL_DEPLOYMENTS, TRAINING_JOBS, TRAINING_SCHEDULES)
KUBECTL_SECONDS = 120

Run = Callable[[str], Awaitable[str]]


def commands(title: str) -> str:
    """Return the commands in one section of the page."""
    section = PAGE.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    return "\n".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL))


@pytest.fixture
def credentials(crds: Path) -> Credentials:
    return load_credentials({"KUBECONFIG": str(crds)})


@pytest.fixture
async def shop(credentials: Credentials) -> AsyncIterator[Shop]:
    async with new_shop(credentials) as shop:
        yield shop


@pytest.fixture
def shell(control_plane: Path, shop: Shop, tmp_path: Path) -> Run:
    """Return ``shell(lines) -> stdout``, which runs lines of the page in a folder of its own."""
    (tmp_path / "kubectl").symlink_to(toolchain.ensure("kubectl"))
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "KUBECONFIG": str(control_plane)}

    async def run(lines: str) -> str:
        lines = lines.replace("-n demo", f"-n {shop.namespace.name}")
        command = ("bash", "-euo", "pipefail", "-c", lines)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, env=environ, stdout=pipe, stderr=pipe)
        out, err = await asyncio.wait_for(process.communicate(), KUBECTL_SECONDS)
        assert process.returncode == 0, f"{lines}: {err.decode()}"
        return out.decode()

    return run


def version_text(number: int) -> str:
    artifact = {"uri": f"s3://models/team/runs/{number}", "manifestSha256": f"{number:064x}", "sizeBytes": 9}
    return result_text(version=number, artifact=artifact)


async def train(shop: Shop, name: str, number: int, **spec: Any) -> None:
    await shop.namespace.apply(name, modelName="m", **spec)
    await shop.namespace.run_pod(f"{name}-1")
    await shop.namespace.end_pod(f"{name}-1", 0, version_text(number))
    await shop.namespace.phase("Succeeded", name)


async def run_of(shop: Shop) -> str:
    """Return the only run of the schedule."""

    async def ask() -> str | None:
        names = [name for name in await shop.namespace.all(TRAINING_JOBS) if name.startswith("nightly-")]
        return names[0] if names else None

    return await shop.namespace.until("a run of the schedule", ask)


async def create_history(shop: Shop) -> None:
    """Two versions serve one after the other. The newer one is rolled back, one job fails, and one schedule has run."""
    await shop.deploy()
    await train(shop, "j1", 1)
    await shop.serves(1)
    await train(shop, "j2", 2)
    await shop.serves(2)
    await shop.act("rollback/previous/t1")
    await shop.until("the hold", lambda status: status["phase"] == "Held")
    await shop.namespace.apply("bad", modelName="m")
    await shop.namespace.run_pod("bad-1")
    await shop.namespace.end_pod("bad-1", 65, failure_text("BadData", "column 'x' is missing"))
    await shop.namespace.phase("Failed", "bad")
    template = {"spec": {**SPEC, "modelName": "n"}}
    await shop.namespace.request(
        "POST",
        shop.namespace.path(TRAINING_SCHEDULES),
        {
            "apiVersion": API_VERSION,
            "kind": "TrainingSchedule",
            "metadata": {"name": "nightly"},
            "spec": {"schedule": "0 0 1 1 *", "runOnChange": True, "template": template},
        },
    )
    run = await run_of(shop)
    await shop.namespace.run_pod(f"{run}-1")
    await shop.namespace.end_pod(f"{run}-1", 0, version_text(1))
    await shop.namespace.phase("Succeeded", run)
    await shop.namespace.judged()
    await wait_until_saved(shop)


async def wait_until_saved(shop: Shop) -> None:
    """Wait until every object has the annotation that a restore needs, and the schedule has counted its run."""

    async def ask() -> bool:
        bodies = [body for kind in OURS for body in (await shop.namespace.all(kind)).values()]
        schedule = (await shop.namespace.all(TRAINING_SCHEDULES))["nightly"]["status"]
        saved = all(meta.SAVED_ANNOTATION in (body["metadata"].get("annotations") or {}) for body in bodies)
        return saved and schedule.get("lastAcceptedVersion") == 1 and not schedule.get("activeCount")

    await shop.namespace.until("everything to be saved", ask)


async def seen(shop: Shop) -> dict[str, Body]:
    """Return every object that the operator has seen, by kind and name. Return nothing while one is not yet seen."""
    bodies = {f"{kind.plural}/{name}": body for kind in OURS for name, body in (await shop.namespace.all(kind)).items()}
    unseen = [name for name, body in bodies.items() if body["status"]["observedGeneration"] < 1]
    return {} if unseen else bodies


def backup(folder: Path) -> list[Body]:
    """Return the objects in the file of the page's backup. The file has one JSON document after the other."""
    text, found, decoder = (folder / "trainyard.json").read_text(encoding="utf-8").strip(), [], json.JSONDecoder()
    while text:
        body, end = decoder.raw_decode(text)
        found.append(body)
        text = text[end:].lstrip()
    return found


FIELDS = (
    *("phase", "modelVersion", "verdict", "completionTime", "quarantinedBy", "gates", "judgedTime"),
    *("activeVersion", "activeDigest", "previousVersion", "rejectedVersions", "hold", "history", "lastHandledAction"),
    *("lastTemplateHash", "lastRun", "lastAcceptedVersion", "missed", "consecutiveFailures"),
)


def known(bodies: dict[str, Body]) -> dict[str, Body]:
    return {name: {field: body["status"].get(field) for field in FIELDS} for name, body in bodies.items()}


@pytest.mark.parametrize("running", [True, False], ids=["operator running", "operator stopped"])
async def test_every_object_is_restored_with_its_status(shop: Shop, shell: Run, running: bool) -> None:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(shop.namespace.operator())
        await create_history(shop)
        before = known(await seen(shop))
        await shell(commands("Back up"))
        if not running:
            await stack.aclose()
        kinds = ",".join(kind.plural for kind in OURS)
        await shell(f"kubectl delete -n demo --all --cascade=foreground --timeout=60s {kinds}")
        await shell(commands("Restore").splitlines()[0])
        if not running:
            await stack.enter_async_context(shop.namespace.operator())
        await shop.serves(1)
        bodies = await shop.namespace.until("all objects to be seen", lambda: seen(shop))
        assert known(bodies) == before
        assert await shop.selected() == "1"
        assert bodies["modelversions/m-v2"]["status"]["phase"] == "Quarantined"
        assert [entry["version"] for entry in rejections(await shop.status())] == [2]
        assert not await shop.namespace.all(JOBS)
        table = await shell(commands("Restore").splitlines()[1])
        assert {"Held", "Quarantined", "Failed"} <= set(table.split())
        events = [event for event in (await shop.namespace.all(EVENTS)).values() if event["reason"] == "Restored"]
        assert {f"{e['regarding']['kind'].lower()}s/{e['regarding']['name']}" for e in events} == bodies.keys()

        await train(shop, "j3", 3)  # a newer version ends the hold
        await shop.serves(3)


async def test_without_the_annotation_a_job_trains_again_unless_its_version_exists(shop: Shop, shell: Run) -> None:
    async with shop.namespace.operator():
        await create_history(shop)
        await shell(commands("Back up"))
        await shell(commands("To begin anew"))
        await shell("kubectl delete -n demo --all --timeout=60s trainingjobs")
        await shell("kubectl create -n demo -f anew.json || true")  # the other objects exist
        status = await shop.namespace.phase("Succeeded", "j2")
        assert status["modelVersion"]["name"] == "m-v2"
        assert {c["reason"] for c in status["conditions"]} == {"VersionExists"}
        await shop.namespace.phase("Starting", "bad")  # it made no version, so it is trained again
        assert [name for name in await shop.namespace.all(JOBS) if name.startswith("j")] == []


async def test_versions_may_be_restored_after_the_deployment(shop: Shop, shell: Run, tmp_path: Path) -> None:
    """The worst order: the ModelDeployment is restored before any version."""
    async with shop.namespace.operator():
        await create_history(shop)
        await shell(commands("Back up"))
        await shell(f"kubectl delete -n demo --all --timeout=60s {','.join(kind.plural for kind in OURS)}")
        for kind in ("ModelDeployment", "ModelVersion"):
            for body in [body for body in backup(tmp_path) if body["kind"] == kind]:
                plural = MODEL_DEPLOYMENTS if kind == "ModelDeployment" else MODEL_VERSIONS
                await shop.namespace.request("POST", shop.namespace.path(plural), body)
            if kind == "ModelDeployment":
                await shop.until("the saved status", lambda status: status.get("activeVersion") == 1)
        await shop.serves(1)
        versions = await shop.namespace.judged()
        assert versions["m-v2"]["status"]["phase"] == "Quarantined"
        assert (await shop.status())["phase"] == "Held"
