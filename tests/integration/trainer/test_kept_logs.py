"""The log of a pod is in the storage when the pod is gone: after success, after failure, and after a kill."""

import json
import os
import subprocess
import sys
import time
from typing import Any

from tests.integration.trainer.conftest import Upload
from tests.integration.trainer.object_store import BUCKET
from tests.integration.trainer.pod import Line, Pod
from tests.integration.trainer.tables import regression, regression_csv
from tests.integration.trainer.test_container import ContainerSteps
from trainyard_trainer.artifacts.manifest import parse_manifest
from trainyard_trainer.artifacts.s3 import S3Store

WAIT_SECONDS = 120
WAITING_SCRIPT = "import time\nprint('the script has begun', flush=True)\ntime.sleep(3600)\n"


def logs_of(pod: Pod) -> dict[str, list[Line]]:
    """Return the logs of a job by name, in order."""
    store = S3Store(pod.store.client(), f"s3://{BUCKET}/pods")
    folder = f"shop/model-{pod.uid}/logs/{pod.uid}"
    bodies = {name: store.get(f"{folder}/{name}") or b"" for name in store.children(folder)}
    return {name: [json.loads(line) for line in body.splitlines()] for name, body in bodies.items()}


def only_log(pod: Pod) -> list[Line]:
    (lines,) = logs_of(pod).values()
    return lines


def script(upload: Upload, text: str) -> dict[str, Any]:
    spec = regression(upload("regression.csv", regression_csv()))
    return {**spec, "framework": "Script", "script": {"inline": text}}


def test_the_log_is_stored_and_the_result_names_it(pod: Pod, upload: Upload) -> None:
    ended = pod.run(regression(upload("regression.csv", regression_csv())))
    assert ended.code == 0
    assert only_log(pod) == ended.lines
    assert ended.result.log == f"s3://{BUCKET}/pods/shop/model-{pod.uid}/logs/{pod.uid}"
    assert ended.result.artifact is not None
    key = f"{ended.result.artifact.uri}/manifest.json".removeprefix(f"s3://{BUCKET}/pods/")
    body = S3Store(pod.store.client(), f"s3://{BUCKET}/pods").get(key)
    assert body is not None
    assert parse_manifest(body, key).log == f"shop/model-{pod.uid}/logs/{pod.uid}"


def test_each_attempt_has_its_own_log(pod: Pod, upload: Upload) -> None:
    uri = upload("regression.csv", regression_csv())
    failed = pod.run(regression(uri, parameters={"num_leafs": 3}))  # refused before the storage is opened
    assert failed.code == 64
    missing = pod.run(regression("s3://data-sets/not-there.csv"), attempt=2)
    assert missing.code == 66
    first, second = logs_of(pod).items()
    assert "-attempt-1-train-" in first[0]
    assert "-attempt-2-train-" in second[0]
    assert first[1] == failed.lines
    assert second[1] == missing.lines


def test_the_log_of_a_stopped_pod_is_stored(pod: Pod, upload: Upload) -> None:
    ended = pod.run(script(upload, WAITING_SCRIPT), signal_when=lambda line: "the script has begun" in line["message"])
    assert ended.code == 75
    assert only_log(pod) == ended.lines
    assert "script: the script has begun" in [line["message"] for line in only_log(pod)]


def test_a_killed_pod_loses_only_the_last_seconds_of_its_log(pod: Pod, upload: Upload) -> None:
    variables = pod._prepare(script(upload, WAITING_SCRIPT), 1)
    command = [sys.executable, "-m", "trainyard_trainer"]
    with subprocess.Popen(command, env={**os.environ, **variables}, stdout=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + WAIT_SECONDS
            while not any(
                "the script has begun" in line["message"] for lines in logs_of(pod).values() for line in lines
            ):
                assert time.monotonic() < deadline, "nothing was written while the training ran"
                assert process.poll() is None
                time.sleep(0.2)  # between two checks
        finally:
            process.kill()
    assert only_log(pod)[0]["seq"] == 1


def test_both_steps_around_a_container_store_their_logs(pod: Pod, upload: Upload) -> None:
    steps = ContainerSteps(pod, regression(upload("container.csv", regression_csv())))
    assert steps.step("fetch") == 0
    steps.train()
    assert steps.step("register") == 0
    parts = [name.split("-attempt-1-")[1].split("-")[0] for name in logs_of(pod)]
    assert sorted(parts) == ["fetch", "register"]


def test_the_stored_log_has_no_secret(pod: Pod, upload: Upload) -> None:
    text = "print('https://me:hush@host/table?token=hush and Bearer hush', flush=True)\nraise SystemExit(3)\n"
    ended = pod.run(script(upload, text))
    assert ended.code == 1
    first, *_ = [line["message"] for line in only_log(pod) if "host/table" in line["message"]]
    assert first == "script: https://***@host/table?token=*** and Bearer ***"
    assert "hush" not in json.dumps(only_log(pod))


def test_a_storage_that_refuses_the_log_does_not_change_the_result(pod: Pod, upload: Upload) -> None:
    pod.secret = pod.store.guest_secret
    ended = pod.run(regression(upload("regression.csv", regression_csv())))
    assert ended.code == 77
    assert logs_of(pod) == {}
