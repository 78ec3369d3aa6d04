"""An upgrade with existing objects: objects of an earlier release continue unchanged."""

import copy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.operator.api_server import NAMESPACE
from tests.unit.operator.cluster import Cluster
from tests.unit.operator.operators import StepOperator
from tests.unit.operator.samples import result_text
from tests.unit.operator.serving import NAME, ServingCluster, ServingOperator
from trainyard_operator.core.plan import Body
from trainyard_operator.kube.port import (
    DEPLOYMENTS,
    JOBS,
    MODEL_DEPLOYMENTS,
    MODEL_VERSIONS,
    SERVICES,
    TRAINING_JOBS,
    Resource,
)

FIRST_WAVE = Path(__file__).parent.parent / "released" / "first_wave.yaml"


def load(cluster: Cluster, part: str) -> dict[tuple[str, str], Body]:
    """Load the objects of an earlier release into a cluster, and return them by plural and name."""
    released: dict[str, Any] = yaml.safe_load(FIRST_WAVE.read_text("utf-8"))
    cluster.now = datetime.fromisoformat(released["now"]).replace(tzinfo=UTC)
    cluster.counter = 1000
    for entry in released[part]:
        group, version, plural = entry["resource"].split("/")
        body = entry["body"]
        cluster.objects[Resource(group, version, plural), NAMESPACE, body["metadata"]["name"]] = body
    return {(key[0].plural, key[2]): copy.deepcopy(body) for key, body in cluster.objects.items()}


@pytest.fixture
def trained() -> tuple[Cluster, StepOperator, dict[tuple[str, str], Body]]:
    cluster = Cluster()
    before = load(cluster, "training")
    return cluster, StepOperator(cluster), before


def test_an_upgrade_restarts_no_training_and_loses_none(
    trained: tuple[Cluster, StepOperator, dict[tuple[str, str], Body]],
) -> None:
    cluster, operator, before = trained
    operator.settle()
    phases = {name: body["status"]["phase"] for name, body in cluster.of(TRAINING_JOBS).items()}
    assert phases == {"done": "Succeeded", "fails": "Failed", "retries": "Starting", "runs": "Running"}
    cluster.finish_pod("runs-1", 0, result_text(version=4))
    operator.settle()
    operator.settle()
    assert cluster.status("runs")["phase"] == "Succeeded"
    assert sorted(cluster.of(JOBS)) == ["done-1", "fails-1", "retries-1", "retries-2", "runs-1"], (
        "only the retry that is due starts"
    )
    for name in ("done", "fails"):
        stored = before["trainingjobs", name]["status"]
        assert stored.items() <= cluster.status(name).items(), "the terminal status of the earlier release stays"


def test_an_upgrade_keeps_the_active_version_and_the_quarantine() -> None:
    cluster = ServingCluster()
    before = load(cluster, "serving")
    operator = ServingOperator(cluster)
    operator.go_on(600.0)
    status = cluster.deployed()
    assert (status["phase"], status["activeVersion"]) == ("Held", 1)
    assert cluster.served() == 1
    assert cluster.version_phase(2) == "Quarantined"
    assert [entry["version"] for entry in status["rejectedVersions"]] == [2]
    assert status["history"] == before["modeldeployments", NAME]["status"]["history"]
    assert cluster.of(MODEL_VERSIONS).keys() == {"m-v1", "m-v2"}
    for resource in (DEPLOYMENTS, SERVICES, MODEL_DEPLOYMENTS):
        for name, body in cluster.of(resource).items():
            assert body["metadata"]["uid"] == before[resource.plural, name]["metadata"]["uid"], "changed in place"
    cluster.publish(3)
    operator.go_on(30.0)
    assert cluster.served() == 3
