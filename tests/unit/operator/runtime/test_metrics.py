"""What the operator's metrics say of the models: refusals by namespace, and how old what serves is."""

from typing import Any

from prometheus_client import REGISTRY

from tests.unit.operator.runtime.test_relations import body, version
from trainyard_operator.runtime import metrics
from trainyard_operator.runtime.keys import Key
from trainyard_operator.runtime.store import Store

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
    metrics.count(store)
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
    metrics.count(store)
    store.forget(Key("team", "demand-v1", "ModelVersion"))
    metrics.count(store)
    assert value("trainyard_modelversions", namespace="team", phase="Rejected") is None
