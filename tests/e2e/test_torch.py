"""Framework Torch in pods of its own image, on the CPU of a real node, and its model in a server without Torch."""

import pandas as pd
import pytest

from cluster.service_route import service_route
from demo.client import Client
from demo.images import provide_torch_image
from demo.install import JOBS_NAMESPACE
from tests.e2e.serving import Served
from tests.e2e.stage import Json, Stage, condition

ROWS = "size,shop,price\n" + "".join(
    f"{n % 50},{('north', 'south')[n % 2]},{3 * (n % 50) + 20 * (n % 2)}\n" for n in range(300)
)
DAYS = pd.date_range("2026-01-01", periods=200).strftime("%Y-%m-%d")
SALES = "day,shop,sold\n" + "".join(
    f"{day},{shop},{base + n % 7 * 3 + n * 37 % 11}\n"
    for shop, base in (("north", 10), ("south", 40))
    for n, day in enumerate(DAYS)
)
QUICK: Json = {"epochs": 30, "hidden": [32], "learning_rate": 0.01}


@pytest.fixture(scope="module")
def jobs(stage: Stage) -> dict[str, Json]:
    """Train both kinds of networks in parallel, and return the jobs after their end."""
    provide_torch_image(stage.cluster, print)
    rows = {"uri": stage.put("torch-rows.csv", ROWS), "target": "price"}
    stage.apply("torch-rows", framework="Torch", task="Regression", data=rows, parameters=QUICK)
    series = {"uri": stage.put("torch-sales.csv", SALES), "target": "sold", "time": "day", "series": "shop"}
    stage.apply(
        "torch-sales",
        framework="Torch",
        task="Forecast",
        data=series,
        forecast={"horizon": 7},
        parameters=QUICK,
        accelerator={"resource": "example.com/gpu", "fallback": "CPU", "fallbackAfterSeconds": 1},
    )
    return {name: stage.wait_for_phase(name, "Succeeded", "Failed") for name in ("torch-rows", "torch-sales")}


@pytest.mark.parametrize("name", ["torch-rows", "torch-sales"])
def test_a_network_is_trained_in_a_pod(stage: Stage, jobs: dict[str, Json], name: str) -> None:
    job = jobs[name]
    status = job["status"]
    assert status["phase"] == "Succeeded", condition(job, "Ready")["message"]
    assert status["result"]["device"] == "cpu"
    metrics = {each["name"]: float(each["value"]) for each in status["result"]["metrics"]}
    assert metrics["mae"] < metrics["baseline_mae"]
    (version,) = stage.versions_of(job)
    assert version["spec"]["formats"] == ["safetensors", "onnx"]
    assert version["spec"]["image"].rpartition(":")[0].endswith("trainyard-trainer-torch")


def test_without_a_gpu_the_cpu_trains(jobs: dict[str, Json]) -> None:
    assert condition(jobs["torch-sales"], "DeviceFallback")["status"] == "True"


def test_a_server_without_torch_predicts(stage: Stage, jobs: dict[str, Json]) -> None:
    version = jobs["torch-rows"]["status"]["modelVersion"]["version"]
    served = Served(stage, "torch-rows", {})
    served.deploy()
    served.serves(version)
    with Client(service_route(stage.cluster, JOBS_NAMESPACE, "torch-rows", 80), "torch-rows") as client:
        client.wait_for_version(version, 120)
    assert client.tally.failures == []
    stage.kubectl("delete", "md", "torch-rows", "--cascade=foreground")
