"""Failed lists: no change is lost, and other namespaces are not affected."""

import pytest

from tests.unit.operator.api_server import NAMESPACE, WATCHED, no_list_fault
from tests.unit.operator.cluster import Cluster
from tests.unit.operator.operators import FaultyList, run
from tests.unit.operator.runtime.test_runtime import phase, running, until
from tests.unit.operator.samples import CA, SPEC
from tests.unit.operator.training import World
from trainyard_operator.core.config import Admission, OperatorConfig
from trainyard_operator.kinds.base import Key
from trainyard_operator.kube.errors import ApiError, ForbiddenError, NotFoundError, UnauthorizedError, UnavailableError
from trainyard_operator.kube.port import DEPLOYMENTS, JOBS, SERVICES, TRAINING_JOBS, Resource
from trainyard_operator.runtime import runtime as runtime_module
from trainyard_operator.runtime.registry import KINDS
from trainyard_operator.runtime.resync import resync
from trainyard_operator.runtime.runtime import Runtime
from trainyard_operator.runtime.store import Store

OTHER = "other"
BOTH = OperatorConfig(workers=2, resync_seconds=10, namespaces=(NAMESPACE, OTHER))
FORBIDDEN = ForbiddenError(403, "Forbidden", "no RBAC")
SILENT = UnavailableError(0, "Timeout", "no answer")


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> OperatorConfig:
    """Return a configuration that lists everything again at once and often."""
    monkeypatch.setattr(runtime_module, "FIRST_RESYNC_SECONDS", 0.01)
    return BOTH.model_copy(update={"resync_seconds": 0.01})


@pytest.mark.parametrize("fails", list(WATCHED), ids=lambda resource: resource.plural)
@pytest.mark.parametrize("error", [FORBIDDEN, SILENT, UnavailableError(500, "InternalError", "etcd")])
def test_a_failed_list_loses_no_change(fails: Resource, error: ApiError) -> None:
    world = World()
    world.settle()
    world.cluster.start_pod("a-1")
    assert world.settle()["phase"] == "Running"
    world.cluster.remove(JOBS, NAMESPACE, "a-1")
    world.operator.lose_events()
    world.cluster.list_hook = FaultyList(fails, error)
    world.operator.resync()
    world.cluster.list_hook = no_list_fault
    world.settle()
    world.operator.resync()
    assert world.settle()["phase"] == "Retrying"


def test_a_failed_list_is_reported_and_changes_nothing() -> None:
    cluster, store = Cluster(), Store(KINDS)
    cluster.submit("a", SPEC)
    run(resync(cluster, store, ()))
    cluster.remove(TRAINING_JOBS, NAMESPACE, "a")
    cluster.list_hook = FaultyList(TRAINING_JOBS, FORBIDDEN)
    assert run(resync(cluster, store, ())) == {("TrainingJob", None): FORBIDDEN}
    assert store.knows(Key(NAMESPACE, "a"))


def test_after_a_timeout_nothing_more_is_listed() -> None:
    requested: list[Resource] = []

    def time_out(resource: Resource, namespace: str | None) -> None:
        requested.append(resource)
        raise SILENT

    cluster = Cluster(list_hook=time_out)
    assert len(run(resync(cluster, Store(KINDS), (NAMESPACE, OTHER)))) == 2 * len(WATCHED)
    assert len(requested) == 1


@pytest.mark.parametrize("resource", [None, SERVICES], ids=["all", "services"])
async def test_a_forbidden_namespace_at_the_start_does_not_block_others(
    resource: Resource | None, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = Cluster(list_hook=FaultyList(resource, FORBIDDEN, OTHER))
    cluster.submit("a", SPEC)
    cluster.submit("b", SPEC, OTHER)
    async with running(cluster, BOTH) as runtime:
        await until("Starting", lambda: phase(cluster) == "Starting")
        assert runtime.health() is None
        assert "phase" not in cluster.objects[TRAINING_JOBS, OTHER, "b"]["status"], "its state is not completely known"
    assert "cannot list services in other: 403 Forbidden: no RBAC" in caplog.text


@pytest.mark.parametrize(
    "error", [FORBIDDEN, NotFoundError(404, "NotFound", "no CRD"), UnauthorizedError(401, "No", "")]
)
async def test_a_start_without_any_namespace_raises(error: ApiError) -> None:
    runtime = Runtime(Cluster(list_hook=FaultyList(DEPLOYMENTS, error)), BOTH, ca=CA)
    with pytest.raises(type(error)):
        await runtime.start()
    assert not runtime.ready


async def test_a_start_fails_while_a_namespace_has_a_temporary_error() -> None:
    cluster = Cluster(list_hook=FaultyList(JOBS, UnavailableError(500, "InternalError", "etcd"), OTHER))
    runtime = Runtime(cluster, BOTH, ca=CA)
    with pytest.raises(UnavailableError):
        await runtime.start()
    cluster.list_hook = no_list_fault
    await runtime.start()
    assert runtime.ready
    await runtime.stop()


async def test_a_namespace_that_can_be_listed_again_is_reconciled(often: OperatorConfig) -> None:
    cluster = Cluster(list_hook=FaultyList(None, FORBIDDEN, OTHER))
    cluster.submit("b", SPEC, OTHER)
    async with running(cluster, often):
        cluster.list_hook = no_list_fault
        b = TRAINING_JOBS, OTHER, "b"
        await until("Starting", lambda: cluster.objects[b]["status"].get("phase") == "Starting")


async def test_a_deleted_namespace_releases_its_capacity(often: OperatorConfig) -> None:
    cluster = Cluster()
    cluster.submit("b", SPEC, OTHER)
    async with running(cluster, often.model_copy(update={"admission": Admission(max_concurrent_jobs=1)})):
        b = TRAINING_JOBS, OTHER, "b"
        await until("Starting", lambda: cluster.objects[b]["status"].get("phase") == "Starting")
        cluster.submit("a", SPEC)
        await until("Queued", lambda: phase(cluster) == "Queued")
        cluster.list_hook = FaultyList(None, FORBIDDEN, OTHER)
        await until("Starting", lambda: phase(cluster) == "Starting")
