"""After a downgrade, on a real API server: a phase of the newer release is stored, and the schema still has it."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.operator.namespace import Namespace
from tests.integration.operator.test_faults import new_namespace
from tests.integration.operator.test_gates_faults import write_version
from tests.unit.operator.core.versions import spec
from trainyard_api.generate import checkout
from trainyard_operator.core.unreadable import REASON
from trainyard_operator.kube.credentials import load_credentials
from trainyard_operator.kube.errors import InvalidError
from trainyard_operator.kube.port import EVENTS, MODEL_VERSIONS, TRAINING_JOBS, Resource

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

LATER = "Hibernating"
"""A phase of no release so far."""


@pytest.fixture
async def namespace(crds: Path) -> AsyncIterator[Namespace]:
    async with new_namespace(load_credentials({"KUBECONFIG": str(crds)})) as namespace:
        yield namespace


@pytest.fixture
def newer_definitions(crds: Path, kubectl: Callable[..., str]) -> Iterator[None]:
    """The definitions of a release that knows one phase more."""
    path = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/phase/enum/-"
    patch = json.dumps([{"op": "add", "path": path, "value": LATER}])
    kinds = [resource.plural for resource in (TRAINING_JOBS, MODEL_VERSIONS)]
    for plural in kinds:
        kubectl("patch", "crd", f"{plural}.trainyard.dev", "--type=json", "-p", patch)
    yield
    for plural in kinds:
        kubectl("apply", "-f", str(checkout() / "crds" / f"{plural}.yaml"))


async def store(namespace: Namespace, resource: Resource, name: str) -> None:
    """Store the later phase, as soon as the API server has taken the definition in."""

    async def stored() -> bool:
        try:
            await namespace.client.patch_status(resource, namespace.name, name, {"status": {"phase": LATER}})
        except InvalidError:
            return False
        return True

    await namespace.until(f"the API server to take phase {LATER}", stored)


async def test_it_is_told_once_and_left_alone_while_the_others_go_on(
    namespace: Namespace, newer_definitions: None
) -> None:
    await namespace.apply("strange", modelName="m")
    await write_version(namespace, 1, spec(1))
    await store(namespace, TRAINING_JOBS, "strange")
    await store(namespace, MODEL_VERSIONS, "m-v1")
    async with namespace.operator() as port:
        await namespace.apply("a", modelName="m")
        await write_version(namespace, 2, spec(2))
        await namespace.phase("Starting", "a")

        async def judged() -> bool:
            found = await namespace.client.get(MODEL_VERSIONS, namespace.name, "m-v2")
            return bool(found["status"]["phase"] == "Validated")

        await namespace.until("version 2 to be judged", judged)

        async def told() -> Counter[str] | None:
            events = (await namespace.all(EVENTS)).values()
            found = Counter(body["regarding"]["name"] for body in events if body["reason"] == REASON)
            return found if found.keys() == {"strange", "m-v1"} else None

        assert set((await namespace.until("both Events", told)).values()) == {1}
        assert port.writes["patch trainingjobs"] == 1, "of job a"
        assert port.writes["patch modelversions"] == 1, "of version 2"
    for resource, name in ((TRAINING_JOBS, "strange"), (MODEL_VERSIONS, "m-v1")):
        body = await namespace.client.get(resource, namespace.name, name)
        assert body["status"]["phase"] == LATER
        assert "conditions" not in body["status"]
