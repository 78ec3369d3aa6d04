"""Framework Container on a real node: the user's image between two steps of the trainer, and the limits of its access.

The trainer's image serves as the user's image, because the node can pull no other. With its own command it is only
Python.
"""

import json
import textwrap
from typing import Any

import pytest
import yaml

from demo.data import tables
from demo.images import ROOT, TAG, repository
from demo.install import BUCKET
from tests.e2e.stage import Json, Stage, condition

IMAGE = f"{repository('trainer')}:{TAG}"
EXAMPLE = ROOT / "examples/container/ridge-regression.yaml"

PRELUDE = """
import json, os, pathlib, signal, sys, time
config = json.load(open(sys.argv[1]))
output = pathlib.Path(config["output"])

def leave(model, **metrics):
    (output / "model.json").write_text(json.dumps(model))
    (output / "metrics.json").write_text(json.dumps(metrics))
"""

REPORTS_ACCESS = """
found = [path for path in ("/var/run/trainyard", "/var/run/secrets", "/mnt/claims") if os.path.exists(path)]
found += [name for name in os.environ if name.startswith(("AWS_", "KUBEFLOW_", "TRAINYARD_STORAGE"))]
for path in ("/trainyard/input/mine", "/mine"):
    try:
        open(path, "w")
    except OSError:
        continue
    found.append(f"could write {path}")
leave({"found": found, "uid": os.getuid()}, mae=len(found))
"""

FAILS_IN_PLAIN_TEXT = """
print("reading", file=sys.stderr)
print("ValueError: column b has no variety", file=sys.stderr)
sys.exit(65)
"""

FAILS_WITH_A_TRAINER_RESULT = """
result = {"outcome": "Failed", "reason": "NoLuck", "message": "the dice fell badly"}
pathlib.Path("/dev/termination-log").write_text(json.dumps(result))
sys.exit(1)
"""

NEEDS_100_MIB = """
leave(len(b"x" * (100 << 20)), mae=1)
"""

WAITS_FOR_SIGTERM = """
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
time.sleep(900)
"""

ENDED = ("Succeeded", "Failed")


def container(script: str, **spec: Any) -> Json:
    """Return the spec of a job whose container runs a script after ``PRELUDE``."""
    command = ["python3", "-c", textwrap.dedent(PRELUDE + script), "$(TRAINYARD_CONFIG)"]
    data = {"uri": "s3://datasets/diabetes.csv", "target": "target"}
    return {
        "framework": "Container",
        "image": IMAGE,
        "task": "Regression",
        "data": data,
        "command": command,
        "retry": {"maxAttempts": 2, "initialSeconds": 0},
        **spec,
    }


@pytest.fixture(scope="module")
def jobs(stage: Stage) -> Stage:
    """Apply all jobs that end by themselves, at once."""
    for key, text, _ in tables():
        stage.put(key, text)
    example = yaml.safe_load(EXAMPLE.read_text())["spec"]
    small = {"requests": {"memory": "64Mi"}, "limits": {"memory": "64Mi"}}
    stage.apply("example", **{**example, "image": IMAGE})
    stage.apply("looks-around", **container(REPORTS_ACCESS, env=[{"name": "MINE", "value": "1"}]))
    stage.apply("plain-text", **container(FAILS_IN_PLAIN_TEXT))
    stage.apply("own-words", **container(FAILS_WITH_A_TRAINER_RESULT))
    stage.apply("leaves-nothing", **container("pass"))
    stage.apply("no-data", **container("pass", data={"uri": "s3://datasets/nowhere.csv", "target": "y"}))
    retry = {"maxAttempts": 2, "initialSeconds": 0, "memoryGrowth": 4}
    stage.apply("too-small", **container(NEEDS_100_MIB, resources=small, retry=retry))
    return stage


def model_of(stage: Stage, job: Json, name: str) -> Any:
    run = job["status"]["result"]["artifact"]["uri"].removeprefix(f"s3://{BUCKET}/")
    return json.loads(stage.store.client().get_object(Bucket=BUCKET, Key=f"{run}/model/{name}")["Body"].read())


def attempts_of(job: Json) -> list[tuple[str, int | None]]:
    return [(each["reason"], each.get("exitCode")) for each in job["status"]["attempts"]]


def test_the_example_makes_a_version(jobs: Stage) -> None:
    job = jobs.wait_for_phase("example", *ENDED)
    assert job["status"]["phase"] == "Succeeded", condition(job, "Ready")["message"]
    assert float(job["status"]["objectiveValue"]) < 50
    (version,) = jobs.versions_of(job)
    assert version["spec"]["formats"] == ["Container"]
    assert version["spec"]["image"] == IMAGE
    assert "(intercept)" in model_of(jobs, job, "weights.json")
    (pod,) = jobs.items("pods", "trainyard.dev/trainingjob=example")
    steps = [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]
    assert [step["name"] for step in steps] == ["fetch", "trainer", "register"]


def test_the_container_sees_no_secret_and_writes_only_its_output(jobs: Stage) -> None:
    job = jobs.wait_for_phase("looks-around", *ENDED)
    assert job["status"]["phase"] == "Succeeded", condition(job, "Ready")["message"]
    assert model_of(jobs, job, "model.json") == {"found": [], "uid": 65532}


def test_a_final_exit_code_with_plain_text_is_not_retried(jobs: Stage) -> None:
    job = jobs.wait_for_phase("plain-text", *ENDED)
    assert attempts_of(job) == [("BadData", 65)], "exit code 65 is never retried"
    assert "container trainer of pod plain-text-1" in condition(job, "Ready")["message"]
    assert "ValueError: column b has no variety" in condition(job, "Ready")["message"]


def test_a_failure_with_a_trainer_result_is_retried(jobs: Stage) -> None:
    job = jobs.wait_for_phase("own-words", *ENDED)
    assert attempts_of(job) == [("NoLuck", 1)] * 2
    assert "the dice fell badly" in condition(job, "Ready")["message"]


def test_a_container_without_output_is_bad_data(jobs: Stage) -> None:
    job = jobs.wait_for_phase("leaves-nothing", *ENDED)
    assert attempts_of(job) == [("BadData", 65)]
    assert "wrote no model into /trainyard/output" in condition(job, "Ready")["message"]


def test_missing_data_ends_before_the_container_starts(jobs: Stage) -> None:
    job = jobs.wait_for_phase("no-data", *ENDED)
    assert attempts_of(job) == [("InputMissing", 66)]
    (pod,) = jobs.items("pods", "trainyard.dev/trainingjob=no-data")
    states = {each["name"]: each["state"] for each in pod["status"]["initContainerStatuses"]}
    assert "terminated" in states["fetch"]
    assert "waiting" in states["trainer"]


def test_out_of_memory_grows_the_container(jobs: Stage) -> None:
    job = jobs.wait_for_phase("too-small", *ENDED)
    assert job["status"]["phase"] == "Succeeded", condition(job, "Ready")["message"]
    assert attempts_of(job) == [("OOMKilled", 137), ("Completed", 0)]


def test_the_job_is_running_while_the_container_trains_and_a_cancel_sends_sigterm(jobs: Stage) -> None:
    jobs.apply("waits", **container(WAITS_FOR_SIGTERM))
    jobs.wait_for_phase("waits", "Running")

    def trains() -> bool:
        pods = jobs.items("pods", "trainyard.dev/trainingjob=waits")
        states = [each for pod in pods for each in pod["status"].get("initContainerStatuses", ())]
        return any("running" in each["state"] for each in states if each["name"] == "trainer")

    jobs.wait_until("the user's container to run", trains, about="waits")
    assert jobs.get("tj", "waits")["status"]["phase"] == "Running"
    jobs.kubectl("patch", "tj", "waits", "--type=merge", "-p", '{"spec": {"cancel": true}}')
    # The grace period is 60 seconds, so SIGTERM ended the container.
    jobs.wait_for_phase("waits", "Cancelled", seconds=40)
    assert jobs.items("pods", "trainyard.dev/trainingjob=waits") == []
