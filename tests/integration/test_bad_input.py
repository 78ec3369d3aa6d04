"""Common mistakes of users: kubectl apply refuses them with one sentence that says what to do.

No operator sees them.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.api.cases import Object, bases, merge

pytestmark = pytest.mark.cluster

Kubectl = Callable[..., str]

LONG = "a-name-that-is-longer-than-what-its-children-can-carry"


@pytest.mark.parametrize(
    ("base", "patch", "expected"),
    [
        ("schedule", {"schedule": "0 0 3 * * *"}, "schedule needs five fields (minute hour day-of-month month"),
        ("schedule", {"schedule": "TZ=UTC 0 3 * * *"}, "remove TZ= and set timeZone"),
        ("schedule", {"schedule": None, "runOnChange": False}, "needs schedule, or runOnChange: true, or both"),
        ("schedule", {"template": {"spec": {"framework": "Prophet"}}}, "framework Prophet needs task Forecast"),
        ("schedule", {"template": {"spec": {"data": {"target": None}}}}, "spec.template.spec.data.target: Required"),
        ("schedule", {"metadata": {"name": LONG}}, "metadata.name must be at most 41 lower-case letters"),
        ("small", {"priority": "Critical"}, 'supported values: "Urgent", "High", "Normal", "Low"'),
        ("small", {"accelerator": {"count": 0}}, "accelerator.count in body should be greater than or equal to 1"),
        ("small", {"accelerator": {"count": -1}}, "accelerator.count in body should be greater than or equal to 1"),
        ("small", {"accelerator": {"resource": "memory"}}, "must be an extended resource that nodes offer, such as nv"),
        (
            "schedule",
            {"template": {"spec": {"accelerator": {"resource": "hugepages-2Mi"}}}},
            "set cpu and memory in resources",
        ),
        ("small", {"metadata": {"name": LONG}}, "metadata.name must be at most 52 lower-case letters"),
        ("deployment", {"version": {"policy": "LatestValidated"}}, "policy Pinned needs pin, and only policy Pinned"),
        ("deployment", {"version": {"pin": None}}, "policy Pinned needs pin, and only policy Pinned has it"),
        ("deployment", {"version": {"pin": "v7"}}, "pin must be the number of a version in quotes, such as '7'"),
        ("deployment", {"rollout": {"strategy": "HotSwap"}}, '"HotSwap": supported values: "BlueGreen"'),
        ("deployment", {"rollout": {"strategy": "Canary"}}, '"Canary": supported values: "BlueGreen"'),
        ("deployment", {"metadata": {"name": LONG}}, "metadata.name must be at most 45 lower-case letters"),
    ],
)
def test_kubectl_apply_says_what_to_do(
    kubectl_fails: Kubectl, crds: Path, base: str, patch: Object, expected: str
) -> None:
    """One message for each mistake, at apply."""
    thing = merge(bases()[base], patch if "metadata" in patch else {"metadata": {"name": "new"}, "spec": patch})
    output = kubectl_fails("apply", "-f", "-", stdin=json.dumps(thing))
    assert expected in output
    messages = [line for line in output.splitlines() if " value" in line and "<nil>" not in line]
    assert len(messages) == 1, output


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ({"sepc": 1}, 'unknown field "spec.sepc"'),
        ({"data": {"uri": "s3://a/b", "target": "y", "traget": "z"}}, 'unknown field "spec.data.traget"'),
        ({"framework": "XGBoost"}, 'spec.framework: Unsupported value: "XGBoost"'),
        (
            {"data": {"uri": "s3://a/b", "sql": {"secretRef": {"name": "a"}, "query": "q"}, "target": "y"}},
            "data needs exactly one of uri and sql",
        ),
        ({"data": {"uri": "s3://a/b", "target": ""}}, "spec.data.target: Invalid value"),
        (
            {"task": "Forecast", "forecast": {"horizon": -1}, "data": {"uri": "s3://a/b", "target": "y", "time": "t"}},
            "spec.forecast.horizon: Invalid value: -1",
        ),
    ],
)
def test_kubectl_apply_names_the_field(kubectl_fails: Kubectl, crds: Path, patch: Object, expected: str) -> None:
    thing = bases()["small"]
    thing["spec"].update(patch)
    assert expected in kubectl_fails("apply", "-f", "-", stdin=json.dumps(thing))
