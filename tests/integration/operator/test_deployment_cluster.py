"""ModelDeployments: behaviour that only a real API server and its controllers can show."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.integration.operator.shop import Shop, condition, is_ready, new_shop, rejections
from trainyard_api import meta
from trainyard_operator.kube.credentials import Credentials, load_credentials
from trainyard_operator.kube.port import (
    DEPLOYMENTS,
    MODEL_DEPLOYMENTS,
    MODEL_VERSIONS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    SERVICES,
    Resource,
)

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(580)]


@pytest.fixture
def credentials(crds: Path) -> Credentials:
    return load_credentials({"KUBECONFIG": str(crds)})


@pytest.fixture
async def shop(credentials: Credentials) -> AsyncIterator[Shop]:
    async with new_shop(credentials) as shop:
        yield shop


async def test_requests_always_have_a_ready_pod(shop: Shop) -> None:
    """After the first version serves, the Service always has at least one ready endpoint."""
    counts: list[int] = []

    async def count() -> int:
        """Count the ready pods behind the Service. Without a node, the endpoints controller lists none."""
        service = await shop.namespace.client.get(SERVICES, shop.namespace.name, "shop")
        selector = ",".join(f"{key}={value}" for key, value in service["spec"]["selector"].items())
        pods = [body async for body in shop.namespace.client.list(PODS, shop.namespace.name, selector=selector)]
        return sum("deletionTimestamp" not in pod["metadata"] and is_ready(pod) for pod in pods)

    done = asyncio.Event()

    async def watch() -> None:
        while not done.is_set():
            counts.append(await count())
            await asyncio.sleep(0.02)

    await shop.deploy(serving={"replicas": 2})
    async with shop.namespace.operator():
        await shop.publish(1)
        await shop.serves(1)

        watcher = asyncio.create_task(watch())
        await shop.publish(2)
        await shop.serves(2)
        shop.health[3] = 65
        await shop.publish(3)
        await shop.until("version 3 to be rejected", lambda s: bool(rejections(s)))
        await shop.act("rollback/previous/t1")
        await shop.serves(1)
        await shop.edit(serving={"replicas": 1, "podLabels": {"team": "shop"}})
        await shop.until("the edit to be rolled out", lambda s: not condition(s, "Reconciling"))
        done.set()
        await watcher
    assert len(counts) > 20
    assert min(counts) >= 1, counts


async def test_the_warm_version_takes_over_if_the_active_one_fails(shop: Shop) -> None:
    await shop.deploy()
    async with shop.namespace.operator():
        await shop.publish(1)
        await shop.serves(1)
        await shop.publish(2)
        await shop.serves(2)
        shop.health[2] = None
        status = await shop.serves(1)
        assert await shop.selected() == "1"
    assert status["rejectedVersions"][0]["reason"] == "Unready"
    assert condition(status, "RolledBack")["status"] == "True"
    assert [entry["outcome"] for entry in status["history"]] == ["Active", "RolledBack", "Replaced"]


async def test_old_pods_and_all_children_are_deleted(shop: Shop) -> None:
    await shop.deploy(rollout={"keepWarmSeconds": 0})
    async with shop.namespace.operator():
        await shop.publish(1)
        await shop.serves(1)
        await shop.publish(2)
        await shop.serves(2)

        async def only_version_2_is_left() -> bool:
            return list(await shop.namespace.all(DEPLOYMENTS)) == ["shop-v2"]

        await shop.namespace.until("the Deployment of version 1 to be deleted", only_version_2_is_left)
        await shop.namespace.request("DELETE", shop.namespace.path(MODEL_DEPLOYMENTS, "shop"))

        async def gone() -> bool:
            kinds = (MODEL_DEPLOYMENTS, DEPLOYMENTS, SERVICES, POD_DISRUPTION_BUDGETS, PODS)
            return not any([await shop.namespace.all(kind) for kind in kinds])

        await shop.namespace.until("everything but the versions to be deleted", gone)
    assert sorted(await shop.namespace.all(MODEL_VERSIONS)) == ["m-v1", "m-v2"]


async def test_edited_and_deleted_children_are_restored(shop: Shop) -> None:
    await shop.deploy(serving={"nodeSelector": {"disk": "ssd"}})
    async with shop.namespace.operator():
        await shop.publish(1)
        await shop.serves(1)
        await shop.patch(SERVICES, "shop", {"spec": {"selector": {"app": "mine"}}})

        async def selector_is_correct() -> bool:
            service = await shop.namespace.client.get(SERVICES, shop.namespace.name, "shop")
            return set(service["spec"]["selector"]) == {meta.DEPLOYMENT_UID_LABEL, meta.VERSION_LABEL}

        await shop.namespace.until("the selector to be corrected", selector_is_correct)
        await shop.namespace.request("DELETE", shop.namespace.path(SERVICES, "shop"))
        await shop.namespace.request("DELETE", shop.namespace.path(DEPLOYMENTS, "shop-v1"))
        await shop.serves(1)
        await shop.namespace.until("the Service to be created again", service_and_deployment_exist(shop))
        image = {"spec": {"containers": [{"name": meta.SERVER_CONTAINER, "image": "edited:1"}]}}
        await shop.patch(SERVICES, "shop", {"spec": {"type": "LoadBalancer"}})
        await shop.namespace.request(
            "PATCH",
            shop.namespace.path(DEPLOYMENTS, "shop-v1"),
            {"spec": {"template": image}},
            content_type="application/strategic-merge-patch+json",
        )

        async def edits_are_reverted() -> bool:
            service = await shop.namespace.client.get(SERVICES, shop.namespace.name, "shop")
            body = await shop.namespace.client.get(DEPLOYMENTS, shop.namespace.name, "shop-v1")
            containers = body["spec"]["template"]["spec"]["containers"]
            return bool(service["spec"]["type"] == "ClusterIP" and containers[0]["image"] != "edited:1")

        await shop.namespace.until("the manual edits to be reverted", edits_are_reverted)
        await shop.until("rest", lambda s: not condition(s, "Reconciling"))
        await shop.edit(serving={"nodeSelector": None})

        async def has_no_node_selector() -> bool:
            body = await shop.namespace.client.get(DEPLOYMENTS, shop.namespace.name, "shop-v1")
            return "nodeSelector" not in body["spec"]["template"]["spec"]

        await shop.namespace.until("the node selector to be removed", has_no_node_selector)


def service_and_deployment_exist(shop: Shop) -> Callable[[], Coroutine[Any, Any, bool]]:
    async def ask() -> bool:
        both = (await shop.namespace.all(SERVICES)).keys() | (await shop.namespace.all(DEPLOYMENTS)).keys()
        return both == {"shop", "shop-v1"}

    return ask


async def test_a_drain_evicts_one_pod_at_a_time(shop: Shop) -> None:
    """``kubectl drain`` uses the eviction API for each pod. The disruption controller is the real one."""
    await shop.deploy(serving={"replicas": 2})
    async with shop.namespace.operator():
        await shop.publish(1)
        await shop.serves(1)

        async def allowed() -> bool:
            budget = (await shop.namespace.all(POD_DISRUPTION_BUDGETS)).get("shop", {})
            status = budget.get("status") or {}
            return bool(status.get("disruptionsAllowed") == 1 and status["expectedPods"] == 2)

        await shop.namespace.until("the budget to allow one disruption", allowed)
        await allow_no_further_pod(shop)
        first, second = await shop.namespace.all(PODS)
        await evict(shop, first)
        with pytest.raises(AssertionError, match="disruption budget"):
            await evict(shop, second)
        await shop.edit(serving={"replicas": 1})

        async def unlimited() -> bool:
            return not await shop.namespace.all(POD_DISRUPTION_BUDGETS)

        await shop.namespace.until("the budget of a single pod to be deleted", unlimited)


async def allow_no_further_pod(shop: Shop) -> None:
    """Let no replacement pod start. Until one is ready, no other pod may be evicted."""
    quotas = Resource("", "v1", "resourcequotas")
    body = {"metadata": {"name": "full"}, "spec": {"hard": {"pods": "1"}}}
    await shop.namespace.request("POST", shop.namespace.path(quotas), body)

    async def counted() -> bool:
        return bool((await shop.namespace.all(quotas))["full"].get("status", {}).get("used"))

    await shop.namespace.until("the quota to count", counted)


async def evict(shop: Shop, pod: str) -> None:
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    await shop.namespace.request("POST", shop.namespace.path(PODS, pod) + "/eviction", eviction)


async def test_a_refusal_of_the_api_server_is_reported(shop: Shop) -> None:
    await shop.deploy(serving={"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}})
    async with shop.namespace.operator():
        await shop.publish(1)
        assert "must be less than or equal to memory limit" in await shop.stalled("InvalidSpec")
        assert not await shop.namespace.all(DEPLOYMENTS)
        await shop.edit(serving={"resources": {"requests": {"memory": "1Gi"}}})
        await shop.serves(1)


async def test_the_scale_subresource_changes_the_replicas(shop: Shop) -> None:
    """As kubectl scale and a HorizontalPodAutoscaler do, also if the spec has no ``serving``."""
    await shop.deploy()
    async with shop.namespace.operator():
        await shop.publish(1)
        await shop.serves(1)
        scale = shop.namespace.path(MODEL_DEPLOYMENTS, "shop/scale")
        body = await shop.namespace.request("GET", scale)
        assert (body["spec"]["replicas"], body["status"]["replicas"]) == (1, 1)
        await shop.namespace.request("PUT", scale, {**body, "spec": {"replicas": 3}})
        await shop.until("three pods", lambda s: s.get("readyReplicas") == 3)
        status = (await shop.namespace.request("GET", scale))["status"]
        assert status["replicas"] == 3
        pods = [pod async for pod in shop.namespace.client.list(PODS, shop.namespace.name, selector=status["selector"])]
        assert len(pods) == 3
        await shop.publish(2)
        assert (await shop.serves(2))["readyReplicas"] == 3


async def test_a_foreign_service_with_the_name_is_reported(shop: Shop) -> None:
    foreign = {"metadata": {"name": "shop"}, "spec": {"ports": [{"port": 80}]}}
    await shop.namespace.request("POST", shop.namespace.path(SERVICES), foreign)
    await shop.deploy()
    async with shop.namespace.operator():
        await shop.publish(1)
        status = await shop.until("the refusal", lambda s: condition(s, "Reconciling").get("reason") == "ChildRefused")
    message = condition(status, "Ready")["message"]
    assert "Service shop already exists and does not belong to this ModelDeployment" in message


async def test_invalid_requests_are_reported_once(shop: Shop) -> None:
    await shop.deploy()
    async with shop.namespace.operator() as port:
        await shop.publish(1)
        await shop.serves(1)
        await shop.act("rollback/previous/t1")
        status = await shop.until("an answer", lambda s: s.get("lastHandledAction") == "rollback/previous/t1")
        assert status["lastActionMessage"].startswith("refused: there is no version to roll back to")
        await shop.edit(version={"policy": "Pinned", "pin": "9"})
        assert "no ModelVersion of model m" in await shop.stalled("PinnedVersionNotFound")
        await shop.deploy("shop-too")  # If both were created in the same second, the name decides
        assert "ModelDeployment shop already serves model m" in await shop.stalled("ModelTaken", "shop-too")

        async def nothing_is_written() -> bool:
            before = port.writes.copy()
            await asyncio.sleep(2)
            return port.writes == before

        await shop.namespace.until("two seconds in which nothing is written", nothing_is_written)
