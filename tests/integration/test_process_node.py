"""The process node under a real control plane: the functions of a node that jobs, small services and `kubectl` need."""

import json
import os
import signal
import textwrap
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster import lifecycle, object_store, state
from cluster.kubectl import apply, kubectl, read
from cluster.model import Cluster, ClusterError
from cluster.process_backend import NODE_PROCESS, node_folder
from cluster.process_node.leftovers import processes_of
from cluster.processes import ProcessTable, wait_for

pytestmark = pytest.mark.cluster

PREFIX = "node-tests-"
WAIT_SECONDS = 120
GRACE_SECONDS = 20


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Yield a cluster with a process node. `down` must leave nothing behind."""
    for name in state.names():
        if name.startswith(PREFIX) and not Path("/proc", name.removeprefix(PREFIX)).exists():
            lifecycle.down(name, print)  # left by a test session that was killed
    started = lifecycle.up(f"{PREFIX}{os.getpid()}", "process", print)
    try:
        yield started
    finally:
        last = state.load(started.name) or started  # a test replaces it
        lifecycle.down(started.name, print)
    assert not last.folder.exists()
    assert not node_folder(last).parent.exists()
    assert not processes_of(node_folder(last))


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> str:
    name = request.node.name.replace("_", "-").removeprefix("test-")[:50].rstrip("-")
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    apply(cluster, [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}])
    what = f"the service account of namespace {name}"
    wait_for(what, lambda: bool(read(cluster, "serviceaccount", "default", namespace=name)), WAIT_SECONDS)
    return str(name)


def container(script: str = "", **fields: Any) -> dict[str, Any]:
    """Return a container that runs Python code, under the restricted profile."""
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True}
    command = ["python", "-u", "-c", textwrap.dedent(script)]
    image = {"name": "main", "image": "localhost/python:any", "command": command}
    return {**image, "securityContext": {**security, "seccompProfile": {"type": "RuntimeDefault"}}, **fields}


def pod(name: str, namespace: str, main: dict[str, Any], **spec: Any) -> dict[str, Any]:
    body = {"restartPolicy": "Never", "terminationGracePeriodSeconds": GRACE_SECONDS, "containers": [main], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": body}


def status(cluster: Cluster, namespace: str, name: str) -> dict[str, Any]:
    return dict(read(cluster, "pod", name, namespace=namespace).get("status", {}))


def main_state(cluster: Cluster, namespace: str, name: str) -> dict[str, Any]:
    return dict(status(cluster, namespace, name).get("containerStatuses", [{}])[0].get("state", {}))


def wait_for_phase(cluster: Cluster, namespace: str, name: str, phase: str) -> None:
    def reached() -> bool:
        return bool(status(cluster, namespace, name).get("phase") == phase)

    def hint() -> str:
        table = ProcessTable(cluster.folder)
        node = table.find(NODE_PROCESS)
        end = "" if node and node.alive() else "; the node has ended"
        return f"{status(cluster, namespace, name)}{end}; the end of its output:\n{table.tail(NODE_PROCESS)}"

    wait_for(f"pod {name} to be {phase}", reached, WAIT_SECONDS, hint)


def test_a_job_as_the_operator_makes_them(cluster: Cluster, namespace: str) -> None:
    """Token, downward API, ConfigMap and Secret as files; the exit code decides; the termination message is kept."""
    script = """
        import json, os, pathlib, sys
        run = pathlib.Path(os.environ["RUN"])
        seen = {each.name: each.read_text() for each in run.iterdir()}
        print(json.dumps(seen | {name: os.environ[name] for name in ("POD_IP", "STORE_USER")}))
        pathlib.Path(os.environ["LAST_WORDS"]).write_text("the table has no column y")
        sys.exit(65)
        """
    config = {"path": "config.json", "fieldRef": {"fieldPath": "metadata.annotations['trainyard.dev/config']"}}
    sources = [
        {"serviceAccountToken": {"path": "token", "audience": "job-1", "expirationSeconds": 900}},
        {"downwardAPI": {"items": [config]}},
        {"configMap": {"name": "extra"}},
        {"secret": {"name": "store", "items": [{"key": "user", "path": "user"}]}},
    ]
    env = [
        {"name": "RUN", "value": "/var/run/trainyard"},
        {"name": "LAST_WORDS", "value": "/dev/termination-log"},
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "STORE_USER", "valueFrom": {"secretKeyRef": {"name": "store", "key": "user"}}},
    ]
    mounts = [{"name": "run", "mountPath": "/var/run/trainyard"}]
    main = container(script, env=env, volumeMounts=mounts)
    volumes = [{"name": "run", "projected": {"sources": sources}}]
    never_again = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [65]}}
    template = {
        "metadata": {"annotations": {"trainyard.dev/config": '{"rows": 5}'}},
        "spec": {"restartPolicy": "Never", "containers": [main], "volumes": volumes},
    }
    metadata = {"namespace": namespace}
    apply(
        cluster,
        [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "extra", **metadata},
                "data": {"extra": "e"},
            },
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "store", **metadata},
                "stringData": {"user": "me"},
            },
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": {"name": "train-1", **metadata},
                "spec": {"backoffLimit": 3, "podFailurePolicy": {"rules": [never_again]}, "template": template},
            },
        ],
    )
    kubectl(cluster, "wait", "--for=condition=Failed", "job/train-1", "-n", namespace, f"--timeout={WAIT_SECONDS}s")
    conditions = read(cluster, "job", "train-1", namespace=namespace)["status"]["conditions"]
    assert {each["reason"] for each in conditions if each["type"] == "Failed"} == {"PodFailurePolicy"}
    [made] = read(cluster, "pods", namespace=namespace)["items"]
    ended = made["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (65, "Error", "the table has no column y")
    assert made["status"]["phase"] == "Failed"
    seen = json.loads(kubectl(cluster, "logs", "job/train-1", "-n", namespace))
    assert (seen["config.json"], seen["extra"], seen["user"], seen["STORE_USER"]) == ('{"rows": 5}', "e", "me", "me")
    assert seen["POD_IP"] == made["status"]["podIP"]
    assert pod_of_token(cluster, seen["token"], "job-1") == made["metadata"]["name"]
    assert pod_of_token(cluster, seen["token"], "job-2") is None


def pod_of_token(cluster: Cluster, token: str, audience: str) -> str | None:
    """Ask the API server for the pod of a token. Return ``None`` if the token is not for this audience."""
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    review["spec"] = {"token": token, "audiences": [audience]}
    answer = json.loads(kubectl(cluster, "create", "-f", "-", "-o", "json", stdin=json.dumps(review)))["status"]
    if not answer.get("authenticated"):
        return None
    return str(answer["user"]["extra"]["authentication.kubernetes.io/pod-name"][0])


def test_a_deleted_pod_gets_sigterm_and_its_grace_period(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    script = f"""
        import pathlib, signal, sys, time
        def end(*_):
            pathlib.Path({str(tmp_path / "saved")!r}).write_text("saved")
            sys.exit(75)
        signal.signal(signal.SIGTERM, end)
        print("ready")
        while True:
            time.sleep(60)
        """
    apply(cluster, [pod("p", namespace, container(script))])
    wait_for("the handler", lambda: "ready" in logs(cluster, namespace, "p"), WAIT_SECONDS)
    kubectl(cluster, "delete", "pod", "p", "-n", namespace, f"--timeout={WAIT_SECONDS}s")
    assert (tmp_path / "saved").read_text() == "saved"


def logs(cluster: Cluster, namespace: str, name: str, *options: str) -> str:
    try:
        return kubectl(cluster, "logs", name, "-n", namespace, *options)
    except ClusterError as error:
        return str(error)


def test_a_pod_that_ignores_sigterm_is_killed_after_its_grace(cluster: Cluster, namespace: str) -> None:
    script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready'); time.sleep(3600)"
    apply(cluster, [pod("p", namespace, container(script))])
    wait_for("the handler", lambda: "ready" in logs(cluster, namespace, "p"), WAIT_SECONDS)
    kubectl(cluster, "delete", "pod", "p", "-n", namespace, "--grace-period=1", f"--timeout={WAIT_SECONDS}s")
    left = [pid for pid in processes_of(node_folder(cluster)) if b"ready" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert not left


def test_following_logs_until_the_end(cluster: Cluster, namespace: str) -> None:
    script = "import time\nfor number in range(5): print(number); time.sleep(0.2)"
    apply(cluster, [pod("p", namespace, container(script))])
    wait_for("the first line", lambda: logs(cluster, namespace, "p").startswith("0\n"), WAIT_SECONDS)
    assert logs(cluster, namespace, "p", "--follow") == "0\n1\n2\n3\n4\n"
    assert logs(cluster, namespace, "p", "--tail=1") == "4\n"


def test_socket_paths_in_temporary_folders_are_short(cluster: Cluster, namespace: str) -> None:
    script = """
        import multiprocessing, os, tempfile
        for folder in (None, os.environ["MOUNTED"]):
            tempfile.tempdir = folder
            with multiprocessing.get_context("spawn").Manager() as manager:
                print(list(manager.list([1])))
        """
    volumes = [{"name": "tmp", "emptyDir": {}}]
    main = container(script, env=[{"name": "MOUNTED", "value": "/tmp"}])
    main["volumeMounts"] = [{"name": "tmp", "mountPath": "/tmp"}]
    main["name"] = "a-container-of-a-long-name"
    apply(cluster, [pod("p", namespace, main, volumes=volumes)])
    wait_for_phase(cluster, namespace, "p", "Succeeded")
    assert logs(cluster, namespace, "p") == "[1]\n[1]\n"


def test_exec_is_refused_with_a_reason(cluster: Cluster, namespace: str) -> None:
    apply(cluster, [pod("p", namespace, container("import time; time.sleep(3600)"))])
    wait_for_phase(cluster, namespace, "p", "Running")
    with pytest.raises(ClusterError, match="not supported by a process node"):
        kubectl(cluster, "exec", "p", "-n", namespace, "--", "true")


def test_an_image_without_a_known_program_is_reported(cluster: Cluster, namespace: str) -> None:
    apply(cluster, [pod("p", namespace, container(image="docker.io/nginx:1"))])

    def reason() -> str:
        return str(main_state(cluster, namespace, "p").get("waiting", {}).get("reason"))

    wait_for("the failed pull", lambda: reason() in {"ErrImagePull", "ImagePullBackOff"}, WAIT_SECONDS)
    message = main_state(cluster, namespace, "p")["waiting"]["message"]
    assert "'docker.io/nginx:1'" in message
    assert "trainyard-trainer" in message


def test_a_pod_waits_for_a_missing_secret(cluster: Cluster, namespace: str) -> None:
    value = {"secretKeyRef": {"name": "late", "key": "k"}}
    apply(cluster, [pod("p", namespace, container("print('ran')", env=[{"name": "X", "valueFrom": value}]))])

    def is_waiting() -> bool:
        return bool(
            main_state(cluster, namespace, "p").get("waiting", {}).get("reason") == "CreateContainerConfigError"
        )

    wait_for("the missing Secret to be reported", is_waiting, WAIT_SECONDS)
    assert "Secret 'late' not found" in main_state(cluster, namespace, "p")["waiting"]["message"]
    late = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "late", "namespace": namespace}}
    apply(cluster, [late | {"stringData": {"k": "v"}}])
    wait_for_phase(cluster, namespace, "p", "Succeeded")


def test_restarts_with_a_back_off(cluster: Cluster, namespace: str) -> None:
    apply(cluster, [pod("crash", namespace, container("raise SystemExit(3)"), restartPolicy="Always")])

    def backs_off() -> bool:
        return bool(main_state(cluster, namespace, "crash").get("waiting", {}).get("reason") == "CrashLoopBackOff")

    wait_for("the back-off", backs_off, WAIT_SECONDS)
    [held] = status(cluster, namespace, "crash")["containerStatuses"]
    assert held["restartCount"] == 1
    assert held["lastState"]["terminated"]["exitCode"] == 3


def test_the_data_of_a_claim_outlives_its_pod(cluster: Cluster, namespace: str) -> None:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    metadata = {"name": "data", "namespace": namespace}
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    mounts = {"volumeMounts": [{"name": "data", "mountPath": "/data"}], "env": [{"name": "D", "value": "/data/kept"}]}
    write = container("import os; open(os.environ['D'], 'w').write('kept')", **mounts)
    show = container("import os; print(open(os.environ['D']).read())", **mounts)
    apply(cluster, [{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": claim}])
    apply(cluster, [pod("writer", namespace, write, volumes=volumes)])
    wait_for_phase(cluster, namespace, "writer", "Succeeded")
    kubectl(cluster, "delete", "pod", "writer", "-n", namespace)
    apply(cluster, [pod("reader", namespace, show, volumes=volumes)])
    wait_for_phase(cluster, namespace, "reader", "Succeeded")
    assert logs(cluster, namespace, "reader") == "kept\n"


def service(namespace: str) -> list[dict[str, Any]]:
    labels = {"app": "web"}
    serve = container(
        command=["python", "-m", "http.server", "--bind", "$(POD_IP)", "8080"],
        env=[{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        ports=[{"name": "http", "containerPort": 8080}],
        readinessProbe={"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1},
    )
    template = {"metadata": {"labels": labels}, "spec": {"terminationGracePeriodSeconds": 1, "containers": [serve]}}
    deployment = {"selector": {"matchLabels": labels}, "strategy": {"type": "Recreate"}, "template": template}
    metadata = {"name": "web", "namespace": namespace}
    ports = [{"port": 80, "targetPort": "http"}]
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": labels, "ports": ports}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": deployment},
    ]


def test_a_service_is_reached(cluster: Cluster, namespace: str) -> None:
    backend = lifecycle.backend("process")
    apply(cluster, service(namespace))
    rollout = ("rollout", "status", "deployment/web", "-n", namespace, f"--timeout={WAIT_SECONDS}s")
    kubectl(cluster, *rollout)
    address = backend.service_address(cluster, namespace, "web", 80)
    with urllib.request.urlopen(f"http://{address}/", timeout=30) as response:
        assert response.status == 200
    with pytest.raises(ClusterError, match=r"no Service .*/web with port 81"):
        backend.service_address(cluster, namespace, "web", 81)


def test_the_object_store_keeps_its_data_and_credentials(cluster: Cluster) -> None:
    backend = lifecycle.backend("process")
    store = object_store.deploy(cluster, backend)
    store.make_bucket("datasets")
    store.make_bucket("datasets")
    assert store.upload(b"a,b\n1,2\n", "datasets", "t/x.csv") == "s3://datasets/t/x.csv"
    kubectl(cluster, "delete", "pod", "--all", "-n", object_store.NAMESPACE)
    again = object_store.deploy(cluster, backend)
    assert again.credentials() == store.credentials()
    assert again.client().get_object(Bucket="datasets", Key="t/x.csv")["Body"].read() == b"a,b\n1,2\n"
    with pytest.raises(ClusterError, match="s3://nowhere/x cannot be written"):
        store.upload(b"", "nowhere", "x")


def test_the_cluster_starts_again_after_its_node_was_killed(cluster: Cluster, namespace: str) -> None:
    """The last test of the module: it replaces the cluster under the same name."""
    apply(cluster, [pod("p", namespace, container("import time; time.sleep(3600)"))])
    wait_for_phase(cluster, namespace, "p", "Running")
    node = ProcessTable(cluster.folder).find(NODE_PROCESS)
    assert node
    os.kill(node.pid, signal.SIGKILL)
    wait_for("the node to be gone", lambda: not node.alive(), WAIT_SECONDS)
    assert processes_of(node_folder(cluster))
    again = lifecycle.up(cluster.name, "process", print)
    assert not processes_of(node_folder(cluster))
    apply(again, [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}])
    what = "the service account"
    wait_for(what, lambda: bool(read(again, "serviceaccount", "default", namespace=namespace)), WAIT_SECONDS)
    apply(again, [pod("p", namespace, container("print('again')"))])
    wait_for_phase(again, namespace, "p", "Succeeded")
