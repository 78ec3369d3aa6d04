"""A search: its first sets, its end, and the same result after an interruption."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from trainyard_trainer.errors import ConfigError
from trainyard_trainer.search.space import parse
from trainyard_trainer.search.study import MINIMUM, PATIENCE, GivenUpError, Report, Rules, Trial, search

SPACE = parse(
    {
        "x": {"type": "Float", "low": -10, "high": 10, "default": 8},
        "n": {"type": "Int", "low": 1, "high": 100, "log": True},
        "way": {"choices": ["up", "down"]},
    }
)
RULES = Rules(trials=20, seconds=600, goal="Minimize", seed=42, patience=100)


def bowl(parameters: Mapping[str, Any], report: Report) -> float:
    """The best set is x = 2, n = 10, down. The default is x = 8."""
    loss = (parameters.get("x", 8.0) - 2) ** 2 + math.log(parameters.get("n", 50) / 10) ** 2
    loss += 5 * (parameters.get("way", "up") == "up")
    for step in range(3):
        report(step, loss + 3 - step)
    return float(loss)


def quick(trial: Trial) -> Trial:
    return trial.model_copy(update={"seconds": 0.0})


def test_the_default_is_first_then_the_given_sets() -> None:
    previous = {"x": 1.0, "n": 9}
    found = search(SPACE, replace(RULES, trials=4), bowl, first=[{}, previous])
    assert [trial.parameters for trial in found.trials[:2]] == [{}, previous]
    assert all(set(trial.parameters) == {"x", "n", "way"} for trial in found.trials[2:])
    assert [trial.number for trial in found.trials] == [0, 1, 2, 3]


def test_it_improves_on_the_default_and_prunes_bad_sets() -> None:
    found = search(SPACE, replace(RULES, trials=40), bowl)
    default = found.trials[0].value
    assert default is not None
    assert found.best.value is not None
    assert found.best.value < 0.05 * default
    assert found.count("Pruned") > 3
    assert len(found.trials) == 40


def test_the_goal_maximize_selects_the_largest_value() -> None:
    found = search(SPACE, replace(RULES, goal="Maximize"), lambda p, report: 1 - bowl(p, report) / 100)
    assert found.best.value == max(trial.value for trial in found.trials if trial.value is not None)


@pytest.mark.parametrize("done", [0, 1, 2, 3, 7, 15, 20])
def test_a_resumed_search_has_the_result_of_an_uninterrupted_one(done: int) -> None:
    tried: list[int] = []
    whole = search(SPACE, RULES, bowl, first=[{}, {"x": 1.0}])
    history = [Trial.model_validate_json(trial.model_dump_json()) for trial in whole.trials[:done]]
    rest = search(SPACE, RULES, bowl, first=[{}, {"x": 1.0}], history=history, started=tried.append)
    assert [quick(trial) for trial in rest.trials] == [quick(trial) for trial in whole.trials]
    assert tried == list(range(done, 20))


def test_another_seed_tries_other_sets_and_huge_ones_are_fine() -> None:
    one, other = (search(SPACE, replace(RULES, trials=5, seed=seed), bowl) for seed in (1, 2**31 - 1))
    assert [t.parameters for t in one.trials[1:]] != [t.parameters for t in other.trials[1:]]


def test_it_stops_without_an_improvement() -> None:
    def flat(parameters: Mapping[str, Any], report: Report) -> float:
        return 10.0 if not parameters else 9.95 + parameters["x"] / 1000

    found = search(SPACE, replace(RULES, patience=PATIENCE), flat)
    assert len(found.trials) == MINIMUM
    assert found.best.number > 0  # an improvement below GAIN still counts for the best set


def test_it_continues_while_the_loss_improves() -> None:
    values = iter([100.0 * 0.9**n for n in range(30)])
    found = search(SPACE, replace(RULES, trials=30, patience=PATIENCE), lambda *_: next(values))
    assert len(found.trials) == 30


def test_gains_of_a_maximized_metric_are_relative_to_one_minus_its_value() -> None:
    values = iter([1 - 0.03 * 0.95**n for n in range(15)])
    rules = replace(RULES, trials=15, goal="Maximize", patience=PATIENCE)
    assert len(search(SPACE, rules, lambda *_: next(values)).trials) == 15


def test_an_invalid_set_counts_as_failed_and_the_search_continues() -> None:
    def picky(parameters: Mapping[str, Any], report: Report) -> float:
        if parameters.get("way") == "up":
            raise ConfigError("way up is closed")
        return math.nan if parameters.get("n", 1) > 5 else bowl(parameters, report)

    found = search(SPACE, RULES, picky)
    messages = {trial.message for trial in found.trials if trial.outcome == "Failed"}
    assert messages == {"way up is closed", "the metric is nan"}
    assert found.count("Complete") + found.count("Failed") + found.count("Pruned") == 20


def test_a_search_without_a_scored_set_is_an_error() -> None:
    def refuse(parameters: Mapping[str, Any], report: Report) -> float:
        raise ConfigError("no such thing")

    with pytest.raises(ConfigError, match=r"spec\.search: none of 3 .*no such thing"):
        search(SPACE, replace(RULES, trials=3), refuse)


def test_an_internal_error_is_not_a_failed_set() -> None:
    def broken(parameters: Mapping[str, Any], report: Report) -> float:
        raise KeyError("x")

    with pytest.raises(KeyError):
        search(SPACE, RULES, broken)


def test_an_equal_set_is_not_fitted_again() -> None:
    fitted: list[str] = []

    def note(parameters: Mapping[str, Any], report: Report) -> float:
        fitted.append(parameters.get("way", "up"))
        return 1.0 if parameters.get("way", "up") == "up" else 2.0

    space = parse({"way": {"choices": ["up", "down"], "default": "up"}})
    found = search(space, RULES, note)
    assert sorted(fitted) == ["down", "up"]
    assert len(found.trials) == 20


def test_the_time_limit_ends_it_after_at_least_one_complete_set() -> None:
    spent = [Trial(number=0, parameters={}, outcome="Complete", value=1.0, seconds=700.0)]
    assert len(search(SPACE, RULES, bowl, history=spent).trials) == 1
    assert len(search(SPACE, replace(RULES, seconds=0), bowl).trials) == 1
    ended: list[str] = []

    def slow(parameters: Mapping[str, Any], report: Report) -> float:
        try:
            for step in range(1_000_000_000):
                report(step, 1.0)
                if not parameters:
                    return 1.0
        except GivenUpError:
            ended.append("given up")
            raise
        return 1.0

    assert len(search(SPACE, replace(RULES, seconds=0.2), slow).trials) == 1
    assert ended == ["given up"]
