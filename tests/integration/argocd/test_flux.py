"""The expressions for Flux in docs/argocd.md, evaluated by the API server in the order in which Flux evaluates them.

Before the expressions, Flux reports an object as in progress if its ``status.observedGeneration`` is behind. If no
expression is true, the object is in progress too.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.processes import wait_for
from tests.unit.api.cases import bases
from tests.unit.argocd.lua import conditions
from trainyard_api import GROUP, VERSION
from trainyard_api.generate import checkout
from trainyard_api.kinds import KINDS

pytestmark = pytest.mark.cluster

ORDER = ("failed", "current")
POLICY = "flux-expressions"
MANIFESTS = {"ModelDeployment": "deployment-small", "TrainingJob": "small"}

Json = dict[str, Any]
Kubectl = Callable[..., str]


def expressions() -> dict[str, dict[str, str]]:
    """Return the expressions of the documentation by kind."""
    text = (checkout() / "docs/argocd.md").read_text(encoding="utf-8")
    [block] = [each for each in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "healthCheckExprs" in each]
    return {entry.pop("kind"): entry for entry in yaml.safe_load(block)["spec"]["healthCheckExprs"]}


def policy(kind: str) -> list[Json]:
    """Return a policy that refuses a status, with the name of the first true expression as its message.

    Flux evaluates the expressions on the object itself, an admission policy on the variable ``object``.
    """
    meta = {"name": f"{POLICY}-{kind.lower()}"}
    [plural] = [each.plural for each in KINDS if each.kind == kind]
    rule = {"apiGroups": [GROUP], "apiVersions": [VERSION], "operations": ["UPDATE"], "resources": [f"{plural}/status"]}
    texts = expressions()[kind]
    prefixed = {name: re.sub(r"(?<![\w.])(status|metadata)\.", r"object.\1.", texts[name]) for name in ORDER}
    return [
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": meta,
            "spec": {
                "matchConstraints": {"resourceRules": [rule]},
                "validations": [{"expression": f"!({prefixed[name]})", "message": f"Flux: {name}"} for name in ORDER],
            },
        },
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": meta,
            "spec": {"policyName": meta["name"], "validationActions": ["Deny"]},
        },
    ]


FluxStatus = Callable[[str, Json], str]


@pytest.fixture(scope="module")
def flux_status(kubectl: Kubectl, crds: Path) -> Iterator[FluxStatus]:
    """Return ``flux_status(kind, status)``: the state that Flux derives from an object with this status."""
    things = [{**bases()[base], "metadata": {"name": "flux"}} for base in MANIFESTS.values()]
    policies = [document for kind in MANIFESTS for document in policy(kind)]
    documents = yaml.safe_dump_all([*things, *policies])

    def derive(kind: str, status: Json) -> str:
        body = json.dumps({"status": status})
        change = ("patch", kind, "flux", "--subresource=status", "--type=merge", "--dry-run=server", "-p", body)
        try:
            kubectl(*change)
        except AssertionError as error:
            found = re.search(r"Flux: (\w+)", str(error))
            if found is None:
                raise
            return found[1]
        return "inProgress"

    def policies_are_enforced() -> bool:
        stalled = {"phase": "Pending", "conditions": conditions("Stalled", "Failed")}
        return all(derive(kind, stalled) == "failed" for kind in MANIFESTS)

    kubectl("create", "-f", "-", stdin=documents)
    wait_for("the API server enforces the policies", policies_are_enforced, 30)
    yield derive
    kubectl("delete", "-f", "-", stdin=documents)


@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [
        ("ModelDeployment", {"conditions": conditions("Reconciling")}, "inProgress"),
        ("ModelDeployment", {"conditions": conditions(ready=True)}, "current"),
        ("ModelDeployment", {"conditions": conditions("Reconciling", reason="AwaitingPromotion")}, "current"),
        ("ModelDeployment", {"conditions": conditions("Stalled", ready=True)}, "failed"),
        ("TrainingJob", {}, "inProgress"),
        ("TrainingJob", {"phase": "Running", "conditions": conditions("Reconciling")}, "current"),
        ("TrainingJob", {"phase": "Succeeded", "conditions": conditions("Complete", ready=True)}, "current"),
        ("TrainingJob", {"phase": "Failed", "conditions": conditions("Failed", "Stalled")}, "failed"),
    ],
)
def test_flux_derives_the_state_from_a_status(flux_status: FluxStatus, kind: str, status: Json, expected: str) -> None:
    assert flux_status(kind, status) == expected
