"""What the operator's metrics say of the models: refusals by namespace, and how old what serves is."""

import importlib
import json
import logging
import re
from typing import Any

import pytest
from prometheus_client import REGISTRY

from tests.unit.operator.cluster import Cluster
from tests.unit.operator.operators import StepOperator
from tests.unit.operator.runtime.test_relations import body, version
from tests.unit.operator.samples import SPEC
from trainyard_api.generate import checkout
from trainyard_operator.runtime import metrics
from trainyard_operator.runtime.keys import Key
from trainyard_operator.runtime.store import Store
from trainyard_operator.shell.logs import JsonFormatter

TRAINED = "trainyard_modeldeployment_trained_timestamp_seconds"


def value(metric: str, /, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(metric, labels)


def with_status(thing: dict[str, Any], **status: str) -> dict[str, Any]:
    return {**thing, "status": status}


def test_refusals_and_the_age_of_what_serves() -> None:
    store = Store()
    for number, phase in enumerate(("Validated", "Rejected", "Rejected"), start=1):
        store.apply("ModelVersion", with_status(version(number, number), phase=phase))
    store.apply("ModelVersion", version(4, 4))
    shop = with_status(body("shop", 5, {"modelName": "demand"}), activeTrainedTime="1970-01-01T00:01:00Z")
    store.apply("ModelDeployment", shop)
    store.apply("ModelDeployment", body("empty", 6, {"modelName": "other"}))
    metrics.expose(store)
    phases = {
        phase: value("trainyard_modelversions", namespace="team", phase=phase)
        for phase in ("Validated", "Rejected", "Pending", "Quarantined")
    }
    assert phases == {"Validated": 1, "Rejected": 2, "Pending": 1, "Quarantined": None}
    assert value("trainyard_objects", kind="ModelVersion") == 4
    assert value(TRAINED, namespace="team", name="shop") == 60
    assert value(TRAINED, namespace="team", name="empty") is None


def test_what_is_gone_is_no_series_any_more() -> None:
    store = Store()
    store.apply("ModelVersion", with_status(version(1, 1), phase="Rejected"))
    metrics.expose(store)
    assert value("trainyard_modelversions", namespace="team", phase="Rejected") == 1
    store.forget(Key("team", "demand-v1", "ModelVersion"))
    assert value("trainyard_modelversions", namespace="team", phase="Rejected") is None


def test_jobs_schedules_and_deployments_are_counted_when_somebody_asks() -> None:
    store = Store()
    metrics.expose(store)
    assert value("trainyard_trainingjobs", namespace="team", phase="Failed") is None
    store.apply("TrainingJob", with_status(body("a", 1, {}), phase="Failed"))
    store.apply("TrainingJob", body("b", 2, {}))
    store.apply("ModelDeployment", with_status(body("shop", 3, {"modelName": "demand"}), phase="Serving"))
    schedule = body("nightly", 4, {})
    schedule["status"] = {"lastAcceptedTime": "1970-01-01T00:02:00Z", "consecutiveRejections": 3}
    store.apply("TrainingSchedule", schedule)
    assert value("trainyard_trainingjobs", namespace="team", phase="Failed") == 1
    assert value("trainyard_trainingjobs", namespace="team", phase="Pending") == 1
    assert value("trainyard_modeldeployments", namespace="team", phase="Serving") == 1
    assert value("trainyard_trainingschedule_accepted_timestamp_seconds", namespace="team", name="nightly") == 120
    assert value("trainyard_trainingschedule_rejections", namespace="team", name="nightly") == 3
    assert [
        sample.value
        for metric in REGISTRY.collect()
        if metric.name == "trainyard_build_info"
        for sample in metric.samples
    ] == [1]


def test_each_transition_is_one_line_and_one_count(caplog: pytest.LogCaptureFixture) -> None:
    cluster = Cluster()
    cluster.submit("a", SPEC)
    operator = StepOperator(cluster)
    before = value("trainyard_transitions_total", kind="TrainingJob", phase="Starting", reason="AttemptStarted") or 0
    with caplog.at_level(logging.INFO, logger="trainyard_operator.runtime.reconciler"):
        operator.settle()
        operator.settle()
    lines = [json.loads(JsonFormatter().format(record)) for record in caplog.records if hasattr(record, "object")]
    [line] = [line for line in lines if line["phase"] == "Starting"]
    assert (line["kind"], line["namespace"], line["name"]) == ("TrainingJob", "team", "a")
    assert line["reason"]
    after = value("trainyard_transitions_total", kind="TrainingJob", phase="Starting", reason=line["reason"])
    assert after is not None
    assert after >= before


def test_every_metric_stands_in_the_docs() -> None:
    text = (checkout() / "docs/monitoring.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(trainyard_\w+)` \| ([^|]*)\|", text, re.MULTILINE))
    metrics.expose(Store())
    importlib.import_module("trainyard_operator.shell.app")
    known = {metric.name for metric in REGISTRY.collect() if metric.name.startswith("trainyard_")}
    known = {name for name in known if not name.startswith("trainyard_server")}
    assert {name.removesuffix("_total") for name in rows} == known
