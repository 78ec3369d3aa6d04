"""The objects that helm renders from the chart."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

from cluster import toolchain
from trainyard_api.generate import checkout
from trainyard_operator.core.config import OperatorConfig

CHART = checkout() / "charts/trainyard"
KUBE_VERSION = toolchain.KUBERNETES_VERSION.removeprefix("v")

Json = dict[str, Any]


def helm_run(helm: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(helm), *arguments], capture_output=True, text=True, check=False)


def render(helm: Path, *values: str) -> list[Json]:
    settings = [part for value in values for part in ("--set-json", value)]
    arguments = ("template", "trainyard", str(CHART), "--namespace", "ops", "--kube-version", KUBE_VERSION)
    done = helm_run(helm, *arguments, *settings)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def of_kind(objects: list[Json], kind: str) -> list[Json]:
    return [each for each in objects if each["kind"] == kind]


def config_of(objects: list[Json]) -> OperatorConfig:
    text = of_kind(objects, "ConfigMap")[0]["data"]["config.yaml"]
    return OperatorConfig.model_validate(yaml.safe_load(text))


def pod_of(objects: list[Json]) -> Json:
    pod: Json = of_kind(objects, "Deployment")[0]["spec"]["template"]["spec"]
    return pod
