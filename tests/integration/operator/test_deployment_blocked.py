"""A version whose pods cannot be created, on a real API server.

The status reports the cause, and the version starts once the cause is gone.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.integration.operator.shop import Shop, condition, new_shop, rejections
from tests.integration.operator.test_faults import new_namespace
from trainyard_operator.core.plan import Body
from trainyard_operator.core.times import to_rfc3339
from trainyard_operator.kube.credentials import load_credentials
from trainyard_operator.kube.port import EVENTS, MODEL_VERSIONS, PODS, Resource

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

QUOTAS = Resource("", "v1", "resourcequotas")
LIMIT_RANGES = Resource("", "v1", "limitranges")
ACCOUNTS = Resource("", "v1", "serviceaccounts")
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"


@pytest.fixture
async def shop(crds: Path) -> AsyncIterator[Shop]:
    async with new_shop(load_credentials({"KUBECONFIG": str(crds)})) as shop:
        yield shop


@dataclass(frozen=True)
class Cause:
    """What prevents pods, the message about it, and what repairs it."""

    message: str
    blocker: tuple[Resource, Body] | None = None
    serving: dict[str, Any] = field(default_factory=dict)
    repair: tuple[Resource, Body] | None = None


def named(name: str, **parts: Any) -> Body:
    return {"metadata": {"name": name}, **parts}


CAUSES = {
    "quota": Cause(
        "failed quota: q: must specify limits.cpu", (QUOTAS, named("q", spec={"hard": {"limits.cpu": "8"}}))
    ),
    "limit range": Cause(
        "maximum memory usage per Container is 64Mi",
        (LIMIT_RANGES, named("l", spec={"limits": [{"type": "Container", "max": {"memory": "64Mi"}}]})),
    ),
    "service account": Cause(
        'serviceaccount "reader" not found',
        serving={"serviceAccountName": "reader"},
        repair=(ACCOUNTS, named("reader")),
    ),
    "priority class": Cause("no PriorityClass with name top was found", serving={"priorityClassName": "top"}),
}


@pytest.mark.parametrize("name", CAUSES)
async def test_the_cause_of_refused_pods_is_reported_and_nothing_is_quarantined(shop: Shop, name: str) -> None:
    cause, path = CAUSES[name], shop.namespace.path
    if cause.blocker is not None:
        await shop.namespace.request("POST", path(cause.blocker[0]), cause.blocker[1])
    await shop.deploy(rollout={"progressDeadlineSeconds": 4}, serving=cause.serving)
    async with shop.namespace.operator():
        await shop.publish(1)
        assert cause.message in await shop.stalled("CandidateBlocked")
        if cause.blocker is not None:
            await shop.namespace.request("DELETE", path(cause.blocker[0], cause.blocker[1]["metadata"]["name"]))
        elif cause.repair is not None:
            await shop.namespace.request("POST", path(cause.repair[0]), cause.repair[1])
        else:
            await shop.edit(serving={"priorityClassName": None})
        status = await shop.serves(1)
    assert rejections(status) == []
    assert condition(status, "Stalled") == {}
    assert (await shop.namespace.all(MODEL_VERSIONS))["m-v1"]["status"]["phase"] == "Validated"


async def refuses_replica_sets(shop: Shop) -> bool:
    """Return whether a valid ReplicaSet is refused. A policy needs a moment to take effect."""
    labels = {"matchLabels": {"app": "try"}}
    pod = {"metadata": {"labels": labels["matchLabels"]}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    body = {"metadata": {"name": "try"}, "spec": {"replicas": 0, "selector": labels, "template": pod}}
    path = shop.namespace.path(Resource("apps", "v1", "replicasets"))
    try:
        await shop.namespace.request("POST", f"{path}?dryRun=All", body)
    except AssertionError as refused:
        return "ask the platform team" in str(refused)
    return False


async def test_a_policy_that_refuses_the_replica_set_is_reported(shop: Shop) -> None:
    """The Deployment exists and has no ReplicaSet. The cause is in its condition Progressing, not in ReplicaFailure."""
    policy = f"no-replicasets-{shop.namespace.name}"
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["replicasets"]}
    here = {"matchLabels": {"kubernetes.io/metadata.name": shop.namespace.name}}
    match = {"resourceRules": [rule], "namespaceSelector": here}
    denies = [{"expression": "false", "message": "ask the platform team"}]
    await shop.namespace.request(
        "POST", POLICIES, named(policy, spec={"matchConstraints": match, "validations": denies})
    )
    binding = {"policyName": policy, "validationActions": ["Deny"]}
    await shop.namespace.request("POST", BINDINGS, named(policy, spec=binding))
    try:
        await shop.namespace.until("the policy to be in force", lambda: refuses_replica_sets(shop))
        await shop.deploy(rollout={"progressDeadlineSeconds": 30})
        async with shop.namespace.operator():
            await shop.publish(1)
            status = await shop.until(
                "the policy to be reported",
                lambda s: "ask the platform team" in condition(s, "Reconciling").get("message", ""),
            )
    finally:
        await shop.namespace.request("DELETE", f"{BINDINGS}/{policy}")
        await shop.namespace.request("DELETE", f"{POLICIES}/{policy}")
    assert "Deployment shop-v1: ReplicaSetCreateError" in condition(status, "Reconciling")["message"]


async def test_a_cause_that_is_only_in_events_of_the_kubelet_is_reported(crds: Path) -> None:
    credentials = load_credentials({"KUBECONFIG": str(crds)})
    async with new_namespace(credentials) as namespace, namespace.operator():
        shop = Shop(namespace)  # without a node: nobody writes the status of its pods
        await shop.deploy()
        await shop.publish(1)

        async def made() -> Body | None:
            return next(iter((await shop.namespace.all(PODS)).values()), None)

        metadata = (await shop.namespace.until("a pod", made))["metadata"]
        event = {
            "metadata": {"name": "mount.1"},
            "type": "Warning",
            "reason": "FailedMount",
            "action": "Mount",
            "note": 'MountVolume.SetUp failed for volume "storage-secret": secret "object-store" not found',
            "eventTime": to_rfc3339(shop.namespace.clock()).replace("Z", ".000000Z"),
            "reportingController": "kubelet",
            "reportingInstance": "node-1",
            "regarding": {"kind": "Pod", **{key: metadata[key] for key in ("name", "namespace", "uid")}},
        }
        await shop.namespace.request("POST", shop.namespace.path(EVENTS), event)
        await shop.until(
            "the Event to be reported",
            lambda s: 'secret "object-store" not found' in condition(s, "Reconciling").get("message", ""),
        )
