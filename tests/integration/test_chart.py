"""The rendered chart on a real API server: its objects are accepted, its pods are restricted, and its rights are
minimal.
"""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster import toolchain
from cluster.processes import wait_for
from tests.integration.openapi_schemas import LOCATION, write_schemas
from trainyard_api.generate import checkout
from trainyard_operator.progress.keys import ISSUER_PATH, KEYS_PATH
from trainyard_operator.shell.definitions import PATH as DEFINITIONS_PATH

pytestmark = pytest.mark.cluster

NAMESPACE = "chart-test"
OPERATOR = f"system:serviceaccount:{NAMESPACE}:trainyard"
CHART = checkout() / "charts/trainyard"
KUBE_VERSION = toolchain.KUBERNETES_VERSION.removeprefix("v")

Kubectl = Callable[..., str]
Helm = Callable[..., str]
Conform = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def namespace(kubectl: Kubectl) -> Iterator[str]:
    """A namespace that accepts only restricted pods, and warns about templates of other pods."""
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    kubectl("apply", "-f", "-", stdin=json.dumps(body))
    yield NAMESPACE
    kubectl("delete", "namespace", NAMESPACE, "--timeout=180s")


@pytest.fixture(scope="module")
def helm(control_plane: Path, namespace: str) -> Helm:
    def run(*arguments: str, within: str = namespace) -> str:
        done = helm_run(control_plane, within, *arguments)
        assert done.returncode == 0, f"helm {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    return run


def helm_run(kubeconfig: Path, within: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(toolchain.ensure("helm")), "--kubeconfig", str(kubeconfig), "--namespace", within, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def rendered(helm: Helm) -> str:
    return helm("template", "trainyard", str(CHART), "--kube-version", KUBE_VERSION)


@pytest.fixture(scope="module")
def installed(helm: Helm, crds: Path) -> Iterator[None]:
    # The CRDs exist already, from the tests of the definitions.
    helm("upgrade", "--install", "trainyard", str(CHART), "--take-ownership")
    yield
    helm("uninstall", "trainyard", "--ignore-not-found", "--wait")


@pytest.fixture(scope="module")
def manifests(rendered: str) -> str:
    examples = [path.read_text() for path in sorted((checkout() / "examples").glob("*.yaml"))]
    return "\n---\n".join([rendered, *examples])


@pytest.fixture(scope="module")
def kubeconform(manifests: str, crds: Path, kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Conform:
    def get(path: str) -> Any:
        return json.loads(kubectl("get", "--raw", path))

    folder = tmp_path_factory.mktemp("schemas")
    kinds = {(each["apiVersion"], each["kind"]) for each in yaml.safe_load_all(manifests) if each}
    # The API server publishes the schemas of a definition some time after it serves the kind.
    paths = {f"apis/{version}" if "/" in version else f"api/{version}" for version, _ in kinds}
    wait_for("the schemas of all kinds in /openapi/v3", lambda: paths <= get("/openapi/v3")["paths"].keys(), 120)
    write_schemas(get, kinds, folder)
    program = str(toolchain.ensure("kubeconform"))
    command = [program, "-strict", "-summary", "-output", "json", "-schema-location", f"{folder}/{LOCATION}"]
    return lambda text: subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)


def test_kubeconform_finds_no_error(manifests: str, kubeconform: Conform) -> None:
    done = kubeconform(manifests)
    found = json.loads(done.stdout)
    assert done.returncode == 0, found["resources"]
    assert found["summary"]["valid"] == len([each for each in yaml.safe_load_all(manifests) if each])


def test_kubeconform_finds_a_misspelt_field(manifests: str, kubeconform: Conform) -> None:
    done = kubeconform(manifests.replace("readOnlyRootFilesystem:", "readOnlyRootFileSystem:"))
    assert done.returncode == 1
    assert "readOnlyRootFileSystem" in done.stdout


def test_api_server_accepts_every_object(rendered: str, kubectl: Kubectl, namespace: str) -> None:
    kubectl("apply", "--dry-run=server", "--server-side", "--force-conflicts", "-f", "-", stdin=rendered)


def test_restricted_namespace_accepts_the_pod(rendered: str, kubectl: Kubectl, namespace: str) -> None:
    [deployment] = [each for each in yaml.safe_load_all(rendered) if each and each["kind"] == "Deployment"]
    template: dict[str, Any] = deployment["spec"]["template"]
    template["spec"]["serviceAccountName"] = "default"
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "operator", "namespace": namespace}}
    kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps({**pod, "spec": template["spec"]}))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("verb", "resource", "within", "allowed"),
    [
        ("list", "trainyard.dev/trainingjobs", "default", True),
        ("patch", "trainyard.dev/trainingjobs/status", "default", True),
        ("patch", "trainyard.dev/trainingjobs", "default", True),
        ("update", "trainyard.dev/trainingjobs", "default", False),
        ("create", "trainyard.dev/trainingjobs", "default", True),
        ("delete", "trainyard.dev/trainingjobs", "default", True),
        ("update", "trainyard.dev/trainingjobs/finalizers", "default", True),
        ("watch", "trainyard.dev/trainingschedules", "default", True),
        ("patch", "trainyard.dev/trainingschedules/status", "default", True),
        ("patch", "trainyard.dev/trainingschedules", "default", True),
        ("update", "trainyard.dev/trainingschedules", "default", False),
        ("delete", "trainyard.dev/trainingschedules", "default", False),
        ("update", "trainyard.dev/trainingschedules/finalizers", "default", True),
        ("watch", "trainyard.dev/modeldeployments", "default", True),
        ("patch", "trainyard.dev/modeldeployments/status", "default", True),
        ("patch", "trainyard.dev/modeldeployments", "default", True),
        ("update", "trainyard.dev/modeldeployments", "default", False),
        ("delete", "trainyard.dev/modeldeployments", "default", False),
        ("update", "trainyard.dev/modeldeployments/finalizers", "default", True),
        ("create", "trainyard.dev/modelversions", "default", True),
        ("patch", "trainyard.dev/modelversions", "default", True),
        ("update", "trainyard.dev/modelversions", "default", False),
        ("patch", "trainyard.dev/modelversions/status", "default", True),
        ("delete", "trainyard.dev/modelversions", "default", True),
        ("create", "batch/jobs", "default", True),
        ("patch", "batch/jobs", "default", True),  # for an edited deadline
        ("patch", "/pods", "default", False),
        ("create", "apps/deployments", "default", True),
        ("patch", "apps/deployments", "default", True),
        ("delete", "apps/deployments", "default", True),
        ("update", "apps/deployments", "default", False),
        ("patch", "apps/deployments/scale", "default", False),
        ("create", "apps/statefulsets", "default", False),
        ("create", "/services", "default", True),
        ("patch", "/services", "default", True),
        ("delete", "/services", "default", True),
        ("create", "/configmaps", "default", False),
        ("create", "/pods", "default", False),
        ("list", "/pods", "default", True),
        ("get", "/pods/log", "default", False),
        ("create", "authentication.k8s.io/tokenreviews", "", True),
        ("create", "/events", "default", True),
        ("list", "events.k8s.io/events", "default", True),
        ("patch", "/events", "default", False),
        ("get", "/secrets:any", "default", False),
        ("list", "/secrets", NAMESPACE, False),
        ("get", "/secrets:trainyard-tls", NAMESPACE, True),
        ("update", "/secrets:trainyard-tls", NAMESPACE, False),
        ("get", "/secrets:another", NAMESPACE, False),
        ("create", "coordination.k8s.io/leases", "default", True),
        ("update", "coordination.k8s.io/leases:trainyard", "default", True),
        ("update", "coordination.k8s.io/leases:trainyard", "kube-public", True),
        ("update", "coordination.k8s.io/leases:another", "default", False),
        ("update", "coordination.k8s.io/leases:trainyard-leader", "default", False),
        ("update", "coordination.k8s.io/leases:trainyard-leader", NAMESPACE, True),
        ("delete", "coordination.k8s.io/leases:trainyard", "default", False),
        ("list", "coordination.k8s.io/leases", NAMESPACE, False),
        ("create", "/secrets", NAMESPACE, True),
        ("create", "/secrets", "default", False),
    ],
)
def test_rights_of_the_operator(kubectl: Kubectl, verb: str, resource: str, within: str, allowed: bool) -> None:
    assert may(kubectl, OPERATOR, verb, resource, within) is allowed


def may(kubectl: Kubectl, user: str, verb: str, resource: str, within: str) -> bool:
    """Return whether a user may do something. ``resource`` is group/resource[/subresource][:name]."""
    path, _, name = resource.partition(":")
    group, kind, *subresource = path.split("/")
    attributes = {"verb": verb, "group": group, "resource": kind, "namespace": within, "name": name}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": {**attributes, "subresource": "".join(subresource)}},
    }
    review_result = json.loads(kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(review)))
    allowed: bool = review_result["status"]["allowed"]
    return allowed


@pytest.mark.usefixtures("installed")
def test_only_users_bound_to_the_role_may_overrule_gates(kubectl: Kubectl, namespace: str) -> None:
    for user, role in (
        ("ed", f"{NAMESPACE}:trainyard:edit"),
        ("ed", "edit"),
        ("ad", "admin"),
        ("ann", f"{NAMESPACE}:trainyard:overrule"),
    ):
        binding = f"{user}-{role.replace(':', '-')}"
        kubectl("create", "rolebinding", binding, "-n", namespace, f"--clusterrole={role}", f"--user={user}")
    versions, jobs = "trainyard.dev/modelversions", "trainyard.dev/trainingjobs"
    assert may(kubectl, "ed", "patch", jobs, namespace)
    patches = {user: may(kubectl, user, "patch", versions, namespace) for user in ("ed", "ad", "ann")}
    assert patches == {"ed": False, "ad": False, "ann": True}
    assert not may(kubectl, "ann", "patch", f"{versions}/status", namespace)
    assert not may(kubectl, "ann", "patch", jobs, namespace)
    assert not may(kubectl, "ann", "patch", versions, "default"), "only in the namespace of the binding"


@pytest.mark.usefixtures("installed")
def test_uninstall_and_reinstall_keep_the_users_objects(helm: Helm, kubectl: Kubectl, namespace: str) -> None:
    def uid() -> str:
        return kubectl("get", "-n", namespace, "tj", "diabetes-regression", "-o", "jsonpath={.metadata.uid}")

    kubectl("apply", "-n", namespace, "-f", str(checkout() / "examples/diabetes-regression.yaml"))
    before = uid()
    helm("uninstall", "trainyard", "--wait")
    assert not kubectl("get", "deployments", "-n", namespace, "-o", "name")
    assert uid() == before
    helm("install", "trainyard", str(CHART))
    assert uid() == before


TENANTS = ("chart-team-a", "chart-team-b")
TENANT_VALUES = (
    f"watchNamespaces={{{TENANTS[0]}}}",
    "crds.install=false",
    "rbac.clusterScoped=false",
    "serviceAccount.name=trainyard",
)


@pytest.fixture(scope="module")
def teams(kubectl: Kubectl) -> Iterator[tuple[str, str]]:
    for name in TENANTS:
        kubectl("create", "namespace", name)
    yield TENANTS
    kubectl("delete", "namespace", *TENANTS, "--timeout=180s")


def set_all(values: tuple[str, ...]) -> list[str]:
    return [part for value in values for part in ("--set", value)]


@pytest.mark.usefixtures("installed")
def test_a_missing_namespace_is_reported_before_anything_is_created(
    control_plane: Path, kubectl: Kubectl, helm: Helm, teams: tuple[str, str]
) -> None:
    watched = f"watchNamespaces={{{teams[0]},nowhere}}"
    for within, more in ((teams[1], ()), ("chart-to-be-made", ("--create-namespace",))):
        done = helm_run(
            control_plane,
            within,
            "install",
            "other",
            str(CHART),
            "--set",
            watched,
            "--set",
            "crds.install=false",
            *more,
        )
        assert done.returncode != 0
        assert "the namespace nowhere does not exist; run: kubectl create namespace nowhere" in done.stderr
        assert "other" not in helm("list", "--all", "--all-namespaces")
    assert not kubectl("get", "roles", "-A", "-o", "name", "-l", "app.kubernetes.io/instance=other")


@pytest.mark.usefixtures("installed")
def test_a_second_release_of_the_same_name_does_not_change_the_first(
    helm: Helm, kubectl: Kubectl, teams: tuple[str, str]
) -> None:
    helm("install", "trainyard", str(CHART), "--set", "crds.install=false", within=teams[1])
    names = kubectl("get", "clusterroles", "-o", "name", "-l", "app.kubernetes.io/instance=trainyard")
    for namespace in (NAMESPACE, teams[1]):
        assert f"{namespace}:trainyard:overrule" in names
    assert may(kubectl, f"system:serviceaccount:{teams[1]}:trainyard", "list", "trainyard.dev/trainingjobs", "default")
    helm("uninstall", "trainyard", "--wait", within=teams[1])
    assert may(kubectl, OPERATOR, "list", "trainyard.dev/trainingjobs", "default"), "the first one keeps its rights"


@pytest.mark.usefixtures("installed")
def test_a_tenant_installs_with_rights_in_one_namespace_only(
    control_plane: Path, helm: Helm, kubectl: Kubectl, teams: tuple[str, str]
) -> None:
    """As in docs/chart.md: an administrator creates the Roles once, and the tenant does the rest."""
    team, settings = teams[0], set_all(TENANT_VALUES)
    kubectl("create", "rolebinding", "tenant", "-n", team, "--clusterrole=admin", "--user=tenant")
    as_tenant = ("install", "own", str(CHART), *settings, "--kube-as-user", "tenant")
    refused = helm_run(control_plane, team, *as_tenant)
    assert refused.returncode != 0
    assert "attempting to grant RBAC permissions not currently held" in refused.stderr
    helm("uninstall", "own", "--ignore-not-found", "--wait", within=team)
    only = ("--kube-version", KUBE_VERSION, "--show-only", "templates/rbac.yaml")
    kubectl("apply", "-f", "-", stdin=helm("template", "own", str(CHART), *settings, *only, within=team))
    done = helm_run(control_plane, team, *as_tenant, "--set", "rbac.create=false")
    assert done.returncode == 0, done.stderr
    operator = f"system:serviceaccount:{team}:trainyard"
    for verb, resource, within, allowed in (
        ("patch", "trainyard.dev/trainingjobs/status", team, True),
        ("create", "batch/jobs", team, True),
        ("update", "coordination.k8s.io/leases:trainyard", team, True),
        ("update", "coordination.k8s.io/leases:own-trainyard-leader", team, True),
        ("list", "trainyard.dev/trainingjobs", "default", False),
        ("create", "authentication.k8s.io/tokenreviews", "", False),
    ):
        assert may(kubectl, operator, verb, resource, within) is allowed, (verb, resource, within)
    account = (f"--as={operator}", "--as-group=system:serviceaccounts", "--as-group=system:authenticated")
    for path in (ISSUER_PATH, KEYS_PATH, DEFINITIONS_PATH):
        assert kubectl("auth", "can-i", "get", path, *account).strip() == "yes"
    helm("uninstall", "own", "--wait", within=team)


@pytest.mark.usefixtures("installed")
def test_another_release_can_adopt_the_definitions_that_were_kept(
    control_plane: Path, helm: Helm, kubectl: Kubectl, teams: tuple[str, str]
) -> None:
    def uid() -> str:
        return kubectl("get", "crd", "trainingjobs.trainyard.dev", "-o", "jsonpath={.metadata.uid}")

    before = uid()
    helm("uninstall", "trainyard", "--wait")
    refused = helm_run(control_plane, teams[1], "install", "renamed", str(CHART))
    assert refused.returncode != 0
    assert "cannot be imported into the current release" in refused.stderr
    helm("install", "renamed", str(CHART), "--take-ownership", within=teams[1])
    assert uid() == before
    helm("uninstall", "renamed", "--wait", within=teams[1])
    assert uid() == before
