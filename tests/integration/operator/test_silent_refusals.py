"""Refused pods and Jobs on a real API server with its Job controller, and what the status reports about them."""

from pathlib import Path
from typing import Any

import pytest

from tests.integration.operator.namespace import Namespace
from tests.integration.operator.test_faults import QUOTAS, new_namespace
from trainyard_operator.core.plan import Body
from trainyard_operator.kube.credentials import Credentials, load_credentials
from trainyard_operator.kube.errors import AlreadyExistsError, InvalidError
from trainyard_operator.kube.port import JOBS, Resource

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

LIMIT_RANGES = Resource("", "v1", "limitranges")
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"

SMALL: Body = {"metadata": {"name": "small"}, "spec": {"limits": [{"type": "Container", "max": {"cpu": "500m"}}]}}
QUOTA: Body = {"metadata": {"name": "compute"}, "spec": {"hard": {"limits.cpu": "8"}}}


@pytest.fixture
def credentials(crds: Path) -> Credentials:
    return load_credentials({"KUBECONFIG": str(crds)})


async def wait_for_message(namespace: Namespace, text: str) -> dict[str, Any]:
    async def ask() -> dict[str, Any] | None:
        status = await namespace.status()
        ready = next((c for c in status.get("conditions") or () if c["type"] == "Ready"), {})
        return status if text in ready.get("message", "") else None

    return await namespace.until(f"a message with {text!r}", ask, 60)


@pytest.mark.parametrize(
    ("resource", "body", "spec", "text"),
    [
        (QUOTAS, QUOTA, {}, "failed quota: compute: must specify limits.cpu"),
        (LIMIT_RANGES, SMALL, {}, "must be less than or equal to cpu limit of 500m"),
        (None, None, {"serviceAccountName": "missing"}, 'serviceaccount "missing" not found'),
        (None, None, {"priorityClassName": "missing"}, "no PriorityClass with name missing was found"),
    ],
    ids=["quota", "limit range", "service account", "priority class"],
)
async def test_the_cause_of_refused_pods_is_reported(
    credentials: Credentials, resource: Resource | None, body: Body | None, spec: dict[str, Any], text: str
) -> None:
    async with new_namespace(credentials) as namespace:
        if resource is not None:
            await namespace.request("POST", namespace.path(resource), body)
        await namespace.apply(**spec)
        async with namespace.operator():
            status = await wait_for_message(namespace, text)
    assert status["phase"] == "Starting"
    assert status["conditions"][0]["message"].startswith("waiting for a pod of Job a-1; FailedCreate: ")


async def test_a_job_starts_once_the_policy_that_refused_it_is_gone(credentials: Credentials) -> None:
    async with new_namespace(credentials) as namespace:
        name = f"{namespace.name}.example"
        rules = [{"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"]}]
        validations = [{"expression": "'team' in object.metadata.labels", "message": "label team is missing"}]
        spec = {"matchConstraints": {"resourceRules": rules}, "validations": validations}
        selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}}
        binding = {
            "policyName": name,
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": selector},
        }
        await namespace.request("POST", POLICIES, {"metadata": {"name": name}, "spec": spec})
        await namespace.request("POST", BINDINGS, {"metadata": {"name": name}, "spec": binding})
        try:
            await in_force(namespace)
            await namespace.apply()
            async with namespace.operator():
                status = await namespace.phase("Pending")
                assert status["conditions"][0]["reason"] == "JobRefused"
                assert "label team is missing" in status["conditions"][0]["message"]
                await namespace.request("DELETE", f"{BINDINGS}/{name}")
                await namespace.phase("Starting")  # the operator retries every 30 s
        finally:
            await namespace.request("DELETE", f"{POLICIES}/{name}")


async def in_force(namespace: Namespace) -> None:
    """Wait until the API server refuses a Job. It needs a moment to compile a policy."""
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
    probe = {"metadata": {"name": "probe"}, "spec": {"template": {"spec": pod}}}

    async def refused() -> bool:
        try:
            await namespace.client.create(JOBS, namespace.name, {**probe, "apiVersion": "batch/v1", "kind": "Job"})
        except InvalidError:
            return True
        except AlreadyExistsError:
            return False
        uid = (await namespace.client.get(JOBS, namespace.name, "probe"))["metadata"]["uid"]
        await namespace.client.delete(JOBS, namespace.name, "probe", uid=uid)
        return False

    await namespace.until("the policy to be in force", refused, 60)
