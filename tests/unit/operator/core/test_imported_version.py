"""A version without its TrainingJob (imported or restored) is judged with the comparison of its training."""

from typing import Any

import pytest

from tests.unit.operator.core.versions import BELOW_2, CHAMPION, NOW, deployment, judged, spec, version
from trainyard_api.modelversion import GateResult, ModelVersionStatus
from trainyard_operator.core.objects import ModelVersionView
from trainyard_operator.core.version.planner import plan
from trainyard_operator.core.version.state import VersionState


def comparison_with(champion: int, theirs: str, own: str = "1.5", reason: str = "Compared") -> dict[str, Any]:
    """Return the comparison of the trainer: both models on the same rows."""
    metric = {"name": "mae", "value": own, "champion": theirs, "difference": str(float(own) - float(theirs))}
    return {"champion": champion, "championDigest": f"{champion:064x}", "reason": reason, "metrics": [metric]}


def candidate(number: int, comparison: dict[str, Any] | None = None) -> ModelVersionView:
    return version(number, fields=spec(number, gates=[CHAMPION], comparison=comparison))


def verdict(view: ModelVersionView, *others: ModelVersionView, active: int | None, here: bool = False) -> GateResult:
    status = {} if active is None else {"activeVersion": active, "activeDigest": f"{active:064x}"}
    observed = VersionState(view, others, (deployment(**status),), NOW, trained_here=here)
    found = plan(observed).status
    assert isinstance(found, ModelVersionStatus)
    assert found.gates is not None
    (result,) = found.gates
    return result


@pytest.mark.parametrize("active", [None, 2, 5, 9])
@pytest.mark.parametrize("others", [(), (judged(2),), (judged(2, "Rejected"), judged(4))])
@pytest.mark.parametrize(("theirs", "passed"), [("1.6", True), ("1.4", False)])
def test_the_active_version_and_other_versions_do_not_matter(
    active: int | None, others: tuple[ModelVersionView, ...], theirs: str, passed: bool
) -> None:
    found = verdict(candidate(3, comparison_with(2, theirs)), *others, active=active)
    assert (found.passed, found.champion, found.champion_value) == (passed, 2, theirs)


def test_a_version_trained_here_must_beat_the_active_version() -> None:
    found = verdict(candidate(3, comparison_with(2, "1.6")), judged(5), active=5, here=True)
    assert (found.passed, found.reason) == (False, "ChampionChanged")


def test_a_comparison_without_a_result_passes_no_gate() -> None:
    found = verdict(candidate(3, comparison_with(2, "1.6", reason="ChampionTooLarge")), active=None)
    assert (found.passed, found.reason) == (False, "ChampionTooLarge")


def test_without_a_comparison_it_must_beat_the_active_version() -> None:
    assert verdict(candidate(1), active=None).reason == "NoChampion"
    assert verdict(candidate(1), judged(5, fields=spec(5, "1.2")), active=5).reason == "NotMet"


def test_gates_with_a_fixed_value_are_judged_as_usual() -> None:
    view = version(3, fields=spec(3, "2.5", gates=[BELOW_2]))
    assert verdict(view, active=None).reason == "NotMet"
