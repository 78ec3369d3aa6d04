"""Every example is valid. tests/integration/test_crds.py checks the same with the API server."""

from pathlib import Path

import pytest
import yaml

from tests.unit.api.cases import pydantic_verdict
from trainyard_api import API_VERSION
from trainyard_api.generate import checkout
from trainyard_api.training import Framework

FOREIGN = {"argocd/application.yaml"}
"""Examples of foreign kinds."""

FOLDER = checkout() / "examples"
EXAMPLES = sorted(path for path in FOLDER.rglob("*.yaml") if str(path.relative_to(FOLDER)) not in FOREIGN)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_every_example_is_valid(path: Path) -> None:
    for thing in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        assert thing["metadata"]["name"] == path.stem
        if thing["apiVersion"] == API_VERSION:  # a script's ConfigMap is in the same file as its job
            assert pydantic_verdict(thing) is None


def test_the_main_frameworks_have_an_example() -> None:
    things = [thing for path in EXAMPLES for thing in yaml.safe_load_all(path.read_text(encoding="utf-8"))]
    specs = [thing["spec"] for thing in things if "spec" in thing]
    used: set[Framework] = {spec["framework"] for spec in specs if "framework" in spec}
    assert used >= {"LightGBM", "Prophet", "Container", "Script"}
