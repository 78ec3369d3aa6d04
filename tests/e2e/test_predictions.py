"""PredictionJobs in pods of a real node: rows and forecasts in a bucket, the version that predicts, a killed pod."""

import io
import json

import pandas as pd
import pytest

from demo.data import tables
from demo.install import BUCKET
from tests.e2e.stage import Json, Stage, condition
from trainyard_api import API_VERSION

TREES: Json = {"num_iterations": 40}
HORIZON = 14
FOLDER = "predictions"


@pytest.fixture(scope="module")
def uris(stage: Stage) -> dict[str, str]:
    """Train both models side by side, and return the addresses of the tables."""
    found = {key: stage.put(key, text) for key, text, _ in tables()}
    stage.apply(
        "scores",
        framework="LightGBM",
        task="Regression",
        data={"uri": found["diabetes.csv"], "target": "target"},
        parameters=TREES,
    )
    stage.apply(
        "sales",
        framework="LightGBM",
        task="Forecast",
        data={"uri": found["products.csv"], "time": "date", "series": "product", "target": "quantity"},
        forecast={"horizon": HORIZON, "quantiles": [0.1, 0.9]},
        parameters=TREES,
    )
    for name in ("scores", "sales"):
        job = stage.wait_for_phase(name, "Succeeded", "Failed")
        assert job["status"]["phase"] == "Succeeded", condition(job, "Ready")["message"]
    return found


def predict(stage: Stage, name: str, *, model: Json, uri: str, **spec: object) -> None:
    """Apply a PredictionJob whose output is a folder of its own in the bucket."""
    whole = {
        "model": model,
        "data": {"uri": uri},
        "output": {"files": {"uri": f"s3://{BUCKET}/{FOLDER}/{name}"}},
        **spec,
    }
    body = {"apiVersion": API_VERSION, "kind": "PredictionJob", "metadata": {"name": name}, "spec": whole}
    stage.kubectl("apply", "-f", "-", stdin=json.dumps(body))


def succeeded(stage: Stage, name: str) -> Json:
    job = stage.wait_for_phase(name, "Succeeded", "Failed", kind="pj")
    assert job["status"]["phase"] == "Succeeded", condition(job, "Ready")["message"]
    return job


def objects_of(stage: Stage, name: str) -> list[str]:
    """Return the keys of a job's output, without those of trainyard itself."""
    prefix = f"{FOLDER}/{name}/"
    listed = stage.store.client().list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    keys = [each["Key"].removeprefix(prefix) for each in listed]
    return [key for key in keys if not any(part.startswith("_") for part in key.split("/"))]


def rows_of(stage: Stage, name: str) -> pd.DataFrame:
    """Return the rows of a job from its one object."""
    [key] = objects_of(stage, name)
    content = stage.store.client().get_object(Bucket=BUCKET, Key=f"{FOLDER}/{name}/{key}")["Body"].read()
    return pd.read_parquet(io.BytesIO(content))


def test_the_rows_of_a_table_get_predictions(stage: Stage, uris: dict[str, str]) -> None:
    data = {"uri": uris["diabetes.csv"], "keep": ["age", "bmi"]}
    predict(stage, "scored", model={"name": "scores"}, uri=uris["diabetes.csv"], data=data)
    job = succeeded(stage, "scored")
    rows = rows_of(stage, "scored")
    assert list(rows.columns) == ["age", "bmi", "prediction", "model", "version", "run", "predicted_at"]
    assert len(rows) == job["status"]["result"]["rows"] > 0
    assert rows["prediction"].notna().all()
    assert set(rows["run"]) == {job["metadata"]["uid"]}
    shown = stage.kubectl("get", "pj", "scored").splitlines()
    assert shown[0].split()[:5] == ["NAME", "MODEL", "VERSION", "PHASE", "REASON"]
    assert shown[1].split()[:5] == ["scored", "scores", "1", "Succeeded", "Succeeded"]


def test_it_waits_for_the_first_active_version_and_forecasts_with_it(stage: Stage, uris: dict[str, str]) -> None:
    predict(stage, "nightly", model={"deployment": "shop"}, uri=uris["products.csv"], horizon=7)
    job = stage.wait_for_phase("nightly", "Pending", kind="pj")
    assert condition(job, "Ready")["reason"] == "DeploymentMissing"
    spec = {"modelName": "sales"}
    stage.apply_objects(
        {"apiVersion": API_VERSION, "kind": "ModelDeployment", "metadata": {"name": "shop"}, "spec": spec}
    )
    job = succeeded(stage, "nightly")
    rows = rows_of(stage, "nightly")
    assert len(rows) == job["status"]["result"]["series"] * 7
    assert {"series", "time", "as_of", "step", "prediction", "quantile:0.1", "quantile:0.9", "version"} <= {
        *rows.columns
    }
    assert (rows["quantile:0.1"] <= rows["quantile:0.9"]).all()
    assert (job["status"]["version"], set(rows["version"])) == (1, {1})


def test_a_killed_pod_leaves_each_row_once(stage: Stage, uris: dict[str, str]) -> None:
    predict(
        stage,
        "killed",
        model={"name": "sales"},
        uri=uris["products.csv"],
        retry={"maxAttempts": 3, "initialSeconds": 0},
    )
    stage.wait_for_phase("killed", "Running", "Succeeded", kind="pj")
    selector = "trainyard.dev/predictionjob=killed"
    stage.kubectl("delete", "pod", "-l", selector, "--force", "--grace-period=0", "--wait=false")
    job = succeeded(stage, "killed")
    rows = rows_of(stage, "killed")
    assert len(rows) == job["status"]["result"]["rows"] == job["status"]["result"]["series"] * HORIZON
    assert not rows.duplicated(["series", "time"]).any()


@pytest.mark.parametrize(
    ("name", "spec", "reason", "says"),
    [
        ("too-far", {"horizon": HORIZON + 1}, "BadConfig", "horizon"),
        ("kept", {"data": {"uri": "s3://datasets/products.csv", "keep": ["product"]}}, "BadConfig", "data.keep"),
        ("absent", {"data": {"uri": "s3://datasets/no-such.csv"}}, "InputMissing", "no-such.csv"),
    ],
)
def test_bad_input_fails_with_one_message(
    stage: Stage, uris: dict[str, str], name: str, spec: Json, reason: str, says: str
) -> None:
    predict(stage, name, model={"name": "sales"}, uri=uris["products.csv"], **spec)
    job = stage.wait_for_phase(name, "Failed", "Succeeded", kind="pj")
    ready = condition(job, "Ready")
    assert (ready["reason"], says in ready["message"]) == (reason, True), ready["message"]
    assert objects_of(stage, name) == []
