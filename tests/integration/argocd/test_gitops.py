"""docs/argocd.md on a real API server: its command installs the scripts, and Git shows no difference."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster import toolchain
from tests.unit.api.cases import bases, merge
from tests.unit.argocd.lua import SCRIPTS, conditions, start
from trainyard_api.generate import checkout
from trainyard_api.kinds import KINDS, MODEL_VERSION
from trainyard_api.schema import nodes, structural

pytestmark = pytest.mark.cluster

DOCS = (checkout() / "docs/argocd.md").read_text(encoding="utf-8")
APP = checkout() / "examples/argocd/app"
CHART = checkout() / "charts/trainyard"

Json = dict[str, Any]
Kubectl = Callable[..., str]
Shell = Callable[[str], str]


@pytest.fixture(scope="module")
def shell(control_plane: Path, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Return ``shell(command) -> stdout``. It runs in the checkout, with the programs of hack/cluster."""
    programs = tmp_path_factory.mktemp("bin")
    for name in ("kubectl", "helm"):
        (programs / name).symlink_to(toolchain.ensure(name))
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "KUBECONFIG": str(control_plane)}

    def run(command: str) -> str:
        program = ["bash", "-euo", "pipefail", "-c", command]
        done = subprocess.run(
            program, cwd=checkout(), env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    return run


def documented(words: str) -> str:
    """Return the first command of the documentation's shell block that contains ``words``."""
    [block] = [text for text in re.findall(r"```sh\n(.*?)```", DOCS, re.DOTALL) if words in text]
    return re.split(r"(?<![\\|])\n", block)[0]


@pytest.fixture(scope="module")
def namespaces(kubectl: Kubectl) -> Iterator[None]:
    names = ("argocd", "trainyard", "models")
    for name in names:
        kubectl("create", "namespace", name)
    yield
    kubectl("delete", "namespace", *names, "--timeout=60s")


@pytest.fixture(scope="module")
def scripts(shell: Shell, kubectl: Kubectl, namespaces: None) -> dict[str, str]:
    """Return argocd-cm after the documented command. Before, it had a key of another user."""
    kubectl("-n", "argocd", "create", "configmap", "argocd-cm", "--from-literal=url=https://argocd.example")
    shell(
        "helm template trainyard charts/trainyard --namespace trainyard --set argocd.enabled=true"
        f" --kube-version {toolchain.KUBERNETES_VERSION} --show-only templates/argocd.yaml | kubectl create -f -"
    )
    shell(documented("patch configmap argocd-cm"))
    data: dict[str, str] = json.loads(kubectl("-n", "argocd", "get", "configmap", "argocd-cm", "-o", "json"))["data"]
    return data


def test_the_scripts_are_added_to_the_existing_keys(scripts: dict[str, str]) -> None:
    assert scripts["url"] == "https://argocd.example"
    health = {f"resource.customizations.health.trainyard.dev_{kind.kind}" for kind in KINDS}
    actions = {
        f"resource.customizations.actions.trainyard.dev_{path.parent.name}" for path in SCRIPTS.glob("*/actions")
    }
    assert set(scripts) == {"url"} | health | actions
    assert len(actions) == 4


def test_the_installed_scripts_are_the_tested_ones(scripts: dict[str, str]) -> None:
    for kind in KINDS:
        text = scripts[f"resource.customizations.health.trainyard.dev_{kind.kind}"]
        assert lines(text) == lines((SCRIPTS / kind.kind / "health.lua").read_text(encoding="utf-8"))
    for folder in SCRIPTS.glob("*/actions"):
        parsed = yaml.safe_load(scripts[f"resource.customizations.actions.trainyard.dev_{folder.parent.name}"])
        found = {each["name"]: each["action.lua"] for each in parsed["definitions"]}
        found["discovery"] = parsed["discovery.lua"]
        assert {name: lines(text) for name, text in found.items()} == {
            path.stem: lines(path.read_text(encoding="utf-8")) for path in folder.glob("*.lua")
        }


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


def test_the_values_for_the_chart_of_argo_cd_contain_the_scripts(shell: Shell, scripts: dict[str, str]) -> None:
    command = documented("trainyard-argocd-values.yaml").replace("> trainyard-argocd-values.yaml", "")
    template = f"template --kube-version {toolchain.KUBERNETES_VERSION}"
    values = yaml.safe_load(shell(command.replace("template", template, 1)))
    assert values == {"configs": {"cm": {key: text for key, text in scripts.items() if key != "url"}}}


def test_neither_the_operator_nor_an_action_causes_a_difference_to_git(
    kubectl: Kubectl, crds: Path, namespaces: None, tmp_path: Path
) -> None:
    lua, files = start(tmp_path), ("-n", "models", "-f", str(APP))
    kubectl("apply", "--server-side", *files)
    actions_to_run = (("TrainingSchedule", "diabetes-weekly", "run-now"), ("ModelDeployment", "diabetes", "rollback"))
    for kind, name, action in actions_to_run:
        thing = json.loads(kubectl("-n", "models", "get", kind, name, "-o", "json"))
        after = lua.run(SCRIPTS / kind / f"actions/{action}.lua", thing)
        wanted = json.dumps({"metadata": {"annotations": after["metadata"]["annotations"]}})
        kubectl("-n", "models", "patch", kind, name, "--type=merge", "-p", wanted)
        status = json.dumps({"status": {"observedGeneration": 1, "conditions": conditions(ready=True)}})
        kubectl("-n", "models", "patch", kind, name, "--subresource=status", "--type=merge", "-p", status)
        now = json.loads(kubectl("-n", "models", "get", kind, name, "-o", "json"))
        assert now["metadata"]["generation"] == thing["metadata"]["generation"], "an action changed the spec"
    assert kubectl("diff", "--server-side", *files) == ""
    live = json.loads(kubectl("get", *files, "-o", "json"))["items"]
    written = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in APP.glob("*.yaml")]
    for thing in live:
        [manifest] = [each for each in written if each["kind"] == thing["kind"]]
        assert client_side_difference(manifest, thing) == {}
    kubectl("delete", *files)


def client_side_difference(manifest: Json, live: Json) -> Json:
    """Return the fields of a spec that Argo CD without ServerSideDiff would change.

    It compares the fields that Git names, and replaces whole lists.
    """
    wanted = merge(live, manifest)["spec"]
    return {name: value for name, value in wanted.items() if live["spec"].get(name) != value}


def test_only_covariates_have_defaults_inside_a_list() -> None:
    """The reason why docs/argocd.md names these fields."""
    paths = {
        f"{kind.kind} {path}"
        for kind in KINDS
        for path, node in nodes(structural(kind.spec), "spec")
        if "[]" in path and "default" in node and kind is not MODEL_VERSION
    }
    names = ("required", "timeoutSeconds", "knownInFuture")
    prefixes = ("TrainingJob spec", "TrainingSchedule spec.template.spec", "PredictionJob spec")
    assert paths == {f"{prefix}.data.covariates[].{name}" for prefix in prefixes for name in names}


def test_a_default_inside_a_list_is_a_difference_for_the_client_only(
    kubectl: Kubectl, crds: Path, namespaces: None
) -> None:
    """The reason why the example uses ServerSideDiff."""
    thing = {**bases()["forecast"], "metadata": {"name": "defaults", "namespace": "models"}}
    del thing["status"]
    covariate = thing["spec"]["data"]["covariates"][0]
    taken = {name: covariate.pop(name) for name in ("required", "timeoutSeconds", "knownInFuture")}
    kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(thing))
    assert kubectl("diff", "--server-side", "-f", "-", stdin=json.dumps(thing)) == ""
    live = json.loads(kubectl("-n", "models", "get", "tj", "defaults", "-o", "json"))
    assert set(client_side_difference(thing, live)) == {"data"}
    for name in taken:
        covariate[name] = live["spec"]["data"]["covariates"][0][name]
    assert client_side_difference(thing, live) == {}
    kubectl("delete", "-f", "-", stdin=json.dumps(thing))
