"""The life cycle of a ModelVersion, one transition at a time."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.operator.core.versions import (
    BELOW_2,
    CHAMPION,
    STAMP,
    START,
    deployment,
    judged,
    observed,
    rejected,
    spec,
    version,
)
from trainyard_api.conditions import Condition
from trainyard_api.modelversion import ModelVersionStatus
from trainyard_operator.core.objects import ModelDeploymentView, ModelVersionView
from trainyard_operator.core.plan import NOTHING, Plan
from trainyard_operator.core.version.planner import plan


def after(view: ModelVersionView, *around: ModelVersionView | ModelDeploymentView) -> tuple[ModelVersionStatus, Plan]:
    """Return the status that is stored and the plan that stores it; the next plan must be empty."""
    step = plan(observed(view, *around))
    assert isinstance(step.status, ModelVersionStatus)
    assert not step.actions
    assert not step.needs
    ModelVersionStatus.model_validate(step.status.wire())
    assert plan(observed(replace(view, status=step.status), *around)) == NOTHING
    return step.status, step


def ready(status: ModelVersionStatus) -> Condition:
    return next(each for each in status.conditions or () if each.type == "Ready")


def types(status: ModelVersionStatus) -> dict[str, str]:
    return {each.type: each.status for each in status.conditions or ()}


def events_of(step: Plan) -> list[tuple[str, str]]:
    return [(event.type, event.reason) for event in step.events]


def test_a_version_without_gates_is_validated_at_once() -> None:
    status, step = after(version(1))
    assert (status.phase, status.gates, status.judged_time) == ("Validated", None, STAMP)
    assert status.observed_generation == 1
    assert types(status) == {"Ready": "True"}
    assert ready(status).message == "the version has no gates"
    assert events_of(step) == [("Normal", "Validated")]


def test_a_version_that_meets_a_fixed_gate_is_validated() -> None:
    status, step = after(version(1, fields=spec(1, "1.5", [BELOW_2])))
    assert status.phase == "Validated"
    assert ready(status).message == "1 of 1 gates met: mae 1.5: required <= 2"
    assert events_of(step) == [("Normal", "Validated")]


def test_one_failed_gate_rejects_a_version() -> None:
    status, step = after(version(1, fields=spec(1, "2.5", [BELOW_2, {"metric": "mae", "op": ">", "value": 0}])))
    assert status.phase == "Rejected"
    assert [gate.passed for gate in status.gates or ()] == [False, True]
    assert types(status) == {"Ready": "False"}, "not Stalled: nothing is broken"
    assert ready(status).reason == "GatesNotMet"
    assert ready(status).message == "1 of 2 gates not met: mae 2.5: required <= 2"
    assert events_of(step) == [("Warning", "Rejected")]


def test_a_missing_metric_rejects_a_version() -> None:
    status, _ = after(version(1, fields=spec(1, None, [BELOW_2])))
    assert status.phase == "Rejected"
    assert "mae was not reported" in ready(status).message


def champion_of(*around: ModelVersionView | ModelDeploymentView, mae: str = "1.4", own: int = 9) -> tuple[Any, ...]:
    status, _ = after(version(own, fields=spec(own, mae, [CHAMPION])), *around)
    (gate,) = status.gates or ()
    return status.phase, gate.reason, gate.champion


def test_the_active_version_is_the_champion() -> None:
    versions = [judged(n, fields=spec(n, mae)) for n, mae in ((1, "1.5"), (2, "1.3"))]
    assert champion_of(*versions, deployment(activeVersion=1)) == ("Validated", "Met", 1)
    assert champion_of(*versions, deployment(activeVersion=2)) == ("Rejected", "NotMet", 2)


def test_without_an_active_version_the_newest_validated_one_is_the_champion() -> None:
    around = [judged(1), judged(2), judged(3, "Rejected"), judged(4, "Quarantined"), judged(12), deployment()]
    assert champion_of(*around) == ("Validated", "Met", 2)
    assert champion_of(*(around[:1] + around[2:])) == ("Validated", "Met", 1), "a deleted version is not a champion"


def test_the_first_version_has_no_champion() -> None:
    assert champion_of() == ("Validated", "NoChampion", None)
    assert champion_of(judged(1, "Rejected")) == ("Validated", "NoChampion", None)


def test_a_champion_without_its_object_passes_nothing() -> None:
    assert champion_of(judged(2), deployment(activeVersion=3)) == ("Rejected", "MetricMissing", 3)


def test_an_unreadable_champion_passes_nothing() -> None:
    broken = judged(2, fields={**spec(2), "formats": "text"})
    assert champion_of(broken) == ("Rejected", "MetricMissing", 2)


def test_a_champion_judged_on_other_rows_passes_nothing() -> None:
    assert champion_of(judged(2, fields=spec(2, holdoutDigest="b" * 64))) == ("Rejected", "HoldoutDiffers", 2)


def comparison_with(champion: int, digest: int) -> dict[str, Any]:
    """Return a comparison: the version is as good as the champion."""
    metric = {"name": "mae", "value": "1.4", "champion": "1.4", "difference": "0", "low": "-0.1", "high": "0.1"}
    return {"champion": champion, "championDigest": f"{digest:064x}", "reason": "Compared", "metrics": [metric]}


@pytest.mark.parametrize(
    ("serves", "comparison", "verdict"),
    [
        (1, comparison_with(1, 1), ("Validated", "Met", 1)),
        (2, comparison_with(1, 1), ("Rejected", "ChampionChanged", 2)),
        (1, comparison_with(1, 7), ("Rejected", "ChampionChanged", 1)),
        (1, {**comparison_with(1, 1), "reason": "ChampionUnreadable"}, ("Rejected", "ChampionUnreadable", 1)),
    ],
    ids=["same", "another", "other bytes", "no answer"],
)
def test_the_comparison_of_the_trainer_decides(
    serves: int, comparison: dict[str, Any], verdict: tuple[Any, ...]
) -> None:
    other_rows = [judged(number, fields=spec(number, holdoutDigest="b" * 64)) for number in (1, 2)]
    view = version(9, fields=spec(9, "9", [CHAMPION], comparison=comparison))
    status, _ = after(view, *other_rows, deployment(activeVersion=serves))
    (gate,) = status.gates or ()
    assert (status.phase, gate.reason, gate.champion) == verdict


def test_a_deployment_that_is_being_deleted_has_no_champion() -> None:
    gone = replace(deployment(activeVersion=1), deleting=True)
    assert champion_of(judged(1), judged(2), gone) == ("Validated", "Met", 2)


def test_the_older_of_two_deployments_decides_the_champion() -> None:
    newer = replace(deployment("a", activeVersion=2), created=START + timedelta(hours=1))
    assert champion_of(judged(1), judged(2), newer, deployment("b", activeVersion=1)) == ("Validated", "Met", 1)


def test_versions_are_judged_in_order() -> None:
    status, step = after(version(3), version(2), judged(1), version(4))
    assert (status.phase, status.gates) == ("Pending", None)
    assert types(status) == {"Ready": "False", "Reconciling": "True"}
    assert ready(status).message == "earlier versions are judged first"
    assert events_of(step) == []
    pending = replace(version(3), status=status)
    assert after(pending, judged(2, "Rejected"))[0].phase == "Validated"
    assert after(pending, replace(version(2), deleting=True))[0].phase == "Validated"


@pytest.mark.parametrize("phase", ["Validated", "Rejected", "Quarantined"])
def test_a_version_is_judged_once(phase: str) -> None:
    view = judged(2, phase, fields=spec(2, "9", [BELOW_2, CHAMPION]))
    assert plan(observed(view, version(1), judged(3), deployment(activeVersion=1))) == NOTHING


def test_a_version_that_is_being_deleted_is_left_alone() -> None:
    assert plan(observed(replace(version(1), deleting=True))) == NOTHING


# ---- quarantine ------------------------------------------------------------------------------------------------------


def test_a_version_that_was_rolled_back_is_quarantined() -> None:
    status, step = after(judged(2), deployment(activeVersion=1, previousVersion=2, rejectedVersions=[rejected(2)]))
    assert (status.phase, status.quarantined_by, status.used_by) == ("Quarantined", "shop", ["shop"])
    assert status.judged_time == STAMP
    assert types(status) == {"Ready": "False"}
    expected = "ModelDeployment shop does not select this version again (NotReady: its pods were not ready)"
    assert ready(status).message == expected
    assert events_of(step) == [("Warning", "Quarantined")]


def test_quarantine_stays_without_its_entry_and_without_its_deployment() -> None:
    status, _ = after(judged(2), deployment(rejectedVersions=[rejected(2)]))
    view = replace(judged(2), status=status)
    assert plan(observed(view, deployment())) == NOTHING
    assert plan(observed(view)) == NOTHING


@pytest.mark.parametrize("field", ["candidateVersion", "activeVersion"])
def test_a_quarantined_version_in_use_again_is_validated(field: str) -> None:
    status, _ = after(judged(2), deployment(rejectedVersions=[rejected(2)]))
    takes = deployment(**{field: 2, "rejectedVersions": [rejected(2)]})
    again, step = after(replace(judged(2), status=status), takes)
    assert (again.phase, again.quarantined_by, again.used_by) == ("Validated", None, ["shop"])
    assert types(again) == {"Ready": "True"}
    assert events_of(step) == [("Normal", "Reinstated")]


def test_a_version_that_another_deployment_serves_is_not_quarantined() -> None:
    both = (deployment("a", rejectedVersions=[rejected(2)]), deployment("b", activeVersion=2))
    status, step = after(judged(2), *both)
    assert (status.phase, status.used_by, events_of(step)) == ("Validated", ["b"], [])


def test_two_quarantines_are_two_events() -> None:
    first = plan(observed(judged(2), deployment(rejectedVersions=[rejected(2)]))).events[0]
    later = {**rejected(2), "time": "2026-11-21T08:40:00Z"}
    second = plan(observed(judged(2), deployment(rejectedVersions=[later]))).events[0]
    assert first.about != second.about


@pytest.mark.parametrize("phase", ["Rejected", "Pending"])
def test_only_validated_versions_are_quarantined(phase: str) -> None:
    status = plan(observed(judged(2, phase), deployment(rejectedVersions=[rejected(2)]))).status
    assert status is None or (isinstance(status, ModelVersionStatus) and status.phase == "Validated")


# ---- usedBy ----------------------------------------------------------------------------------------------------------


def test_used_by_names_the_deployments() -> None:
    around = (
        deployment("c", candidateVersion=2),
        deployment("b", previousVersion=2),
        deployment("a", activeVersion=2),
        deployment("d", activeVersion=3),
    )
    status, step = after(judged(2), *around)
    assert (status.used_by, step.events) == (["a", "b", "c"], ())
    left, _ = after(replace(judged(2), status=status))
    assert left.used_by is None


def test_used_by_is_cut_to_the_limit_of_the_schema() -> None:
    status, _ = after(judged(2), *(deployment(f"d{n:03d}", activeVersion=2) for n in range(40)))
    assert len(status.used_by or ()) == 32


# ---- invalid specs and names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"model": "m", "version": "two"},
        {**spec(2), "artifact": None},
        {**spec(2), "gates": [{"metric": "mae", "op": "~", "value": 1}]},
        {**spec(2), "metrics": [{"name": "mae", "value": "NaN"}]},
        {**spec(2), "version": True},
    ],
)
def test_an_invalid_spec_is_rejected_without_a_crash(fields: dict[str, Any]) -> None:
    nonsense = version(2, fields=fields)
    status, step = after(nonsense, deployment(activeVersion=1, rejectedVersions=[rejected(2)]))
    assert (status.phase, ready(status).reason) == ("Rejected", "InvalidSpec")
    assert "spec." in ready(status).message
    assert events_of(step) == [("Warning", "Rejected")]
    assert after(version(3, fields=spec(3, "1.5", [CHAMPION])), replace(nonsense, status=status))[0].phase


def test_a_misnamed_version_is_rejected_and_ignored() -> None:
    foreign = replace(version(2), name="mine")
    status, _ = after(foreign)
    assert (status.phase, ready(status).reason) == ("Rejected", "Misnamed")
    assert ready(status).message == "the ModelVersion of version 2 of model m must have the name m-v2"
    assert after(foreign, deployment("shop", activeVersion=2))[0].used_by is None, (
        "version 2 of the model is another object"
    )
    assert after(version(3), foreign)[0].phase == "Validated", "no version waits for it"
    assert champion_of(replace(judged(2), name="mine")) == ("Validated", "NoChampion", None)


def test_a_long_message_is_cut_to_the_limit_of_the_status() -> None:
    gates = [{"metric": "m" * 64, "op": "<", "value": n} for n in range(16)]
    status, _ = after(version(1, fields=spec(1, "1", gates)))
    assert len(ready(status).message) == 1024
