"""Change every field of a ModelDeployment: the children are always those of a fresh apply.

Acto (SOSP 2023) found most faults of operators with this comparison: change a spec step by step, and apply the same
final spec to a new object. The results differ if a field cannot be removed, or if a list is merged instead of replaced.
Here each field is set, changed and removed, one at a time. The API server says what a fresh apply would store:
``dryRun`` includes its own defaults.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.operator.shop import Shop, new_shop
from trainyard_api.modeldeployment import ModelDeploymentSpec, Serving
from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.core.plan import Body
from trainyard_operator.core.serving import render
from trainyard_operator.kinds.model_deployment import MODEL_DEPLOYMENT
from trainyard_operator.kinds.model_version import MODEL_VERSION
from trainyard_operator.kube.credentials import Credentials, load_credentials
from trainyard_operator.kube.port import (
    DEPLOYMENTS,
    MODEL_DEPLOYMENTS,
    MODEL_VERSIONS,
    POD_DISRUPTION_BUDGETS,
    SERVICES,
    Resource,
)

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(580)]

VALUES: dict[str, tuple[Any, Any]] = {
    "replicas": (3, 2),
    "image": ("server:1", "server:2"),
    "resources": (
        {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
        {"limits": {"memory": "1500Mi", "cpu": "2"}},
    ),
    "nodeSelector": ({"disk": "ssd", "zone": "a"}, {"zone": "b"}),
    "tolerations": (
        [{"key": "gpu", "operator": "Exists"}, {"key": "spot", "value": "yes", "effect": "NoSchedule"}],
        [{"key": "spot", "value": "no", "effect": "NoExecute"}],
    ),
    "affinity": (
        {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}]}
                    ]
                }
            }
        },
        {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "Exists"}]}]
                }
            }
        },
    ),
    "topologySpreadConstraints": (
        [{"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
        [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"},
            {"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "ScheduleAnyway"},
        ],
    ),
    "serviceAccountName": ("reader", "other"),
    "imagePullSecrets": ([{"name": "a"}, {"name": "b"}], [{"name": "b"}]),
    "env": (
        [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
        [{"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
    ),
    "labels": ({"team": "a", "cost": "1"}, {"team": "b"}),
    "annotations": ({"owner": "a", "link": "x"}, {"owner": "b"}),
    "podLabels": ({"tier": "a", "mesh": "no"}, {"tier": "b"}),
    "podAnnotations": ({"scrape": "yes", "port": "1"}, {"scrape": "no"}),
    "priorityClassName": ("system-cluster-critical", "system-node-critical"),
    "runtimeClassName": ("gvisor", "kata"),
    "volumes": (
        [{"name": "certs", "secret": {"secretName": "c"}}, {"name": "tables", "configMap": {"name": "t"}}],
        [{"name": "certs", "configMap": {"name": "c"}}],
    ),
    "volumeMounts": (
        [{"name": "work", "mountPath": "/a"}, {"name": "work", "mountPath": "/b", "subPath": "b"}],
        [{"name": "work", "mountPath": "/b", "readOnly": True}],
    ),
    "sharedMemory": ("1Gi", "512Mi"),
}
"""Two values of each field of ``spec.serving``. The lists and maps of the second one have fewer entries."""


def test_every_field_has_values() -> None:
    assert set(VALUES) == {field.alias or name for name, field in Serving.model_fields.items()}


@pytest.fixture
async def shop(crds: Path) -> AsyncIterator[Shop]:
    credentials: Credentials = load_credentials({"KUBECONFIG": str(crds)})
    async with new_shop(credentials) as shop:
        yield shop


async def test_each_change_gives_the_children_of_a_fresh_apply(shop: Shop) -> None:
    await shop.deploy(serving={})
    async with shop.namespace.operator():
        await shop.publish(1)
        await shop.serves(1)
        for field, (first, second) in VALUES.items():
            for value in (first, second, None):
                await shop.edit(serving={field: value})
                await wait_until_as_fresh(shop, f"{field}={value}", OperatorConfig())


async def wait_until_as_fresh(shop: Shop, step: str, config: OperatorConfig) -> None:
    """Wait until the children are what a first apply of the current object would create."""
    last: list[Any] = []

    async def ask() -> bool:
        wanted, actual = await fresh(shop, config), await stored_children(shop)
        last[:] = [wanted, actual]
        return wanted == actual

    try:
        await shop.namespace.until(f"a fresh apply after {step}", ask, seconds=30)
    except AssertionError as error:
        raise AssertionError(f"{error}\nfresh: {last[0]}\nthere: {last[1]}") from None


async def fresh(shop: Shop, config: OperatorConfig) -> dict[str, Body]:
    """Return the children that the API server would store for the current ModelDeployment."""
    client, name = shop.namespace.client, shop.namespace.name
    md = MODEL_DEPLOYMENT.view(await client.get(MODEL_DEPLOYMENTS, name, "shop"))
    version = MODEL_VERSION.view(await client.get(MODEL_VERSIONS, name, "m-v1"))
    spec = ModelDeploymentSpec.model_validate(md.spec)
    bodies: list[tuple[Resource, Body]] = [
        (DEPLOYMENTS, render.deployment(md, spec, version, config=config)),
        (SERVICES, render.service(md, spec, 1, config=config)),
    ]
    if spec.serving is not None and spec.serving.replicas > 1:
        bodies.append((POD_DISRUPTION_BUDGETS, render.disruption_budget(md, spec, 1, config=config)))
    return {resource.plural: requested_fields(await dry_run(shop, resource, body)) for resource, body in bodies}


async def dry_run(shop: Shop, resource: Resource, body: Body) -> Body:
    metadata = {**body["metadata"], "name": f"fresh-{body['metadata']['name']}"}
    path = shop.namespace.path(resource) + "?dryRun=All"
    return await shop.namespace.request("POST", path, {**body, "metadata": metadata})


async def stored_children(shop: Shop) -> dict[str, Body]:
    found = {}
    for resource in (DEPLOYMENTS, SERVICES, POD_DISRUPTION_BUDGETS):
        for body in (await shop.namespace.all(resource)).values():
            found[resource.plural] = requested_fields(body)
    return found


def requested_fields(body: Body) -> Body:
    """Return the requested fields only, without what controllers write and without the addresses of a Service."""
    annotations = body["metadata"].get("annotations") or {}
    own = {key: value for key, value in annotations.items() if not key.startswith("deployment.kubernetes.io/")}
    spec = {key: value for key, value in body["spec"].items() if not key.startswith("clusterIP")}
    return {"labels": body["metadata"].get("labels"), "annotations": own, "spec": spec}
