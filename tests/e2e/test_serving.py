"""A model that serves on a real node, while clients send predictions all the time. No request may fail."""

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import requests

from cluster import object_store
from demo.images import TAG, repository
from demo.install import BUCKET, JOBS_NAMESPACE
from demo.serving import corrupt
from tests.e2e.port_forward import port_forward
from tests.e2e.serving import Served, true_message
from tests.e2e.stage import DEPLOYMENT, Json, Stage, condition
from trainyard_api import meta

ROWS = "x,y\n" + "".join(f"{n},{n * 2 + n % 3}\n" for n in range(200))
MODEL = "served"


@pytest.fixture(scope="module")
def data(stage: Stage) -> Json:
    return {"uri": stage.put("served.csv", ROWS), "target": "y"}


@pytest.fixture(scope="module")
def deployed(stage: Stage, data: Json) -> Iterator[Served]:
    """Two versions: the second one serves, the first one served before."""
    served = Served(stage, MODEL, data)
    served.deploy()
    first = served.train("served-first")
    served.serves(first)
    served.serves(served.train("served-second"))
    yield served
    stage.kubectl("delete", "md", MODEL, "--cascade=foreground")


@pytest.fixture
def numbers(deployed: Served) -> Iterator[tuple[int, int]]:
    """Return the versions that serve now and served before. Each test starts and ends with the default spec."""
    deployed.deploy()
    status = deployed.status()
    yield status["activeVersion"], status.get("previousVersion") or 0
    deployed.deploy()


@pytest.fixture
def node_with_networks(stage: Stage) -> Stage:
    """A node whose pods have their own network. kubectl cannot reach the pods of a process node."""
    if stage.cluster.kind == "process":
        if os.environ.get("CI") == "true":
            pytest.fail("port-forward needs a host node or kind")
        pytest.skip("port-forward needs a host node or kind")
    return stage


def test_a_port_forward_reaches_the_model(node_with_networks: Stage, deployed: Served) -> None:
    with port_forward(node_with_networks, JOBS_NAMESPACE, MODEL, 80) as address:
        url = f"{address}/v2/models/{MODEL}"
        assert requests.get(f"{url}/ready", timeout=30).status_code == 200
        rows = {"name": "x", "shape": [1], "datatype": "FP64", "data": [3]}
        response = requests.post(f"{url}/infer", json={"inputs": [rows]}, timeout=30)
        assert response.status_code == 200, response.text
        assert response.json()["model_version"] == str(deployed.status()["activeVersion"])


def test_a_port_forward_reaches_the_store(node_with_networks: Stage) -> None:
    target = (object_store.NAMESPACE, object_store.NAME, object_store.PORT)
    with port_forward(node_with_networks, *target) as address:
        client = replace(node_with_networks.store, endpoint_local=address).client()
        assert BUCKET in {each["Name"] for each in client.list_buckets()["Buckets"]}


def test_a_deployment_without_versions_waits(stage: Stage, data: Json) -> None:
    served = Served(stage, "unborn", data)
    served.deploy()
    status = served.wait("to report what it waits for", lambda status: status.get("phase") == "Pending")
    assert "unborn" in condition({"status": status}, "Ready")["message"]
    assert not stage.items("services", f"{meta.DEPLOYMENT_LABEL}=unborn"), "there is no version to serve"
    stage.kubectl("delete", "md", "unborn")


def test_a_new_version_takes_over_and_no_request_fails(deployed: Served, numbers: tuple[int, int]) -> None:
    before, _ = numbers
    with deployed.clients() as client:
        version = deployed.train("served-next")
        client.wait_for_version(version, 120)
        status = deployed.serves(version)
    assert status["previousVersion"] == before
    assert set(client.tally.by_version) == {before, version}
    assert status["history"][0]["version"] == version
    assert status["history"][0]["outcome"] == "Active"
    service = deployed.stage.get("services", MODEL)
    assert service["spec"]["selector"][meta.VERSION_LABEL] == str(version)
    assert deployed.version(version)["status"]["usedBy"] == [MODEL]
    assert len(deployed.pods(before)) == 1, "the pods of the version before stay warm"
    owners = [each["kind"] for each in service["metadata"]["ownerReferences"]]
    assert owners == ["ModelDeployment"]


def test_a_corrupt_artifact_is_rejected_and_the_old_version_keeps_serving(
    deployed: Served, numbers: tuple[int, int]
) -> None:
    active, _ = numbers
    with deployed.clients() as client:
        held = deployed.act("hold")
        deployed.wait("to be held", lambda status: status.get("lastHandledAction") == held)
        version = deployed.train("served-corrupt")
        assert deployed.status()["activeVersion"] == active
        corrupt(deployed.stage.store, deployed.version(version)["spec"]["artifact"]["uri"])
        deployed.act("release")
        rejection = deployed.rejects(version)
        assert deployed.serves(active)["activeDigest"]
    assert set(client.tally.by_version) == {active}
    assert rejection["reason"] == "BadData"
    assert "sha256" in rejection["message"]
    assert deployed.version(version)["status"]["quarantinedBy"] == MODEL
    gone = lambda: not deployed.pods(version)  # noqa: E731
    deployed.stage.wait_until(f"the pods of version {version} to go", gone)


def test_a_rollback_by_annotation_uses_warm_pods_and_holds(deployed: Served, numbers: tuple[int, int]) -> None:
    active, previous = numbers
    assert previous
    with deployed.clients() as client:
        action = deployed.act("rollback/previous")
        client.wait_for_version(previous, 120)
        status = deployed.serves(previous)
    assert status["lastHandledAction"] == action
    assert status["hold"]["reason"] == "ManualRollback"
    left = next(entry for entry in status["history"] if entry["version"] == active)
    assert left["outcome"] == "RolledBack"
    assert deployed.rejects(active)["version"] == active, "the policy does not select it again"
    version = deployed.train("served-newer")
    assert deployed.serves(version).get("hold") is None, "a newer version ends the hold"


def test_a_pin_selects_a_version_and_its_removal_the_newest(deployed: Served, numbers: tuple[int, int]) -> None:
    active, previous = numbers
    with deployed.clients() as client:
        deployed.deploy(version={"policy": "Pinned", "pin": str(previous)})
        client.wait_for_version(previous, 120)
        assert deployed.serves(previous)["history"][0]["by"] == "pin"
        deployed.deploy()
        deployed.serves(active)
    assert deployed.version(active)["status"]["phase"] == "Validated", "the version is not rejected"


def test_a_spec_that_cannot_start_keeps_the_old_pods(deployed: Served, numbers: tuple[int, int]) -> None:
    active, _ = numbers
    with deployed.clients() as client:
        deployed.deploy(serving={"image": f"{repository('trainer')}:{TAG}"})  # ends at once, without a job

        def broken() -> Any:
            statuses = [pod["status"].get("containerStatuses", []) for pod in deployed.pods(active)]
            return any(each["restartCount"] for status in statuses for each in status)

        deployed.stage.wait_until("the new pod to fail", broken)
        assert deployed.status()["activeVersion"] == active
        deployed.deploy()
        deployed.serves(active)
    assert set(client.tally.by_version) == {active}


def test_a_candidate_that_crashes_is_rejected(deployed: Served, numbers: tuple[int, int]) -> None:
    active, _ = numbers
    with deployed.clients() as client:
        deployed.deploy(serving={"resources": {"requests": {"memory": "24Mi"}, "limits": {"memory": "24Mi"}}})
        version = deployed.train("served-crashing")
        rejection = deployed.rejects(version)
        deployed.deploy()
        deployed.serves(active)
    assert set(client.tally.by_version) == {active}
    assert rejection["reason"] == "CrashLoop", rejection
    action = deployed.act(f"retry/{version}")
    assert deployed.serves(version)["lastHandledAction"] == action, "with enough memory it can serve"


def test_scaling_up_and_down(deployed: Served, numbers: tuple[int, int]) -> None:
    active, _ = numbers

    def ready(count: int) -> None:
        deployed.wait(f"to have {count} ready pods", lambda status: status.get("readyReplicas") == count)

    with deployed.clients():
        deployed.deploy(serving={"replicas": 2})
        ready(2)
        deployed.deploy(serving={"replicas": 1})
        ready(1)
        deployed.stage.wait_until("one of the pods to be deleted", lambda: len(deployed.pods(active)) == 1)


@pytest.mark.parametrize("away", [False, True], ids=["killed", "away"])
def test_a_rollout_survives_the_end_of_the_operator(deployed: Served, numbers: tuple[int, int], *, away: bool) -> None:
    stage = deployed.stage
    with deployed.clients() as client:
        held = deployed.act("hold")
        deployed.wait("to be held", lambda status: status.get("lastHandledAction") == held)
        version = deployed.train(f"served-meanwhile-{away}".lower())
        deployed.act("release")
        deployed.wait("to begin", lambda status: version in (status.get("candidateVersion"), status["activeVersion"]))
        if away:
            stage.operator("scale", DEPLOYMENT, "--replicas=0")
            stage.kubectl("rollout", "status", f"deployment/{MODEL}-v{version}", "--timeout=120s")
            stage.operator("scale", DEPLOYMENT, "--replicas=1")
        else:
            stage.operator(
                "delete", "pod", "--selector=app.kubernetes.io/name=trainyard", "--grace-period=0", "--force"
            )
        stage.operator("rollout", "status", DEPLOYMENT, "--timeout=120s")
        client.wait_for_version(version, 120)
        deployed.serves(version)


def test_an_impossible_request_is_reported_and_the_version_keeps_serving(
    deployed: Served, numbers: tuple[int, int]
) -> None:
    active, _ = numbers

    def action_message(verb: str) -> str:
        action = deployed.act(verb)
        status = deployed.wait(f"to handle {action}", lambda status: status.get("lastHandledAction") == action)
        return str(status["lastActionMessage"])

    assert "99999" in action_message("rollback/99999")
    assert "previous" in action_message("go-back")
    deployed.deploy(version={"policy": "Pinned", "pin": "99999"})
    status = deployed.wait(
        "to report that the pinned version does not exist", lambda status: "99999" in true_message(status, "Stalled")
    )
    assert status["activeVersion"] == active
    assert true_message(status, "Ready"), "the active version keeps serving"


def test_the_second_deployment_of_a_model_is_refused(deployed: Served, numbers: tuple[int, int]) -> None:
    Served(deployed.stage, MODEL, deployed.data, name="twin").deploy()

    def refused() -> Any:
        status = deployed.stage.get("md", "twin").get("status", {})
        return status.get("conditions") and condition({"status": status}, "Ready")["reason"] == "ModelTaken"

    deployed.stage.wait_until("ModelDeployment twin to be refused", refused)
    deployed.stage.kubectl("delete", "md", "twin")
    deployed.serves(numbers[0])


def test_deleting_a_deployment_deletes_all_its_children(stage: Stage, data: Json) -> None:
    served = Served(stage, "brief", data)
    served.deploy()
    version = served.train("brief-only")
    served.serves(version)
    uid = stage.get("md", "brief")["metadata"]["uid"]
    stage.kubectl("delete", "md", "brief")
    selector = f"{meta.DEPLOYMENT_UID_LABEL}={uid}"
    gone = lambda: not any(stage.items(kind, selector) for kind in ("deployments", "services", "pods"))  # noqa: E731
    stage.wait_until("the children of ModelDeployment brief to go", gone)
    assert served.version(version)["status"]["phase"] == "Validated", "its versions stay"
