"""The metrics of objects: correct, limited in number, and computed without blocking reconciles."""

import asyncio
import importlib
import json
import logging
import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.operator.cluster import Cluster
from tests.unit.operator.operators import StepOperator
from tests.unit.operator.runtime.test_relations import body, version
from tests.unit.operator.samples import SPEC
from trainyard_api.generate import checkout
from trainyard_operator.core.plan import Kind
from trainyard_operator.kinds.base import Key
from trainyard_operator.kinds.series import MOST_REASONS
from trainyard_operator.runtime import metrics, survey
from trainyard_operator.runtime.registry import KINDS
from trainyard_operator.runtime.store import Store
from trainyard_operator.shell.logs import JsonFormatter

Json = dict[str, Any]
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(text: str) -> Series:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(store: Store) -> Series:
    """Return every series as Prometheus reads it."""
    metrics.expose(store)
    return read(asyncio.run(metrics.exposition()).decode())


def value(series: Series, name: str, /, **labels: str) -> float | None:
    return series.get((name, frozenset(labels.items())))


def condition(kind: str, status: str = "True", reason: str = "Because") -> Json:
    return {"type": kind, "status": status, "reason": reason}


def with_status(thing: Json, **status: Any) -> Json:
    return {**thing, "status": status}


def job_waiting(name: str, number: int, phase: str, reason: str) -> Json:
    return with_status(body(name, number, {}), phase=phase, conditions=[condition("Ready", "False", reason)])


def test_versions_by_phase_and_the_age_of_the_active_model() -> None:
    store = Store(KINDS)
    for number, phase in enumerate(("Validated", "Rejected", "Rejected"), start=1):
        store.apply("ModelVersion", with_status(version(number, number), phase=phase))
    store.apply("ModelVersion", version(4, 4))
    serves = {"activeVersion": 1, "activeTrainedTime": "1970-01-01T00:01:00Z"}
    store.apply("ModelDeployment", with_status(body("shop", 5, {"modelName": "demand"}), **serves))
    store.apply("ModelDeployment", body("empty", 6, {"modelName": "other"}))
    seen = scrape(store)
    phases = {
        phase: value(seen, "trainyard_modelversions", namespace="team", phase=phase)
        for phase in ("Validated", "Rejected", "Pending", "Quarantined")
    }
    assert phases == {"Validated": 1, "Rejected": 2, "Pending": 1, "Quarantined": None}
    assert value(seen, "trainyard_objects", kind="ModelVersion") == 4
    trained = "trainyard_modeldeployment_trained_timestamp_seconds"
    assert value(seen, trained, namespace="team", name="shop") == 60
    assert value(seen, trained, namespace="team", name="empty") is None


def test_deleted_objects_have_no_series() -> None:
    store = Store(KINDS)
    store.apply("ModelVersion", with_status(version(1, 1), phase="Rejected"))
    store.apply("TrainingSchedule", body("nightly", 2, {}))
    assert value(scrape(store), "trainyard_modelversions", namespace="team", phase="Rejected") == 1
    assert value(scrape(store), "trainyard_trainingschedule_missed_runs_total", namespace="team", name="nightly") == 0
    store.forget(Key("team", "demand-v1", "ModelVersion"))
    store.forget(Key("team", "nightly", "TrainingSchedule"))
    assert value(scrape(store), "trainyard_modelversions", namespace="team", phase="Rejected") is None
    assert [labels for _, labels in scrape(store) if ("name", "nightly") in labels] == []


def test_waiting_and_failed_jobs_are_counted_by_reason() -> None:
    store = Store(KINDS)
    store.apply("TrainingJob", job_waiting("a", 1, "Queued", "ConcurrencyLimit"))
    store.apply("TrainingJob", job_waiting("b", 2, "Queued", "ConcurrencyLimit"))
    store.apply("TrainingJob", job_waiting("c", 3, "Queued", "ModelLocked"))
    store.apply("TrainingJob", job_waiting("d", 4, "Starting", "AttemptStarted"))
    store.apply("TrainingJob", job_waiting("e", 5, "Running", "Running"))
    store.apply("TrainingJob", body("f", 6, {}))
    failed = with_status(body("g", 7, {}), phase="Failed", conditions=[condition("Failed", "True", "BadData")])
    store.apply("TrainingJob", failed)
    seen = scrape(store)
    counts = {
        (dict(labels)["phase"], dict(labels)["reason"]): number
        for (name, labels), number in seen.items()
        if name == "trainyard_trainingjobs_waiting"
    }
    assert counts == {
        ("Queued", "ConcurrencyLimit"): 2,
        ("Queued", "ModelLocked"): 1,
        ("Starting", "AttemptStarted"): 1,
        ("Pending", ""): 1,
    }
    assert value(seen, "trainyard_trainingjobs_failed", namespace="team", reason="BadData") == 1
    assert value(seen, "trainyard_trainingjobs", namespace="team", phase="Failed") == 1
    assert value(seen, "trainyard_trainingjobs", namespace="team", phase="Queued") == 3


def test_schedules_have_metrics_of_their_runs() -> None:
    store = Store(KINDS)
    status = {
        "phase": "Active",
        "lastAcceptedTime": "1970-01-01T00:02:00Z",
        "lastSuccessfulTime": "1970-01-01T00:03:00Z",
        "lastScheduleTime": "1970-01-01T00:04:00Z",
        "nextScheduleTime": "1970-01-01T01:00:00+01:00",
        "consecutiveRejections": 3,
        "missed": 7,
    }
    store.apply("TrainingSchedule", with_status(body("nightly", 4, {}), **status))
    seen = scrape(store)
    values = {
        name.removeprefix("trainyard_trainingschedule_"): number
        for (name, labels), number in seen.items()
        if labels == frozenset({("namespace", "team"), ("name", "nightly")})
    }
    assert values == {
        "accepted_timestamp_seconds": 120,
        "last_success_timestamp_seconds": 180,
        "last_run_timestamp_seconds": 240,
        "next_run_timestamp_seconds": 0,
        "rejections": 3,
        "missed_runs_total": 7,
        "consecutive_failures": 0,
    }
    assert value(seen, "trainyard_trainingschedules", namespace="team", phase="Active") == 1


def test_deployments_have_metrics_of_version_readiness_and_conditions() -> None:
    store = Store(KINDS)
    shop = {"namespace": "team", "name": "shop"}
    found = version(2, 1)
    found["spec"] |= {"objectiveMetric": "mae", "objectiveValue": "-1.5e-07"}
    store.apply("ModelVersion", found)
    conditions = [
        condition("Ready", "True", "Serving"),
        condition("RolledBack", "True", "CrashLoop"),
        condition("Reconciling", "True", "Progressing"),
    ]
    serving = with_status(
        body("shop", 2, {"modelName": "demand"}), phase="Serving", activeVersion=2, conditions=conditions
    )
    store.apply("ModelDeployment", serving)
    seen = scrape(store)
    assert value(seen, "trainyard_modeldeployment_active_version", **shop) == 2
    assert value(seen, "trainyard_modeldeployment_objective", metric="mae", **shop) == -1.5e-07
    assert value(seen, "trainyard_modeldeployment_ready", **shop) == 1
    exported = [dict(labels) for name, labels in seen if name == "trainyard_modeldeployment_condition"]
    assert exported == [{**shop, "condition": "RolledBack", "reason": "CrashLoop"}]

    older = version(3, 3)
    older["spec"] |= {"objective": {"metric": "rmse"}, "objectiveValue": "4"}
    store.apply("ModelVersion", older)
    store.apply("ModelDeployment", with_status(body("shop", 4, {"modelName": "demand"}), activeVersion=3))
    seen = scrape(store)
    assert value(seen, "trainyard_modeldeployment_objective", metric="rmse", **shop) == 4
    assert value(seen, "trainyard_modeldeployment_ready", **shop) == 0


def test_the_number_of_series_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "MOST_NAMED", 3)
    store = Store(KINDS)
    for number in range(1, 6):
        store.apply("ModelDeployment", body(f"d{number}", number, {"modelName": f"m{number}"}))
    for number in range(1, MOST_REASONS + 21):
        store.apply("TrainingJob", job_waiting(f"j{number}", 10 + number, "Starting", f"Cause{number}"))
    seen = scrape(store)
    ready = [labels for name, labels in seen if name == "trainyard_modeldeployment_ready"]
    assert len(ready) == 3
    assert value(seen, "trainyard_objects_without_series", kind="ModelDeployment") == 2
    assert value(seen, "trainyard_objects_without_series", kind="TrainingSchedule") == 0
    assert value(seen, "trainyard_modeldeployments", namespace="team", phase="Pending") == 5
    counts = {
        dict(labels)["reason"]: number
        for (name, labels), number in seen.items()
        if name == "trainyard_trainingjobs_waiting"
    }
    assert len(counts) == MOST_REASONS + 1
    assert counts["Other"] == 20


def test_an_arbitrary_reason_is_escaped() -> None:
    store = Store(KINDS)
    reason = 'it said "no"\nand \\ more'
    store.apply("TrainingJob", job_waiting("a", 1, "Starting", reason))
    assert (
        value(scrape(store), "trainyard_trainingjobs_waiting", namespace="team", phase="Starting", reason=reason) == 1
    )


def test_a_scrape_does_not_block_other_work() -> None:
    """The scrape pauses between slices, and changes in a pause break nothing."""
    store = Store(KINDS)
    for number in range(1, 4 * survey.SLICE + 1):
        store.apply("TrainingJob", job_waiting(f"j{number}", number, "Queued", "ConcurrencyLimit"))
    steps, pauses = survey.survey(store), 0
    try:
        while True:
            next(steps)
            pauses += 1
            if pauses <= 4:
                store.forget(Key("team", f"j{4 * survey.SLICE + 1 - pauses}", "TrainingJob"))
            store.apply("TrainingJob", job_waiting(f"late{pauses}", 10_000 + pauses, "Queued", "ConcurrencyLimit"))
    except StopIteration as done:
        seen = read(done.value.decode())
    assert pauses == 4 + len(KINDS.planned) + len(survey.families(KINDS))
    labels = {"namespace": "team", "phase": "Queued", "reason": "ConcurrencyLimit"}
    assert value(seen, "trainyard_trainingjobs_waiting", **labels) == 4 * survey.SLICE - 3


def test_each_transition_is_logged_and_counted_once(caplog: pytest.LogCaptureFixture) -> None:
    cluster = Cluster()
    cluster.submit("a", SPEC)
    operator = StepOperator(cluster)
    counted = {"kind": "TrainingJob", "phase": "Starting", "reason": "Starting"}
    before = value(scrape(Store(KINDS)), "trainyard_transitions_total", **counted) or 0
    with caplog.at_level(logging.INFO, logger="trainyard_operator.runtime.reconciler"):
        operator.settle()
        operator.settle()
    records = [json.loads(JsonFormatter().format(record)) for record in caplog.records if hasattr(record, "object")]
    [record] = [record for record in records if record["phase"] == "Starting"]
    logged = {key: record[key] for key in ("kind", "namespace", "name", "phase", "reason")}
    assert logged == {**counted, "namespace": "team", "name": "a"}
    assert value(scrape(Store(KINDS)), "trainyard_transitions_total", **counted) == before + 1


def test_every_metric_is_documented() -> None:
    text = (checkout() / "docs/monitoring.md").read_text(encoding="utf-8")
    rows = {
        name: set(re.findall(r"`(\w+)`", labels))
        for name, labels in re.findall(r"^\| `(trainyard_\w+)` \| ([^|]*)\|", text, re.MULTILINE)
    }
    importlib.import_module("trainyard_operator.shell.app")
    metrics.expose(Store(KINDS))
    page = asyncio.run(metrics.exposition()).decode()
    known = {family.name for family in text_string_to_metric_families(page) if family.name.startswith("trainyard_")}
    assert {name.removesuffix("_total") for name in rows} == known

    store = Store(KINDS)
    kinds: tuple[tuple[Kind, str], ...] = (("ModelDeployment", "Stalled"), ("TrainingSchedule", "Stalled"))
    for number, (kind, name) in enumerate(kinds, start=1):
        moments = dict.fromkeys(("lastAcceptedTime", "lastSuccessfulTime", "lastScheduleTime"), "1970-01-01T00:02:00Z")
        status = {"conditions": [condition(name)], "activeVersion": 1, **moments}
        status |= {"activeTrainedTime": "1970-01-01T00:02:00Z", "nextScheduleTime": "1970-01-01T00:02:00Z"}
        store.apply(kind, with_status(body(f"o{number}", number, {"modelName": "demand"}), **status))
    rated = version(1, 3)
    rated["spec"] |= {"objectiveMetric": "mae", "objectiveValue": "1"}
    store.apply("ModelVersion", rated)
    store.apply("TrainingJob", job_waiting("a", 4, "Queued", "ModelLocked"))
    store.apply("TrainingJob", with_status(body("b", 5, {}), phase="Failed"))
    store.apply("PredictionJob", job_waiting("c", 6, "Queued", "NamespaceLimit"))
    store.apply("PredictionJob", with_status(body("d", 7, {}), phase="Failed"))
    families = {family.name for family in survey.families(KINDS)}
    labels = {name: {label for label, _ in labels} for name, labels in scrape(store) if name in families}
    assert {name: rows[name] for name in labels} == labels
    assert set(labels) == families
