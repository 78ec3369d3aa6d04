"""From `kubectl apply` to a model: the examples on a real node, with images and chart."""

import hashlib
import json

import pytest

from demo.data import tables
from demo.images import ROOT
from demo.install import BUCKET, JOBS_NAMESPACE
from tests.e2e.stage import Stage, condition

EXAMPLES = ("diabetes-regression", "breast-cancer-classification", "retail-forecast")


@pytest.fixture(scope="module")
def examples(stage: Stage) -> Stage:
    for key, text, _ in tables():
        stage.put(key, text)
    stage.kubectl("apply", "-f", str(ROOT / "examples"))
    for name in EXAMPLES:
        stage.wait_for_phase(name, "Succeeded", "Failed")
    return stage


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_makes_a_version_with_metrics(examples: Stage, name: str) -> None:
    job = examples.get("tj", name)
    status = job["status"]
    assert status["phase"] == "Succeeded", condition(job, "Ready")["message"]
    assert condition(job, "Complete")["status"] == "True"
    assert status["observedGeneration"] == job["metadata"]["generation"]
    assert status["trainerStatus"]["progressPercentage"] == 100
    metrics = {each["name"]: float(each["value"]) for each in status["result"]["metrics"]}
    assert metrics[job["spec"]["objective"]["metric"]] == float(status["objectiveValue"])
    assert metrics["skill"] > 0, f"the model is worse than its baseline: {metrics}"
    (version,) = examples.versions_of(job)
    assert version["metadata"]["name"] == status["modelVersion"]["name"]
    assert version["spec"]["artifact"] == status["result"]["artifact"]
    assert "ownerReferences" not in version["metadata"], "a version must outlive its job"


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_stored_files_are_those_of_the_manifest(examples: Stage, name: str) -> None:
    artifact = examples.get("tj", name)["status"]["result"]["artifact"]
    client = examples.store.client()
    prefix = artifact["uri"].removeprefix(f"s3://{BUCKET}/").rstrip("/").removesuffix("/manifest.json")

    def read(key: str) -> bytes:
        content: bytes = client.get_object(Bucket=BUCKET, Key=f"{prefix}/{key}")["Body"].read()
        return content

    manifest = read("manifest.json")
    assert hashlib.sha256(manifest).hexdigest() == artifact["manifestSha256"]
    files = json.loads(manifest)["files"]
    assert files
    for file in files:
        content = read(file["path"])
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (file["sha256"], file["size"]), file["path"]


def test_kubectl_get_shows_the_columns(examples: Stage) -> None:
    def judged() -> bool:
        verdicts = [examples.get("tj", name)["status"].get("verdict", {}).get("phase") for name in EXAMPLES]
        return all(phase not in (None, "Pending") for phase in verdicts)

    examples.wait_until("every version to be judged", judged)
    heading, *rows = examples.kubectl("get", "tj", *EXAMPLES).splitlines()
    assert heading.split() == [
        *("NAME", "MODEL", "PHASE", "REASON", "PROGRESS", "METRIC", "OBJECTIVE"),
        *("VERSION", "VERDICT", "ATTEMPT", "AGE"),
    ]
    cells = {row.split()[0]: row.split()[1:-1] for row in rows}
    assert cells["breast-cancer-classification"][:4] == ["breast-cancer", "Succeeded", "Succeeded", "100"]
    assert cells["diabetes-regression"][4] == "mae"
    assert cells["diabetes-regression"][6:] == ["1", "Validated", "1"], "first version, first attempt"
    wide = examples.kubectl("get", "tj", "-o", "wide").splitlines()[0].split()
    assert wide[-4:] == ["FRAMEWORK", "QUEUE", "ETA", "DEVICE"]


def test_describe_shows_the_events_of_the_job(examples: Stage) -> None:
    description = examples.kubectl("describe", "tj", "diabetes-regression")
    assert "AttemptStarted" in description
    assert "created ModelVersion diabetes-regression-v1" in description


def test_the_namespace_enforces_the_restricted_profile(examples: Stage) -> None:
    labels = examples.get("namespaces", JOBS_NAMESPACE)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    (pod,) = examples.items("pods", "trainyard.dev/trainingjob=diabetes-regression")
    assert pod["status"]["phase"] == "Succeeded"
    assert pod["spec"]["automountServiceAccountToken"] is False


def test_a_second_job_of_the_model_makes_the_next_version(examples: Stage) -> None:
    spec = examples.get("tj", "diabetes-regression")["spec"]
    examples.apply("diabetes-again", **{**spec, "modelName": "diabetes-regression"})
    job = examples.wait_for_phase("diabetes-again", "Succeeded", "Failed")
    assert job["status"]["modelVersion"] == {"name": "diabetes-regression-v2", "version": 2}
