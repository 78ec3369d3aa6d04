"""A short test on the process node: operator and trainer run from the checkout, without images."""

import json

from demo.data import tables
from tests.e2e.serving import Served
from tests.e2e.stage import Stage, condition
from tests.e2e.test_container import ENDED, EXAMPLE, model_of


def test_the_checkout_trains_a_model(process_stage: Stage) -> None:
    for key, text, _ in tables():
        process_stage.put(key, text)
    process_stage.apply(
        "local", framework="LightGBM", task="Regression", data={"uri": "s3://datasets/diabetes.csv", "target": "target"}
    )
    job = process_stage.wait_for_phase("local", "Succeeded", "Failed")
    assert job["status"]["phase"] == "Succeeded", condition(job, "Ready")["message"]
    assert len(process_stage.versions_of(job)) == 1
    assert '"stage"' in process_stage.kubectl("logs", "job/local-1"), "structured log lines"


def test_a_model_in_a_persistent_volume(process_stage: Stage) -> None:
    access = {"AWS_ENDPOINT_URL": process_stage.store.endpoint_in_cluster, **process_stage.store.credentials()}
    metadata = {"name": "models"}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    for body in (
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": claim},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "data-access"}, "stringData": access},
    ):
        process_stage.kubectl("apply", "-f", "-", stdin=json.dumps(body))
    cancer = {key: text for key, text, _ in tables()}["breast-cancer.csv"]
    uri = process_stage.put("cancer.csv", cancer)
    process_stage.apply(
        "to-volume",
        framework="LightGBM",
        task="Classification",
        data={"uri": uri, "target": "malignant", "secretRef": {"name": "data-access"}},
        storage={"uri": "pvc://models/"},
    )
    job = process_stage.wait_for_phase("to-volume", "Succeeded", "Failed")
    assert job["status"]["phase"] == "Succeeded", condition(job, "Ready")["message"]
    assert job["status"]["result"]["artifact"]["uri"].startswith("pvc://models/")


def test_a_deployment_serves_the_next_version_and_rolls_back(process_stage: Stage) -> None:
    rows = "x,y\n" + "".join(f"{n},{n * 2 + n % 3}\n" for n in range(200))
    served = Served(process_stage, "served", {"uri": process_stage.put("served.csv", rows), "target": "y"})
    served.deploy()
    first = served.train("served-first")
    served.serves(first)
    with served.clients() as client:
        second = served.train("served-second")
        client.wait_for_version(second, 120)
        served.serves(second)
        served.act("rollback/previous")
        served.serves(first)
        client.wait_for_version(first, 120)
    assert set(client.tally.by_version) == {first, second}


def test_the_container_example_trains(process_stage: Stage) -> None:
    """The example without a change. Its image stands for the Python of this checkout."""
    for key, text, _ in tables():
        process_stage.put(key, text)
    process_stage.kubectl("apply", "-f", str(EXAMPLE))
    job = process_stage.wait_for_phase("ridge-regression", *ENDED)
    assert job["status"]["phase"] == "Succeeded", condition(job, "Ready")["message"]
    assert "(intercept)" in model_of(process_stage, job, "weights.json")
