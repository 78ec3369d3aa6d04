"""One job on three pods of a real node: an Indexed Job, one version, and the effect of a killed pod."""

import json
from typing import Any

import pytest

from demo.install import BUCKET
from tests.e2e.stage import Json, Stage, condition
from tests.integration.trainer.tables import sales_csv
from trainyard_api import meta

NAMES = [f"product_{number}" for number in range(12)]
SMALL = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}
INDEX = "batch.kubernetes.io/job-completion-index"


@pytest.fixture(scope="module")
def uri(stage: Stage) -> str:
    return stage.put("shards/sales.csv", sales_csv(**{name: 50.0 + 10 * len(name) for name in NAMES}))


def spec(uri: str, **changes: Any) -> Json:
    data = {"uri": uri, "time": "date", "series": "product", "target": "sold"}
    forecast = {"framework": "Prophet", "task": "Forecast", "forecast": {"horizon": 7}}
    return {**forecast, "data": data, "workers": 1, "resources": SMALL, **changes}


def pods_of(stage: Stage, job: Json, attempt: int = 1) -> dict[str, Json]:
    """Return the pods of an attempt by their index."""
    pods = stage.items("pods", f"{meta.UID_LABEL}={job['metadata']['uid']},{meta.ATTEMPT_LABEL}={attempt}")
    return {pod["metadata"]["annotations"].get(INDEX, ""): pod for pod in pods}


def result_of(pod: Json) -> Json:
    (container,) = pod["status"]["containerStatuses"]
    found: Json = json.loads(container["state"]["terminated"]["message"])
    return found


def ended_well(stage: Stage, name: str) -> Json:
    job = stage.wait_for_phase(name, "Succeeded", "Failed")
    assert job["status"]["phase"] == "Succeeded", condition(job, "Ready")["message"]
    return job


def manifest_of(stage: Stage, job: Json) -> Json:
    prefix = job["status"]["result"]["artifact"]["uri"].removeprefix(f"s3://{BUCKET}/").rstrip("/")
    body = stage.store.client().get_object(Bucket=BUCKET, Key=f"{prefix}/manifest.json")["Body"].read()
    found: Json = json.loads(body)
    return found


@pytest.fixture(scope="module")
def alone(stage: Stage, uri: str) -> Json:
    """Return the manifest of the same training in one pod."""
    stage.apply("alone", **spec(uri))
    return manifest_of(stage, ended_well(stage, "alone"))


def test_three_pods_make_the_same_version_as_one(stage: Stage, uri: str, alone: Json) -> None:
    stage.apply("shared", **spec(uri, shards=3))
    job = ended_well(stage, "shared")
    (child,) = stage.items("jobs", f"{meta.UID_LABEL}={job['metadata']['uid']}")
    assert (child["spec"]["completionMode"], child["spec"]["completions"]) == ("Indexed", 3)
    pods = pods_of(stage, job)
    assert sorted(pods) == ["0", "1", "2"]
    made = sorted(result_of(pod).get("made", "Version") for pod in pods.values())
    assert set(made) == {"Shard", "Version"}, "at least one pod finished before the last one"
    assert (made[0], made[-1]) == ("Shard", "Version")
    (version,) = stage.versions_of(job)
    assert version["metadata"]["name"] == "shared-v1"
    series = job["status"]["result"]["series"]
    assert (series["total"], series["trained"] + series["fallback"], series["failed"]) == (12, 12, 0)
    assert len(job["status"]["attempts"]) == 1
    assert manifest_of(stage, job)["contentSha256"] == alone["contentSha256"]


def test_a_killed_shard_costs_an_attempt_and_nothing_else(stage: Stage, uri: str, alone: Json) -> None:
    stage.apply("killed", **spec(uri, shards=3, retry={"initialSeconds": 0}))

    def runs() -> str | None:
        pod = pods_of(stage, stage.get("tj", "killed")).get("1")
        return pod["metadata"]["name"] if pod and pod["status"].get("phase") == "Running" else None

    name = stage.wait_until("the second shard to run", runs, about="killed")
    stage.kubectl("delete", "pod", name, "--force", "--grace-period=0")
    job = ended_well(stage, "killed")
    first, second = job["status"]["attempts"]
    assert (first["number"], second["number"], second["reason"]) == (1, 2, "Completed")
    assert sorted(pods_of(stage, job, attempt=2)) == ["0", "1", "2"]
    assert [version["metadata"]["name"] for version in stage.versions_of(job)] == ["killed-v1"]
    assert manifest_of(stage, job)["contentSha256"] == alone["contentSha256"]
    assert job["status"]["result"]["series"]["total"] == 12


def test_an_unsupported_framework_fails_at_once(stage: Stage, uri: str) -> None:
    stage.apply("global", **{**spec(uri, shards=2), "framework": "LightGBM"})
    job = stage.wait_for_phase("global", "Failed")
    assert condition(job, "Ready")["reason"] == "InvalidSpec"
    assert "spec.shards 2 needs framework Prophet and mode Train" in condition(job, "Ready")["message"]
