"""The health that Argo CD shows for each state that the operator writes."""

from datetime import UTC, datetime
from typing import Any, get_args

import pytest

from tests.unit.argocd.lua import SCRIPTS, Json, Lua, conditions, resource
from trainyard_api.batch import Phase
from trainyard_api.kinds import (
    KINDS,
    MODEL_DEPLOYMENT,
    MODEL_VERSION,
    PREDICTION_JOB,
    TRAINING_JOB,
    TRAINING_SCHEDULE,
    KindDefinition,
)
from trainyard_api.modelversion import VersionPhase
from trainyard_operator.core.conditions import conditions_for
from trainyard_operator.core.serving.status import AWAITING_PROMOTION

JOB = {"framework": "LightGBM", "task": "Regression", "data": {"uri": "s3://a/b.csv", "target": "y"}}
SCHEDULE = {"schedule": "@daily", "template": {"spec": JOB}}
DEPLOYMENT = {"modelName": "bakery"}
PREDICTION = {"model": {"name": "bakery"}, "data": {"uri": "s3://a/b.csv"}, "output": {"files": {"uri": "s3://c"}}}
DIGEST = "0123456789abcdef" * 4
VERSION = {
    "model": "bakery",
    "version": 7,
    "label": "v7",
    "artifact": {"uri": "s3://models/a", "manifestSha256": DIGEST, "sizeBytes": 1},
    "formats": ["lightgbm-text"],
    "trainingJob": {"name": "bakery", "uid": "1"},
}
SPECS: dict[str, Json] = {
    "TrainingJob": JOB,
    "TrainingSchedule": SCHEDULE,
    "ModelVersion": VERSION,
    "ModelDeployment": DEPLOYMENT,
    "PredictionJob": PREDICTION,
}


def health(
    lua: Lua, kind: KindDefinition, status: Json | None, spec: Json | None = None, **metadata: Any
) -> tuple[str, str]:
    thing = resource(kind, {**SPECS[kind.kind], **(spec or {})}, status, **metadata)
    result = lua.run(SCRIPTS / kind.kind / "health.lua", thing)
    assert set(result) <= {"status", "message"}
    return result["status"], result.get("message", "")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_an_unobserved_object_is_progressing(lua: Lua, kind: KindDefinition) -> None:
    seen = {"conditions": conditions("Complete", "Failed", "Stalled", ready=True)}
    assert health(lua, kind, None) == ("Progressing", "waiting for the operator")
    assert health(lua, kind, seen, generation=3) == ("Progressing", "waiting for the operator")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_an_object_without_status_is_progressing(lua: Lua, kind: KindDefinition) -> None:
    thing = resource(kind, SPECS[kind.kind])
    del thing["status"]
    assert lua.run(SCRIPTS / kind.kind / "health.lua", thing)["status"] == "Progressing"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_a_stalled_object_is_degraded_with_the_reason(lua: Lua, kind: KindDefinition) -> None:
    status = {"conditions": conditions("Stalled", reason="InvalidSpec", message="no zone Mars/Olympus")}
    assert health(lua, kind, status) == ("Degraded", "InvalidSpec: no zone Mars/Olympus")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_an_unknown_condition_type_is_ignored(lua: Lua, kind: KindDefinition) -> None:
    status = {"phase": "Active" if kind is TRAINING_SCHEDULE else "Pending"}
    for ready in (True, False):
        known = health(lua, kind, {**status, "conditions": conditions(ready=ready)})
        assert health(lua, kind, {**status, "conditions": conditions("Bewitched", ready=ready)}) == known


JOBS: dict[Phase, tuple[str, str]] = {
    "Pending": ("Progressing", "Pending: so it is"),
    "Queued": ("Progressing", "Queued: so it is"),
    "Starting": ("Progressing", "Starting: so it is"),
    "Running": ("Progressing", "Running: so it is"),
    "Retrying": ("Progressing", "Retrying: so it is"),
    "Suspended": ("Suspended", "suspended by spec.suspend"),
    "Succeeded": ("Healthy", "so it is"),
    "Failed": ("Degraded", "Because: so it is"),
    "Cancelled": ("Degraded", "Because: so it is"),
}


@pytest.mark.parametrize("kind", [TRAINING_JOB, PREDICTION_JOB], ids=lambda kind: kind.kind)
@pytest.mark.parametrize("phase", get_args(Phase))
def test_health_of_jobs(lua: Lua, phase: Phase, kind: KindDefinition) -> None:
    """Each phase has the conditions that the operator writes."""
    now = datetime(2026, 11, 21, 7, 30, tzinfo=UTC)
    written = conditions_for(phase, "Because", "so it is", generation=2, now=now, before=())
    status = {"phase": phase, "conditions": [each.wire() for each in written]}
    assert health(lua, kind, status) == JOBS[phase]


@pytest.mark.parametrize(
    ("reason", "status", "message"),
    [
        ("Scheduled", {}, "next run at 2026-11-22T00:00:00Z"),
        ("Scheduled", {"consecutiveFailures": 1}, "next run at 2026-11-22T00:00:00Z; the last run failed"),
        ("Scheduled", {"consecutiveFailures": 3}, "next run at 2026-11-22T00:00:00Z; the last 3 runs failed"),
        ("RunWaits", {"activeCount": 1}, "so it is"),
        ("Suspended", {"phase": "Suspended"}, "so it is"),
        ("WaitsForChange", {"nextScheduleTime": None, "consecutiveFailures": 0}, "so it is"),
    ],
)
def test_schedules_are_healthy_whatever_their_runs_do(lua: Lua, reason: str, status: Json, message: str) -> None:
    shown = {"phase": "Active", "nextScheduleTime": "2026-11-22T00:00:00Z", **status}
    shown["conditions"] = conditions(reason=reason, ready=True)
    assert health(lua, TRAINING_SCHEDULE, shown) == ("Healthy", message)


REFUSED_MODEL = {"status": "False", "reason": "VersionRejected", "message": "version 7 was refused"}


def test_a_rejected_version_is_reported_and_stays_healthy(lua: Lua) -> None:
    with_rejection = [
        *conditions(ready=True),
        {"type": "ModelAccepted", "lastTransitionTime": "2026-11-21T07:30:00Z", **REFUSED_MODEL},
    ]
    expected = ("Healthy", "so it is; version 7 was refused")
    assert health(lua, TRAINING_SCHEDULE, {"phase": "Active", "conditions": with_rejection}) == expected
    good = [with_rejection[0], {**with_rejection[1], "status": "True"}]
    assert health(lua, TRAINING_SCHEDULE, {"phase": "Active", "conditions": good}) == ("Healthy", "so it is")
    serving = {"phase": "Serving", "activeVersion": 6, "conditions": conditions("NewerVersionRejected", ready=True)}
    assert health(lua, MODEL_DEPLOYMENT, serving) == ("Healthy", "so it is; so it is")
    verdict = {"phase": "Rejected", "reason": "GatesNotMet", "message": "mae 9: required <= 2"}
    ended = {"phase": "Succeeded", "conditions": conditions("Complete", ready=True), "verdict": verdict}
    assert health(lua, TRAINING_JOB, ended) == ("Healthy", "so it is; its version was rejected: mae 9: required <= 2")


def test_a_refused_run_is_progressing(lua: Lua) -> None:
    status = {"phase": "Active", "conditions": conditions("Reconciling", reason="CreateRefused")}
    assert health(lua, TRAINING_SCHEDULE, status) == ("Progressing", "so it is")


@pytest.mark.parametrize("phase", get_args(VersionPhase))
def test_health_of_versions(lua: Lua, phase: VersionPhase) -> None:
    expected = ("Progressing", "so it is") if phase == "Pending" else ("Healthy", f"{phase}: so it is")
    assert health(lua, MODEL_VERSION, {"phase": phase, "conditions": conditions()}) == expected


def test_health_of_a_version_without_conditions(lua: Lua) -> None:
    assert health(lua, MODEL_VERSION, {"phase": "Pending"}) == ("Progressing", "waiting for its gates")
    assert health(lua, MODEL_VERSION, {"phase": "Rejected"}) == ("Healthy", "Rejected")


def refused(version: int, reason: str = "NotReady") -> Json:
    return {"version": version, "reason": reason, "time": "2026-11-21T07:30:00Z"}


def hold(reason: str) -> Json:
    return {"reason": reason, "since": "2026-11-21T07:30:00Z"}


@pytest.mark.parametrize(
    ("phase", "status", "types", "expected"),
    [
        ("Pending", {}, ["Reconciling"], ("Progressing", "so it is")),
        ("Progressing", {"activeVersion": 6, "candidateVersion": 7}, ["Reconciling"], ("Progressing", "so it is")),
        ("RollingBack", {"activeVersion": 7, "candidateVersion": 6}, ["Reconciling"], ("Progressing", "so it is")),
        ("Serving", {"activeVersion": 7}, [], ("Healthy", "so it is")),
        ("Held", {"activeVersion": 6, "hold": hold("ManualRollback")}, [], ("Healthy", "so it is")),
        (
            "Serving",
            {"activeVersion": 6, "rejectedVersions": [refused(7)]},
            ["RolledBack"],
            ("Healthy", "so it is; so it is"),
        ),
        ("Failed", {}, ["Stalled"], ("Degraded", "Because: so it is")),
    ],
)
def test_health_of_deployments(lua: Lua, phase: str, status: Json, types: list[str], expected: tuple[str, str]) -> None:
    shown = {"phase": phase, "conditions": conditions(*types, ready=phase in {"Serving", "Held"}), **status}
    assert health(lua, MODEL_DEPLOYMENT, shown) == expected


def test_a_candidate_that_awaits_promotion_is_suspended(lua: Lua) -> None:
    awaiting = conditions("Reconciling", reason=AWAITING_PROMOTION, message="version 7 is ready: promote it")
    status = {"phase": "AwaitingPromotion", "activeVersion": 6, "candidateVersion": 7, "conditions": awaiting}
    assert health(lua, MODEL_DEPLOYMENT, status) == ("Suspended", "version 7 is ready: promote it")


def test_an_unserved_pin_is_degraded_even_if_a_version_serves(lua: Lua) -> None:
    stalled = conditions("Stalled", reason="PinnedVersionNotFound", message="there is no version 9", ready=True)
    spec = {"version": {"policy": "Pinned", "pin": "9"}}
    status = {"phase": "Serving", "activeVersion": 6, "conditions": stalled}
    assert health(lua, MODEL_DEPLOYMENT, status, spec) == ("Degraded", "PinnedVersionNotFound: there is no version 9")


def test_a_deployment_without_a_version_is_progressing(lua: Lua) -> None:
    assert health(lua, MODEL_DEPLOYMENT, {"phase": "Pending", "conditions": conditions()}) == ("Progressing", "Pending")
