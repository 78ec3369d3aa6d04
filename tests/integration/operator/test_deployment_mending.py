"""A candidate that could not start, and the edit that mends it, on a real API server."""

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.operator.shop import Shop, condition, new_shop, rejections
from trainyard_operator.kube.credentials import load_credentials
from trainyard_operator.kube.port import EVENTS, MODEL_VERSIONS

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


@pytest.fixture
async def shop(crds: Path) -> AsyncIterator[Shop]:
    async with new_shop(load_credentials({"KUBECONFIG": str(crds)})) as shop:
        yield shop


async def test_it_is_tried_again_when_an_edit_changes_what_it_lacked(shop: Shop) -> None:
    shop.health[1] = 77  # the storage refuses the credentials
    await shop.deploy(rollout={"progressDeadlineSeconds": 6})
    async with shop.namespace.operator():
        await shop.publish(1)
        status = await shop.until("version 1 to be rejected", lambda s: bool(rejections(s)))
        assert rejections(status)[0]["triedWith"].endswith("/6")
        status = await shop.until("the cure to be told", lambda s: s["phase"] == "Failed")
        assert "edit what it lacks" in condition(status, "Stalled")["message"]
        del shop.health[1]
        await shop.edit(serving={"podLabels": {"reads": "models"}})
        status = await shop.serves(1)
        assert rejections(status) == []

        async def validated() -> bool:
            body = await shop.namespace.client.get(MODEL_VERSIONS, shop.namespace.name, "m-v1")
            return bool(body["status"]["phase"] == "Validated")

        await shop.namespace.until("its quarantine to be lifted", validated)
    events = Counter(body["reason"] for body in (await shop.namespace.all(EVENTS)).values())
    assert events["TriedAgain"] == 1
