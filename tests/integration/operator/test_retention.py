"""Retention on a real API server: preconditions of a deletion hold, and the version that serves stays."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.integration.operator.shop import MERGE, Shop, new_shop
from trainyard_api import meta
from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.kube.credentials import Credentials, load_credentials
from trainyard_operator.kube.port import EVENTS, MODEL_VERSIONS
from trainyard_operator.runtime.clock import utc_now
from trainyard_operator.runtime.registry import KINDS
from trainyard_operator.runtime.resync import resync
from trainyard_operator.runtime.retention import Retention
from trainyard_operator.runtime.store import Store

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(580)]


@pytest.fixture
def credentials(crds: Path) -> Credentials:
    return load_credentials({"KUBECONFIG": str(crds)})


@pytest.fixture
async def shop(credentials: Credentials) -> AsyncIterator[Shop]:
    async with new_shop(credentials) as shop:
        yield shop


async def test_surplus_versions_are_deleted_and_the_serving_one_stays(shop: Shop) -> None:
    async with shop.namespace.operator():
        await shop.deploy(retention={"validated": 1, "rejected": 1}, rollout={"keepWarmSeconds": 0})
        for number in (1, 2, 3):
            await shop.publish(number)
            await shop.serves(number)
        await shop.act("rollback/1/t1")
        await shop.serves(1)
        for number in (4, 5):
            await shop.publish(number, good=False)
        await shop.namespace.judged()
    store = Store(KINDS)
    assert not await resync(shop.namespace.client, store, (shop.namespace.name,))
    retention = Retention(
        shop.namespace.client,
        store,
        OperatorConfig(),
        may=lambda _: True,
        instance="test",
        clock=lambda: utc_now() + timedelta(hours=2),
    )
    # Version 1 serves, 2 is the newest Validated and 5 the newest Rejected one. 4 changes after the store was filled.
    path = shop.namespace.path(MODEL_VERSIONS, "m-v4")
    labels = {"metadata": {"labels": {meta.KEEP_LABEL: "true"}}}
    await shop.namespace.request("PATCH", path, labels, content_type=MERGE)
    assert await retention.sweep() == 1

    async def only_version_3_is_gone() -> bool:
        return sorted(await shop.namespace.all(MODEL_VERSIONS)) == ["m-v1", "m-v2", "m-v4", "m-v5"]

    await shop.namespace.until("version 3 to be gone", only_version_3_is_gone)
    events = [e for e in (await shop.namespace.all(EVENTS)).values() if e["reason"] == "Expired"]
    assert [event["regarding"]["name"] for event in events] == ["m-v3"]
    assert not await resync(shop.namespace.client, store, (shop.namespace.name,))
    assert await retention.sweep() == 0, "the label keeps it"
