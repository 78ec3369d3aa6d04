"""Every query of the dashboards and every alert in a real Prometheus, which scrapes the operator and a server."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cluster import toolchain
from tests.integration.monitoring.prometheus import ANSWER_SECONDS, Prometheus, operator, wait_until
from tests.integration.operator.namespace import SPEC
from tests.integration.operator.shop import Shop, new_shop, rejections
from tests.integration.server.conftest import classifier, classifier_server, object_store, train, upload
from tests.integration.server.process import ServerProcess
from tests.integration.server.tables import request_of, shops
from tests.integration.trainer.object_store import free_port
from tests.unit.monitoring.files import RULES, alerts, queries
from tests.unit.operator.core.versions import BELOW_2, spec
from tests.unit.operator.samples import failure_text
from trainyard_api import API_VERSION, meta
from trainyard_operator.kube.credentials import load_credentials
from trainyard_operator.kube.port import MODEL_VERSIONS, SECRETS, TRAINING_SCHEDULES

__all__ = ["classifier", "classifier_server", "object_store", "train", "upload"]

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]  # Prometheus may have to be built first

WAIT_SECONDS = 180.0
WINDOW = "1m"
MODEL = "m"

STATUS = {
    "observedGeneration": 1,
    "phase": "Active",
    "lastScheduleTime": "2016-02-29T02:30:00Z",
    "nextScheduleTime": "2020-02-29T02:30:00Z",
    "lastSuccessfulTime": "2016-02-29T02:40:00Z",
    "lastAcceptedTime": "2016-02-29T02:41:00Z",
    "lastAcceptedVersion": 1,
    "consecutiveRejections": 3,
}
"""The status of a schedule whose operator was absent since then: runs were missed, and versions rejected before."""


@pytest.fixture
async def shop(crds: Path) -> AsyncIterator[Shop]:
    async with new_shop(load_credentials({"KUBECONFIG": str(crds)})) as shop:
        yield shop


@pytest.fixture
async def schedule(shop: Shop) -> None:
    """Create a schedule that was due while no operator ran."""
    body = {
        "apiVersion": API_VERSION,
        "kind": "TrainingSchedule",
        "metadata": {"name": "nightly"},
        "spec": {
            "schedule": "30 2 29 2 *",
            "startingDeadlineSeconds": 1,
            "template": {"spec": {**SPEC, "modelName": "nightly"}},
        },
    }
    await shop.namespace.request("POST", shop.namespace.path(TRAINING_SCHEDULES), body)
    await shop.patch(TRAINING_SCHEDULES, "nightly", {"status": STATUS}, "/status")


@pytest.fixture
async def monitoring(
    crds: Path, classifier_server: ServerProcess, tmp_path: Path, shop: Shop, schedule: None
) -> AsyncIterator[tuple[Prometheus, int]]:
    """Yield a Prometheus that scrapes the operator of the shop's namespace, and the port for trainers' reports.

    Both start and end in threads, because the shop's kubelet runs in this event loop.
    """
    health, reports, port = (free_port() for _ in range(3))
    name = shop.namespace.name
    jobs: list[dict[str, Any]] = [
        {
            "job_name": "operator",
            "honor_labels": True,
            "static_configs": [{"targets": [f"127.0.0.1:{health}"], "labels": {"namespace": "trainyard"}}],
        },
        {
            "job_name": "servers",
            "static_configs": [{"targets": [f"127.0.0.1:{classifier_server.port}"], "labels": {"namespace": name}}],
        },
    ]
    config = {
        "namespaces": [name],
        "namespace": name,
        "storage": {"uri": "s3://models"},
        "progress": {"url": f"https://127.0.0.1:{reports}", "bind": "127.0.0.1", "port": reports},
    }
    with ExitStack() as stack:
        await asyncio.to_thread(stack.enter_context, operator(tmp_path, crds, health, **config))
        prometheus = Prometheus(await asyncio.to_thread(toolchain.ensure, "prometheus"), tmp_path, port, RULES, jobs)
        await asyncio.to_thread(stack.enter_context, prometheus)
        yield prometheus, reports
        await asyncio.to_thread(stack.pop_all().close)


async def create_objects(shop: Shop) -> None:
    """Let jobs run, wait and fail, let versions be rejected and rolled back, and let a model serve."""
    namespace = shop.namespace
    await namespace.apply("fails", modelName="fails")
    await namespace.end_pod("fails-1", 64, failure_text("BadConfig", "no such parameter"))
    await namespace.phase("Failed", "fails")
    await namespace.apply("runs", modelName="busy")
    await namespace.run_pod("runs-1")
    await namespace.phase("Running", "runs")
    await namespace.apply("waits", modelName="busy")
    await namespace.phase("Queued", "waits")
    await shop.deploy()
    rated = {"objectiveMetric": "mae", "objectiveValue": "1.5"}
    body = {"apiVersion": API_VERSION, "kind": "ModelVersion", "metadata": {"name": f"{MODEL}-v1"}}
    await namespace.request(
        "POST", namespace.path(MODEL_VERSIONS), {**body, "spec": spec(1, "1.5", gates=[BELOW_2], **rated)}
    )
    await shop.serves(1)
    await shop.publish(2, good=False)
    shop.health[3] = 65
    await shop.publish(3)
    await shop.until("version 3 to be rolled back", lambda status: bool(rejections(status)))


async def certificate_authority(shop: Shop) -> bytes:
    """Return the certificate that signs the operator's own certificate."""
    secret = await shop.namespace.request("GET", shop.namespace.path(SECRETS, "trainyard-tls"))
    return base64.b64decode(secret["data"]["tls.crt"])


async def test_every_query_has_series_and_the_alerts_fire(
    shop: Shop, monitoring: tuple[Prometheus, int], classifier_server: ServerProcess, tmp_path: Path
) -> None:
    prometheus, reports = monitoring
    await create_objects(shop)
    job = {"namespace": shop.namespace.name, "name": "runs"}
    authority = tmp_path / "ca.crt"
    authority.write_bytes(await certificate_authority(shop))
    url = f"https://127.0.0.1:{reports}{meta.progress_path(**job)}"
    post = partial(prometheus.session.post, url, json={}, verify=str(authority), timeout=ANSWER_SECONDS)
    response = await asyncio.to_thread(post)
    assert response.status_code == 401, "reports without a token are counted too"
    features = ["x", "open", "shop [name]"]
    assert classifier_server.infer(request_of(shops()[features].head(2), id="r")).status_code == 200

    empty = list(queries())

    def all_have_series() -> bool:
        empty[:] = [query for query in empty if not prometheus.series(query.plain(WINDOW))]
        return not empty

    await asyncio.to_thread(
        wait_until, all_have_series, "series of every query", WAIT_SECONDS, lambda: [*map(str, empty)]
    )
    assert len(list(queries())) > 50
    name = shop.namespace.name
    shown = {panel: value_of(prometheus, panel) for panel in ("Running", "Waiting", "Failed", "Ready", "Not ready")}
    assert shown == {"Running": 1, "Waiting": 1, "Failed": 1, "Ready": 1, "Not ready": 0}
    assert value_of(prometheus, "Rejected versions") == 1
    [serving] = prometheus.series("trainyard_modeldeployment_objective")
    labels = {key: serving["metric"][key] for key in ("namespace", "name", "metric")}
    assert labels == {"namespace": name, "name": "shop", "metric": "mae"}, "the labels of the object, not of the target"
    [missed] = prometheus.series("trainyard_trainingschedule_missed_runs_total")
    assert float(missed["value"][1]) > 0

    rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in rules} == set(alerts())

    def evaluated() -> bool:
        rules[:] = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
        return all(rule["health"] != "unknown" for rule in rules)

    await asyncio.to_thread(wait_until, evaluated, "every rule to be evaluated", WAIT_SECONDS)
    assert {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"} == {}

    wanted = {("TrainyardModelRolledBack", "shop"), ("TrainyardModelsRejected", "nightly")}
    firing: set[tuple[str, str | None]] = set()

    def fired() -> bool:
        firing.clear()
        for alert in prometheus.get("alerts")["alerts"]:
            labels = alert["labels"]
            if alert["state"] == "firing" and labels.get("namespace") == name:
                firing.add((labels["alertname"], labels.get("name")))
        return wanted <= firing

    await asyncio.to_thread(wait_until, fired, f"{wanted} to fire", WAIT_SECONDS, lambda: firing)
    assert firing == wanted, "no other alert fires"


def value_of(prometheus: Prometheus, panel: str) -> float:
    [query] = [query for query in queries() if query.panel == panel]
    [series] = prometheus.series(query.plain(WINDOW))
    return float(series["value"][1])
