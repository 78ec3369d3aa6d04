"""Commands for a storage: import restores versions from the bucket alone, and prune removes only what the cluster does
not use.
"""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.integration.trainer.conftest import Upload
from tests.integration.trainer.object_store import BUCKET, ObjectStore
from tests.integration.trainer.pod import Pod, PodRun
from tests.integration.trainer.scoped_store import scoped
from tests.integration.trainer.tables import regression, regression_csv
from tests.unit.operator.samples import child, job_view
from trainyard_api import meta
from trainyard_api.generate import checkout
from trainyard_api.kinds import MODEL_VERSION
from trainyard_api.training import Storage
from trainyard_operator.core.resolve import parse_spec
from trainyard_operator.core.training.render import model_version
from trainyard_server.loading import load_model
from trainyard_server.settings import Settings
from trainyard_trainer.artifacts.opening import open_store
from trainyard_trainer.cli.upkeep.cluster import ACCOUNT_DIR_ENV, HOST_ENV, PORT_ENV, Cluster
from trainyard_trainer.cli.upkeep.usage import Usage

pytestmark = pytest.mark.cluster

TRAINER = [sys.executable, "-m", "trainyard_trainer"]
EXAMPLE = checkout() / "examples/storage/prune-models.yaml"
NAMESPACE = "shop"
PREFIX = f"s3://{BUCKET}/pods"
GATES = [{"metric": "mae", "op": "<", "value": 10}]

Kubectl = Callable[..., str]


@dataclass
class Command:
    """Runs the trainer's commands as a pod with access to the storage would."""

    environ: dict[str, str]

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [*TRAINER, *arguments], capture_output=True, text=True, check=False, env={**os.environ, **self.environ}
        )
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def command(object_store: ObjectStore) -> Command:
    secret = str(object_store.admin_secret)
    return Command({meta.STORAGE_SECRET_DIR_ENV: secret, "AWS_ENDPOINT_URL_S3": object_store.endpoint})


@pytest.fixture(scope="module")
def namespace(kubectl: Kubectl, crds: Path) -> Iterator[str]:
    kubectl("create", "namespace", NAMESPACE)
    yield NAMESPACE
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture(scope="module")
def account(kubectl: Kubectl, crds: Path, namespace: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment of the example's pod: its service account with its rights, and the API server."""
    things = list(yaml.safe_load_all(EXAMPLE.read_text()))
    kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump_all(things))
    return service_account(kubectl, crds, things[0]["metadata"]["name"], tmp_path_factory.mktemp("account"))


def service_account(kubectl: Kubectl, kubeconfig: Path, name: str, folder: Path) -> dict[str, str]:
    cluster = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]
    if "certificate-authority" in cluster:
        ca = Path(cluster["certificate-authority"]).read_bytes()
    else:
        ca = base64.b64decode(cluster["certificate-authority-data"])
    (folder / "ca.crt").write_bytes(ca)
    (folder / "token").write_text(kubectl("create", "token", "-n", NAMESPACE, name))
    (folder / "namespace").write_text(NAMESPACE)
    server = urlsplit(cluster["server"])
    return {ACCOUNT_DIR_ENV: str(folder), HOST_ENV: str(server.hostname), PORT_ENV: str(server.port)}


def trained(pod: Pod, upload: Upload, **changes: Any) -> PodRun:
    ended = pod.run_here(regression(upload("regression.csv", regression_csv()), gates=GATES, **changes))
    assert ended.code == 0, ended.result.message
    return ended


def version_of_the_operator(pod: Pod, ended: PodRun) -> dict[str, Any]:
    spec = {**regression("s3://data-sets/regression.csv", gates=GATES), "modelName": f"model-{pod.uid}"}
    view = job_view(spec=spec, namespace=NAMESPACE, name="demand", uid=pod.uid)
    storage = Storage(uri=PREFIX, endpoint=pod.store.endpoint)
    return model_version(view, parse_spec(view), child(1), ended.result, storage)


def test_import_restores_the_versions_from_the_bucket_alone(
    pod: Pod, upload: Upload, command: Command, kubectl: Kubectl, namespace: str
) -> None:
    ended = trained(pod, upload)
    model = f"model-{pod.uid}"
    code, text, reported = command(
        "import", PREFIX, "--endpoint", pod.store.endpoint, "--model", model, "--check-files"
    )
    assert (code, reported) == (0, "1 versions of 1 models\n")
    kubectl("create", "-f", "-", stdin=text)
    kept = json.loads(kubectl("get", "mv", "-n", namespace, f"{model}-v1", "-o", "json"))
    made = version_of_the_operator(pod, ended)
    del made["spec"]["trainingJob"]["specDigest"]  # the storage does not have the job's spec
    assert kept["spec"] == made["spec"]
    assert kept["metadata"]["labels"] == made["metadata"]["labels"]
    kubectl("delete", "mv", "-n", namespace, f"{model}-v1")


def test_import_reports_a_changed_file(pod: Pod, upload: Upload, command: Command) -> None:
    first = trained(pod, upload)
    assert first.result.artifact is not None
    key = f"{first.result.artifact.uri}/report.html".removeprefix(f"s3://{BUCKET}/")
    pod.store.client().put_object(Bucket=BUCKET, Key=key, Body=b"other")
    arguments = ("import", PREFIX, "--endpoint", pod.store.endpoint, "--model", f"model-{pod.uid}")
    code, text, reported = command(*arguments)
    assert (code, text) == (65, "")
    assert "report.html has 5 bytes instead of" in reported
    assert "1 could not be rebuilt" in reported
    code, text, reported = command(*arguments, "--list")
    assert code == 65
    assert "Broken" in text


def test_import_reports_an_empty_prefix(command: Command, object_store: ObjectStore) -> None:
    code, text, reported = command("import", f"s3://{BUCKET}/nowhere", "--endpoint", object_store.endpoint)
    assert (code, text) == (66, "")
    assert reported == f"s3://{BUCKET}/nowhere/ contains no model; give the storage.uri of the jobs\n"


@pytest.fixture
def prune(command: Command, object_store: ObjectStore, account: dict[str, str]) -> Callable[..., tuple[int, str, str]]:
    """Return the command of the example, as its pod runs it, with the test's storage."""
    job = next(thing for thing in yaml.safe_load_all(EXAMPLE.read_text()) if thing["kind"] == "CronJob")
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    arguments = [PREFIX if argument == "s3://models/" else argument for argument in container["args"]]
    assert arguments[:2] == ["prune", PREFIX]

    def run(*more: str) -> tuple[int, str, str]:
        pod_command = Command({**command.environ, **account})
        return pod_command(*arguments, "--endpoint", object_store.endpoint, *more)

    return run


def test_prune_removes_only_what_the_cluster_does_not_use(
    pod: Pod, upload: Upload, command: Command, prune: Callable[..., tuple[int, str, str]], kubectl: Kubectl
) -> None:
    trained(pod, upload)
    model = f"model-{pod.uid}"
    only = ("--model", model)
    code, _, reported = prune(*only)
    assert code == 64
    assert "restore or import them first" in reported
    _, text, _ = command("import", PREFIX, "--endpoint", pod.store.endpoint, *only)
    kubectl("create", "-f", "-", stdin=text)
    for grace in ("7", "0"):  # 7: too young; 0: old enough, but in use
        code, said, reported = prune(*only, "--grace-days", grace, "--delete")
        assert (code, said, reported) == (0, "1 models checked: there is nothing to remove\n", "")
    kubectl("delete", "mv", "-n", NAMESPACE, f"{model}-v1")

    later = ("--no-version-in-use", "--grace-days", "0")
    code, said, _ = prune(*only, *later)
    assert code == 0
    assert "version 1" in said
    assert "nothing was removed, add --delete" in said
    assert command("import", PREFIX, "--endpoint", pod.store.endpoint, *only)[0] == 0
    code, said, _ = prune(*only, *later, "--delete")
    assert code == 0
    assert "removed" in said
    code, text, reported = command("import", PREFIX, "--endpoint", pod.store.endpoint, *only)
    assert (code, text) == (0, "")
    assert "version 1: prune has removed its files" in reported


def test_a_list_is_read_page_by_page(
    pod: Pod, upload: Upload, command: Command, kubectl: Kubectl, namespace: str, account: dict[str, str]
) -> None:
    trained(pod, upload)
    model = f"model-{pod.uid}"
    _, text, _ = command("import", PREFIX, "--endpoint", pod.store.endpoint, "--model", model)
    body = yaml.safe_load(text)
    bodies = []
    for number in range(1, 6):
        about = {**body["metadata"], "name": f"{model}-v{number}"}
        bodies.append({**body, "metadata": about, "spec": {**body["spec"], "version": number}})
    kubectl("create", "-f", "-", stdin=yaml.safe_dump_all(bodies))
    cluster = replace(Cluster.of_pod(account), page=2)
    assert cluster.namespace == namespace
    usage = Usage.of(cluster.objects(MODEL_VERSION, namespace), namespace)
    assert {number for name, number in usage.versions if name == model} == {1, 2, 3, 4, 5}
    assert usage.registered >= 5
    assert body["spec"]["artifact"]["uri"].removeprefix(f"{PREFIX}/") in usage.folders
    kubectl("delete", "mv", "-n", namespace, "--selector", f"trainyard.dev/model={model}")


def test_prune_removes_nothing_without_the_right_to_list(
    command: Command, kubectl: Kubectl, crds: Path, namespace: str, object_store: ObjectStore, tmp_path: Path
) -> None:
    pod_command = Command({**command.environ, **service_account(kubectl, crds, "default", tmp_path)})
    code, said, reported = pod_command("prune", PREFIX, "--endpoint", object_store.endpoint, "--delete")
    assert (code, said) == (77, "")
    assert "the API server returned 403 for a list of trainingjobs in shop" in reported


def test_prune_removes_nothing_without_the_api_server(
    command: Command, account: dict[str, str], object_store: ObjectStore
) -> None:
    pod_command = Command({**command.environ, **account, PORT_ENV: "1"})
    code, said, reported = pod_command("prune", PREFIX, "--endpoint", object_store.endpoint, "--delete")
    assert (code, said) == (69, "")
    assert "the objects in use are unknown" in reported


def test_prune_can_read_the_objects_in_use_from_a_file(
    pod: Pod, upload: Upload, command: Command, kubectl: Kubectl, namespace: str, tmp_path: Path
) -> None:
    trained(pod, upload)
    model = f"model-{pod.uid}"
    location = (PREFIX, "--endpoint", pod.store.endpoint, "--model", model)
    _, text, _ = command("import", *location)
    kubectl("create", "-f", "-", stdin=text)
    file = tmp_path / "objects.yaml"
    file.write_text(kubectl("get", "mv,tj,md", "-n", namespace, "-o", "yaml"))
    kubectl("delete", "mv", "-n", namespace, f"{model}-v1")
    arguments = ("prune", *location, "--namespace", namespace, "--in-use", str(file), "--grace-days", "0", "--delete")
    assert command(*arguments) == (0, "1 models checked: there is nothing to remove\n", "")
    file.write_text("kind: List\nitems: []\n")
    code, said, reported = command(*arguments)
    assert (code, said) == (65, "")
    assert "the objects in use are unknown" in reported
    file.write_text("- 1\n- 2\n")
    assert command(*arguments)[0] == 65


def policy_of_the_docs(title: str, prefix: str) -> dict[str, Any]:
    """Return the policy below a heading of docs/storage.md, for the bucket and the prefix of a test."""
    page = (checkout() / "docs/storage.md").read_text(encoding="utf-8")
    _, _, rest = page.partition(f"{title}\n")
    text = rest.partition("```json\n")[2].partition("```")[0]
    assert text.count("arn:aws:s3:::models") == len(json.loads(text)["Statement"])
    policy: dict[str, Any] = json.loads(text.replace(":::models", f":::{BUCKET}").replace("team-a", prefix))
    return policy


def test_credentials_of_one_prefix_suffice(pod: Pod, upload: Upload, command: Command, tmp_path: Path) -> None:
    """Training, retry, log, import and removal need access only to the tenant's own folder."""
    prefix = f"tenants/{pod.uid}"
    pod.store.client().put_object(Bucket=BUCKET, Key=f"{prefix}/data/table.csv", Body=regression_csv())
    with scoped(pod.store.endpoint, policy_of_the_docs("### Who trains", prefix)) as server:
        storage = {"uri": f"s3://{BUCKET}/{prefix}/", "endpoint": server.endpoint}
        spec = {**regression(f"s3://{BUCKET}/{prefix}/data/*.csv"), "storage": storage}
        first = pod.run(spec)
        assert first.code == 0, first.result.message
        assert first.result.artifact is not None
        assert first.result.log is not None
        assert pod.run_here(spec, attempt=2).result.model_version == first.result.model_version
        location = (f"s3://{BUCKET}/{prefix}/", "--endpoint", server.endpoint)
        assert command("logs", first.result.log, "--endpoint", server.endpoint)[0] == 0
        assert command("import", *location, "--check-files")[0] == 0
        file = tmp_path / "objects.yaml"
        file.write_text(json.dumps({"kind": "TrainingJob", "metadata": {"name": "a", "namespace": "b", "uid": "c"}}))
        free = ("--in-use", str(file), "--namespace", "shop", "--grace-days", "0", "--no-version-in-use", "--delete")
        code, said, _ = command("prune", *location, *free)
        assert code == 0
        assert "removed" in said
        assert server.refused == []
        assert command("import", f"s3://{BUCKET}/", "--endpoint", server.endpoint)[0] == 77
        assert server.refused != []


def test_a_server_needs_only_read_access(pod: Pod, upload: Upload, tmp_path: Path) -> None:
    ended = trained(pod, upload)
    assert ended.result.artifact is not None
    with scoped(pod.store.endpoint, policy_of_the_docs("### Who serves", "pods")) as server:
        settings = Settings.from_environ(
            {
                meta.MODEL_NAME_ENV: f"model-{pod.uid}",
                meta.MODEL_VERSION_ENV: "1",
                meta.ARTIFACT_URI_ENV: ended.result.artifact.uri,
                meta.MANIFEST_SHA256_ENV: ended.result.artifact.manifest_sha256,
                meta.STORAGE_ENDPOINT_ENV: server.endpoint,
                meta.STORAGE_SECRET_DIR_ENV: str(pod.store.admin_secret),
                meta.WORK_DIR_ENV: str(tmp_path),
            }
        )
        loaded = load_model(settings.target, open_store(settings.storage, settings.env), tmp_path)
        assert loaded.target == settings.target
        assert server.refused == []
