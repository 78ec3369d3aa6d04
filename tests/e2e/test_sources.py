"""Training and predictions in a pod with a database: a real PostgreSQL server next to the cluster."""

import ipaddress
import json
import socket
from collections.abc import Iterator

import psycopg
import pytest

from tests.e2e.stage import Json, Stage, condition
from tests.integration.trainer.database import PASSWORD, READER, DatabaseServer
from trainyard_api import API_VERSION

QUERY = "SELECT date, product, sold FROM sales ORDER BY product, date"
ENDED = ("Succeeded", "Failed")


def address_for(stage: Stage) -> str:
    """Return this machine's address in the network of the node. Pods can reach it on every kind of node."""
    (node,) = json.loads(stage.kubectl("get", "nodes", "-o", "json"))["items"]
    node_address = next(each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((node_address, 9))  # This sends nothing. It only looks up the route.
        return str(ipaddress.ip_address(probe.getsockname()[0]))


@pytest.fixture(scope="module")
def database(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseServer]:
    server = DatabaseServer(tmp_path_factory.mktemp("database") / "server", address_for(stage))
    yield server
    server.stop()


def secret(name: str, url: str) -> Json:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"url": url}}


def forecast(secret_name: str) -> Json:
    sql = {"secretRef": {"name": secret_name}, "query": QUERY}
    return {
        "framework": "Prophet",
        "task": "Forecast",
        "data": {"sql": sql, "time": "date", "series": "product", "target": "sold"},
        "forecast": {"horizon": 14},
        "retry": {"maxAttempts": 1},
    }


def test_a_query_on_postgresql_makes_a_version(stage: Stage, database: DatabaseServer) -> None:
    stage.apply_objects(secret("shop", database.url()), secret("stale", database.url(password="of yesterday")))
    stage.apply("from-a-query", **forecast("shop"))
    stage.apply("refused", **forecast("stale"))
    stage.apply("prepared", mode="Prepare", **forecast("shop"))
    job = stage.wait_for_phase("from-a-query", *ENDED)
    assert job["status"]["phase"] == "Succeeded", condition(job, "Ready")["message"]
    assert (job["status"]["result"]["series"]["total"], job["status"]["result"]["series"]["failed"]) == (2, 0)
    (version,) = stage.versions_of(job)
    assert version["spec"]["dataDigest"].startswith("sha256:")
    prepared = stage.wait_for_phase("prepared", *ENDED)
    assert "prepared a dataset of 400 rows and 4 columns" in condition(prepared, "Ready")["message"]


def test_refused_credentials_fail_the_job_and_are_not_shown(stage: Stage, database: DatabaseServer) -> None:
    job = stage.wait_for_phase("refused", *ENDED)
    assert [(each["reason"], each["exitCode"]) for each in job["status"]["attempts"]] == [("NotPermitted", 77)]
    output = json.dumps(job) + stage.kubectl("logs", "--selector=trainyard.dev/trainingjob=refused", "--tail=-1")
    assert "yesterday" not in output
    assert PASSWORD not in output
    assert READER in output or "the user" in output or "password" in output


def test_forecasts_are_in_a_table_exactly_once(stage: Stage, database: DatabaseServer) -> None:
    """A pod is killed, the server restarts, and a second job replaces the forecast of the first one."""
    stage.apply_objects(secret("warehouse", database.url("owner")))
    spec = {
        "model": {"name": "from-a-query"},
        "data": {"sql": {"secretRef": {"name": "shop"}, "query": QUERY}},
        "output": {
            "sql": {"secretRef": {"name": "warehouse"}, "table": "forecasts", "mode": "Replace", "keys": ["as_of"]}
        },
        "retry": {"maxAttempts": 4, "initialSeconds": 0},
    }
    for name in ("first", "second"):
        body = {"apiVersion": API_VERSION, "kind": "PredictionJob", "metadata": {"name": name}, "spec": spec}
        stage.apply_objects(body)
        if name == "first":
            stage.wait_for_phase(name, "Running", *ENDED, kind="pj")
            label = f"trainyard.dev/predictionjob={name}"
            stage.kubectl("delete", "pod", "-l", label, "--force", "--grace-period=0", "--wait=false")
            database.restart()
        job = stage.wait_for_phase(name, *ENDED, kind="pj")
        assert job["status"]["phase"] == "Succeeded", condition(job, "Ready")["message"]
        assert job["status"]["result"]["rows"] == 2 * 14
    with psycopg.connect(database.url("owner")) as owner:
        rows = owner.execute("SELECT series, time, run, version FROM forecasts").fetchall()
    assert len(rows) == len({row[:2] for row in rows}) == 2 * 14
    assert {row[2:] for row in rows} == {(job["metadata"]["uid"], 1)}
