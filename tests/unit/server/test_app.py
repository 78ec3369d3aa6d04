"""The routes without a process: before the model is loaded, while draining, under too much load, and after an error."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from tests.unit.server.models import doubling
from trainyard_server import model as model_module
from trainyard_server.app import create_app
from trainyard_server.metrics import Metrics
from trainyard_server.model import ServedModel
from trainyard_server.repository import OneModelRepository
from trainyard_server.settings import Target

TARGET = Target("demand", 3, "s3://models/shop/demand/runs/0/1", "a" * 64)
REQUEST = {"id": "1", "inputs": [{"name": "x", "shape": [2], "datatype": "FP32", "data": [1, None]}]}
READY = "/v2/models/demand/ready"
INFER = "/v2/models/demand/infer"


@pytest.fixture
def repository() -> Iterator[OneModelRepository]:
    with ThreadPoolExecutor(1) as executor:
        yield OneModelRepository(TARGET, lambda target: ServedModel(doubling(target), executor, 10))


@asynccontextmanager
async def client(repository: OneModelRepository) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(repository, Metrics(CollectorRegistry(), TARGET))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as http:
        yield http


async def test_it_is_alive_and_not_ready_before_the_model_is_loaded(repository: OneModelRepository) -> None:
    async with client(repository) as http:
        assert (await http.get("/v2/health/live")).json() == {"live": True}
        assert (await http.get("/v2/models")).json() == {"models": []}
        for path in ("/v2/health/ready", READY, "/v2/models/demand/versions/3/ready", "/v2/models/demand"):
            assert (await http.get(path)).status_code == 503
        assert (await http.post(INFER, json=REQUEST)).json() == {
            "error": "Model with name demand is not ready. Version 3 is being loaded."
        }
        repository.load("demand")
        assert (await http.get(READY)).json() == {"name": "demand", "ready": True}
        assert (await http.get("/v2/health/ready")).status_code == 200
        assert (await http.get("/v2/models")).json() == {"models": ["demand"]}


@pytest.mark.parametrize("other", [{"version": 4}, {"manifest_sha256": "b" * 64}])
async def test_another_version_or_digest_is_not_ready(repository: OneModelRepository, other: dict[str, Any]) -> None:
    repository.load("demand")
    repository.wanted = replace(TARGET, **other)
    async with client(repository) as http:
        assert (await http.get(READY)).status_code == 503
        assert (await http.post(INFER, json=REQUEST)).status_code == 503


async def test_while_draining_it_is_not_ready_but_serves(repository: OneModelRepository) -> None:
    repository.load("demand")
    async with client(repository) as http:
        before = await http.post(INFER, json=REQUEST)
        repository.draining = True
        after = await http.post(INFER, json=REQUEST)
        assert (await http.get(READY)).status_code == 503
    assert before.json() == after.json()
    assert after.json()["outputs"] == [{"name": "prediction", "shape": [2], "datatype": "FP64", "data": [2.0, None]}]
    assert (before.headers.get("connection"), after.headers["connection"]) == (None, "close")


async def test_too_many_waiting_requests_get_503(repository: OneModelRepository) -> None:
    repository.load("demand")
    async with client(repository) as http:
        responses = await asyncio.gather(
            *(http.post(INFER, json=REQUEST) for _ in range(model_module.MAX_PENDING + 50))
        )
        refused = [response for response in responses if response.status_code != 200]
        assert 0 < len(refused) <= 50
        assert {(response.status_code, response.headers["retry-after"]) for response in refused} == {(503, "1")}
        assert "add replicas" in refused[0].json()["error"]
        assert (await http.post(INFER, json=REQUEST)).status_code == 200


async def test_an_internal_error_is_a_500_and_is_counted(repository: OneModelRepository) -> None:
    repository.load("demand")
    assert repository.served is not None
    repository.served.loaded.framework.fail = RuntimeError("no such leaf")
    async with client(repository) as http:
        response = await http.post(INFER, json=REQUEST)
        assert (response.status_code, response.json()) == (
            500,
            {"error": "the prediction failed: RuntimeError: no such leaf"},
        )
        metrics = (await http.get("/metrics")).text
    assert 'trainyard_server_requests_total{code="500",model="demand",version="3"} 1.0' in metrics


async def test_too_many_rows_are_refused(repository: OneModelRepository) -> None:
    repository.load("demand")
    request = {"inputs": [{"name": "x", "shape": [11], "datatype": "INT64", "data": [1] * 11}]}
    async with client(repository) as http:
        response = await http.post(INFER, json=request)
    message = response.json()["error"]
    assert "11 rows" in message
    assert "at most 10 " in message


def test_the_repository_has_one_model(repository: OneModelRepository) -> None:
    assert not repository.load("another")
    assert repository.load("demand")
