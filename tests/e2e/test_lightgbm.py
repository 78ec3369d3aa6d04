"""LightGBM features in pods of a real node: a search for parameters, the ONNX format, and quantiles of forecasts."""

import json

import numpy as np
import onnxruntime
import pytest

from demo.data import tables
from demo.install import BUCKET
from tests.e2e.stage import Json, Stage, condition
from tests.e2e.test_shards import manifest_of

TRIALS = 3
TREES: Json = {"num_iterations": 60}


@pytest.fixture(scope="module")
def jobs(stage: Stage) -> dict[str, Json]:
    """Train both models in parallel, and return the jobs after their end."""
    uris = {key: stage.put(key, text) for key, text, _ in tables()}
    stage.apply(
        "searched",
        framework="LightGBM",
        task="Regression",
        data={"uri": uris["diabetes.csv"], "target": "target"},
        parameters=TREES,
        search={"trials": TRIALS, "timeoutSeconds": 120},
        export={"onnx": True},
    )
    stage.apply(
        "quantiles",
        framework="LightGBM",
        task="Forecast",
        data={"uri": uris["products.csv"], "time": "date", "series": "product", "target": "quantity"},
        forecast={"horizon": 14, "quantiles": [0.1, 0.5, 0.9]},
        parameters=TREES,
    )
    ended = {name: stage.wait_for_phase(name, "Succeeded", "Failed") for name in ("searched", "quantiles")}
    for job in ended.values():
        assert job["status"]["phase"] == "Succeeded", condition(job, "Ready")["message"]
    return ended


def read_file(stage: Stage, job: Json, file: str) -> bytes:
    """Return a file of the job's model."""
    run = job["status"]["result"]["artifact"]["uri"].removeprefix(f"s3://{BUCKET}/").rstrip("/")
    content: bytes = stage.store.client().get_object(Bucket=BUCKET, Key=f"{run}/{file}")["Body"].read()
    return content


def test_the_search_is_stored_with_the_version(stage: Stage, jobs: dict[str, Json]) -> None:
    found = json.loads(read_file(stage, jobs["searched"], "search.json"))
    assert found["trials"] == TRIALS
    manifest = manifest_of(stage, jobs["searched"])
    assert manifest["parameters"]["num_iterations"] == TREES["num_iterations"]
    searched = set(found["parameters"])
    assert searched <= {*manifest["parameters"]}, searched


def test_the_onnx_model_reproduces_the_golden_rows(stage: Stage, jobs: dict[str, Json]) -> None:
    (version,) = stage.versions_of(jobs["searched"])
    assert "onnx" in version["spec"]["formats"]
    golden = manifest_of(stage, jobs["searched"])["golden"]
    session = onnxruntime.InferenceSession(
        read_file(stage, jobs["searched"], "model.onnx"), providers=["CPUExecutionProvider"]
    )
    (outputs,) = session.run(None, {"rows": np.array(golden["inputs"]["rows"], dtype=np.float32)})
    expected = np.array(golden["outputs"]["rows"], dtype=np.float64)
    np.testing.assert_allclose(outputs, expected, rtol=golden["tolerance"])


def test_forecasts_have_their_quantiles(stage: Stage, jobs: dict[str, Json]) -> None:
    status = jobs["quantiles"]["status"]
    metrics = {each["name"]: float(each["value"]) for each in status["result"]["metrics"]}
    assert 0 < metrics["pinball"] < metrics["mae"]
    assert 0.6 < metrics["coverage"] <= 1
    (version,) = stage.versions_of(jobs["quantiles"])
    names = [column["name"] for column in version["spec"]["signature"]["outputs"]]
    assert names == ["prediction", "quantile:0.1", "quantile:0.5", "quantile:0.9"]
    golden = np.array(manifest_of(stage, jobs["quantiles"])["golden"]["outputs"]["rows"])
    assert (np.diff(golden[:, 1:], axis=1) >= 0).all()
    assert golden.min() >= 0, "sales are never negative"
