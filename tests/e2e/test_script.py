"""Framework Script and mode Prepare on a real node."""

import io
import json
from typing import Any

import pandas as pd
import pytest

from demo.data import tables
from demo.images import ROOT
from demo.install import BUCKET
from tests.e2e.stage import Json, Stage, condition
from tests.e2e.test_container import PRELUDE

SCRIPT_EXAMPLE = ROOT / "examples/script/ridge-search.yaml"
PREPARE_EXAMPLE = ROOT / "examples/prepare/sales-profile.yaml"

REPORTS_ACCESS = """
names = sorted(name for name in os.environ if name.startswith(("AWS_", "KUBE", "TRAINYARD", "MINE", "PASS")))
hidden = [value for value in os.environ.values() if "/var/run" in value]
leave({"names": names, "hidden": hidden, "pass": os.environ["PASS"], "uid": os.getuid()}, mae="np.float64(1.5)")
"""

FAILS = """
print("reading", flush=True)
raise ValueError("column b has no variety")
"""

NEEDS_MORE = """
print("too few rows of class b", file=sys.stderr)
sys.exit(65)
"""

NEVER_ENDS = """
import time
print(json.dumps({"progress": 0.5, "message": "half of it"}), flush=True)
time.sleep(900)
"""

ENDED = ("Succeeded", "Failed")


def script(text: str, **spec: Any) -> Json:
    """Return the spec of a job that runs a script after ``PRELUDE``."""
    return {
        "framework": "Script",
        "script": {"inline": PRELUDE + text},
        "task": "Regression",
        "data": {"uri": "s3://datasets/diabetes.csv", "target": "target"},
        "retry": {"maxAttempts": 2, "initialSeconds": 0},
        **spec,
    }


@pytest.fixture(scope="module")
def jobs(stage: Stage) -> Stage:
    """Apply all jobs that end by themselves, at once."""
    for key, text, _ in tables():
        stage.put(key, text)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "code"}, "stringData": {"pass": "open sesame"}}
    stage.apply_objects(secret)
    missing = {"configMapRef": {"name": "nowhere", "key": "train.py"}}
    stage.apply("waits-for-code", **script("", script=missing))
    stage.kubectl("apply", "-f", str(SCRIPT_EXAMPLE), "-f", str(PREPARE_EXAMPLE))
    password = {"name": "PASS", "valueFrom": {"secretKeyRef": {"name": "code", "key": "pass"}}}
    stage.apply("looks-around", **script(REPORTS_ACCESS, env=[password, {"name": "MINE", "value": "1"}]))
    stage.apply("fails", **script(FAILS))
    stage.apply("needs-more", **script(NEEDS_MORE))
    return stage


def file_of(stage: Stage, job: Json, name: str) -> bytes:
    run = job["status"]["result"]["artifact"]["uri"].removeprefix(f"s3://{BUCKET}/")
    found: bytes = stage.store.client().get_object(Bucket=BUCKET, Key=f"{run}/{name}")["Body"].read()
    return found


def attempts_of(job: Json) -> list[tuple[str, int | None]]:
    return [(each["reason"], each.get("exitCode")) for each in job["status"]["attempts"]]


def test_a_script_from_a_config_map_makes_a_version(jobs: Stage) -> None:
    job = jobs.wait_for_phase("ridge-search", *ENDED)
    assert job["status"]["phase"] == "Succeeded", condition(job, "Ready")["message"]
    (version,) = jobs.versions_of(job)
    assert version["spec"]["formats"] == ["Script"]
    assert float(job["status"]["objectiveValue"]) < 50
    assert "(intercept)" in json.loads(file_of(jobs, job, "model/weights.json"))["weights"]
    assert b"Ridge(alpha=best)" in file_of(jobs, job, "script.py")


def test_a_script_sees_its_own_variables_and_no_credentials(jobs: Stage) -> None:
    job = jobs.wait_for_phase("looks-around", *ENDED)
    assert job["status"]["phase"] == "Succeeded", condition(job, "Ready")["message"]
    found = json.loads(file_of(jobs, job, "model/model.json"))
    expected = {"names": ["MINE", "PASS", "TRAINYARD_CONFIG"], "hidden": [], "pass": "open sesame", "uid": 65532}
    assert found == expected


def test_the_last_output_of_a_failing_script_is_the_jobs_message(jobs: Stage) -> None:
    job = jobs.wait_for_phase("fails", *ENDED)
    assert attempts_of(job) == [("Crashed", 1)] * 2, "an unknown error is retried"
    assert (
        "the script ended with exit code 1: ValueError: column b has no variety" in condition(job, "Ready")["message"]
    )
    job = jobs.wait_for_phase("needs-more", *ENDED)
    assert attempts_of(job) == [("BadData", 65)]
    assert condition(job, "Ready")["message"] == "the script ended with exit code 65: too few rows of class b"


def test_mode_prepare_makes_a_dataset_without_a_model(jobs: Stage) -> None:
    job = jobs.wait_for_phase("sales-profile", *ENDED)
    assert job["status"]["phase"] == "Succeeded", condition(job, "Ready")["message"]
    assert condition(job, "Complete")["status"] == "True"
    assert "modelVersion" not in job["status"]
    assert jobs.versions_of(job) == []
    frame = pd.read_parquet(io.BytesIO(file_of(jobs, job, "dataset.parquet")))
    assert list(frame.columns) == ["product", "date", "quantity", "split"]
    assert (frame.groupby("product", observed=True)["split"].apply(lambda part: (part == "test").sum()) == 28).all()
    manifest = json.loads(file_of(jobs, job, "manifest.json"))
    expected = f"prepared a dataset of {len(frame)} rows and 4 columns, {manifest['digest']}"
    assert condition(job, "Ready")["message"] == expected
    assert b'<img class="violin"' in file_of(jobs, job, "profile.html")
    assert job["status"]["result"]["report"].endswith("/profile.html")


def test_progress_lines_are_reported_and_a_cancel_ends_the_script(jobs: Stage) -> None:
    jobs.apply("never-ends", **script(NEVER_ENDS))

    def is_half_done() -> bool:
        reported = jobs.get("tj", "never-ends").get("status", {}).get("trainerStatus") or {}
        return (reported.get("progressPercentage"), reported.get("message")) == (55, "half of it")

    jobs.wait_until("the script's progress to arrive", is_half_done, about="never-ends")
    jobs.kubectl("patch", "tj", "never-ends", "--type=merge", "-p", '{"spec": {"cancel": true}}')
    jobs.wait_for_phase("never-ends", "Cancelled", seconds=30)
    assert jobs.items("pods", "trainyard.dev/trainingjob=never-ends") == []


def test_a_job_waits_for_a_missing_config_map_and_reports_it(jobs: Stage) -> None:
    def says_so() -> bool:
        message = condition(jobs.get("tj", "waits-for-code"), "Ready")["message"]
        return "FailedMount" in message and 'configmap "nowhere" not found' in message

    jobs.wait_until("the condition to name the ConfigMap", says_so, seconds=90, about="waits-for-code")
    assert jobs.get("tj", "waits-for-code")["status"]["phase"] == "Starting"


def test_the_script_example_trains_on_a_process_node(process_stage: Stage) -> None:
    for key, text, _ in tables():
        process_stage.put(key, text)
    process_stage.kubectl("apply", "-f", str(SCRIPT_EXAMPLE))
    job = process_stage.wait_for_phase("ridge-search", *ENDED)
    assert job["status"]["phase"] == "Succeeded", condition(job, "Ready")["message"]
