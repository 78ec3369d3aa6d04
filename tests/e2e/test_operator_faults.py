"""The operator is killed, absent, receives forged reports, and is uninstalled. The jobs succeed all the same."""

import base64
import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from cluster import lifecycle, object_store, toolchain
from cluster.commands import run
from demo.data import product_sales, tables
from demo.images import provide_images
from demo.install import OPERATOR_NAMESPACE, RELEASE, install_chart
from tests.e2e.stage import DEPLOYMENT, Json, Stage, condition
from tests.e2e.test_script import script
from trainyard_api import meta

CONTINUE_FILE = f"{meta.WORK_DIR}/go"
WAITS_FOR_FILE = f"""
import time
while not os.path.exists({CONTINUE_FILE!r}):
    time.sleep(0.1)
leave({{}}, mae=1.0)
"""

FORECAST: dict[str, Any] = {"framework": "Prophet", "task": "Forecast", "forecast": {"horizon": 28}}


@pytest.fixture(scope="module")
def sales(stage: Stage) -> Json:
    uri = stage.put("faults.csv", product_sales().to_csv(index=False))
    return {"uri": uri, "time": "date", "series": "product", "target": "quantity"}


def ended_well(stage: Stage, name: str) -> None:
    job = stage.wait_for_phase(name, "Succeeded", "Failed")
    assert job["status"]["phase"] == "Succeeded", condition(job, "Ready")["message"]
    assert job["status"]["result"]["metrics"]
    assert len(job["status"]["attempts"]) == 1
    assert len(stage.items("jobs", f"{meta.UID_LABEL}={job['metadata']['uid']}")) == 1
    assert len(stage.versions_of(job)) == 1


def test_deleting_the_operator_pod_does_not_disturb_a_running_job(stage: Stage, sales: Json) -> None:
    stage.apply("orphaned", **FORECAST, data=sales)
    stage.wait_for_phase("orphaned", "Running")
    stage.operator("delete", "pod", "--selector=app.kubernetes.io/name=trainyard", "--grace-period=0", "--force")
    ended_well(stage, "orphaned")
    stage.operator("rollout", "status", DEPLOYMENT, "--timeout=120s")


def test_a_job_that_ends_without_an_operator_is_completed_later(stage: Stage, sales: Json) -> None:
    stage.apply("unwatched", **FORECAST, data=sales)
    stage.wait_for_phase("unwatched", "Starting", "Running")
    stage.operator("scale", DEPLOYMENT, "--replicas=0")
    try:
        stage.kubectl("wait", "--for=condition=Complete", "job/unwatched-1", "--timeout=240s")
        assert stage.get("tj", "unwatched")["status"]["phase"] != "Succeeded"
    finally:
        stage.operator("scale", DEPLOYMENT, "--replicas=1")
        stage.operator("rollout", "status", DEPLOYMENT, "--timeout=120s")
    ended_well(stage, "unwatched")


def test_forged_and_late_reports_change_nothing(stage: Stage) -> None:
    for key, text, _ in tables():
        stage.put(key, text)
    for name in ("victim", "forger"):
        stage.apply(name, **script(WAITS_FOR_FILE))
    victim, forger = (stage.wait_for_phase(name, "Running") for name in ("victim", "forger"))
    post = _Poster(stage, "victim")
    report = json.dumps({"trainerStatus": {"progressPercentage": 99, "message": "forged"}}).encode()
    own_pod, other_pod = _pod(stage, "victim"), _pod(stage, "forger")
    of_victim, of_forger = (_audience(stage, job) for job in (victim, forger))
    assert post(report) == 401, "no token"
    assert post(report, "made.up.token") == 401
    assert post(report, _token(stage, other_pod, of_forger)) in (401, 403), "a token for another job"
    assert post(report, _token(stage, other_pod, of_victim)) == 403, "the right audience, another job's pod"
    assert post(b" " * 2**20, _token(stage, own_pod, of_victim)) == 413
    assert post(b'{"trainerStatus": {"progressPercentage": 200}}', _token(stage, own_pod, of_victim)) == 422
    token = _token(stage, own_pod, of_victim)
    codes = [post(report, "made.up.token") for _ in range(100)]
    assert set(codes) <= {401, 429}
    assert stage.get("tj", "victim")["status"].get("trainerStatus", {}).get("message") != "forged"
    for pod in (own_pod, other_pod):
        stage.kubectl("exec", pod["metadata"]["name"], "--", "touch", CONTINUE_FILE)
    ended_well(stage, "victim")
    before = stage.get("tj", "victim")
    assert post(report, token) in (401, 403, 409), "the job has ended"
    assert stage.get("tj", "victim")["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    ended_well(stage, "forger")


def test_uninstall_and_reinstall_keep_the_objects(stage: Stage, sales: Json) -> None:
    stage.apply("kept", **FORECAST, data=sales)
    ended_well(stage, "kept")
    before = {kind: sorted(each["metadata"]["uid"] for each in stage.items(kind)) for kind in ("tj", "mv")}
    helm: list[str | Path] = [
        toolchain.ensure("helm"),
        f"--kubeconfig={stage.cluster.kubeconfig}",
        "--namespace",
        OPERATOR_NAMESPACE,
    ]
    run([*helm, "uninstall", RELEASE, "--wait"], timeout=180)
    assert {kind: sorted(each["metadata"]["uid"] for each in stage.items(kind)) for kind in ("tj", "mv")} == before
    source = provide_images(stage.cluster, print)
    store = object_store.deploy(stage.cluster, lifecycle.backend(stage.cluster.kind), print)
    install_chart(stage.cluster, endpoint=store.endpoint_in_cluster, source=source)
    assert {kind: sorted(each["metadata"]["uid"] for each in stage.items(kind)) for kind in ("tj", "mv")} == before
    stage.apply("after-reinstall", **FORECAST, data=sales)
    ended_well(stage, "after-reinstall")


class _Poster:
    """Sends reports to the progress endpoint of one job from outside.

    It trusts the same certificate authority as the pods.
    """

    def __init__(self, stage: Stage, name: str) -> None:
        secret = json.loads(stage.operator("get", "secret", "trainyard-tls", "-o", "json"))
        self._trust = ssl.create_default_context(cadata=base64.b64decode(secret["data"]["tls.crt"]).decode())
        self._trust.check_hostname = False  # the certificate lacks the address of this test
        namespace = stage.get("tj", name)["metadata"]["namespace"]
        self._url = f"https://{stage.service_address(8443)}{meta.progress_path(namespace, name)}"

    def __call__(self, body: bytes, token: str = "") -> int:
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        request = urllib.request.Request(self._url, data=body, headers=headers, method="POST")
        try:
            with urllib.request.urlopen(request, context=self._trust, timeout=20) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code


def _pod(stage: Stage, job: str) -> Json:
    return stage.items("pods", f"{meta.JOB_LABEL}={job}")[0]


def _audience(stage: Stage, job: Json) -> str:
    metadata = job["metadata"]
    return meta.token_audience(metadata["namespace"], metadata["name"], metadata["uid"])


def _token(stage: Stage, pod: Json, audience: str) -> str:
    metadata = pod["metadata"]
    bound = (
        "--bound-object-kind=Pod",
        f"--bound-object-name={metadata['name']}",
        f"--bound-object-uid={metadata['uid']}",
    )
    return stage.kubectl("create", "token", "default", f"--audience={audience}", *bound).strip()
