"""The format of a search space: valid values, and one message for each error."""

import optuna
import pytest

from trainyard_trainer.errors import ConfigError
from trainyard_trainer.search.space import defaults_of, inside, parse, suggest

WORDS = {
    "num_leaves": {"type": "Int", "low": 7, "high": 255, "log": True, "default": 31},
    "learning_rate": {"type": "Float", "low": 0.01, "high": 0.3, "log": True},
    "depth": {"type": "Int", "low": 2, "high": 10, "step": 4},
    "share": {"type": "Float", "low": 0, "high": 1, "step": 0.25},
    "boosting": {"choices": ["gbdt", "dart"]},
    "layers": {"choices": [[64], [128, 64], None]},
    "flag": {"choices": [True, 1, 0.5]},
}


def test_suggestions_are_in_the_space() -> None:
    space = parse(WORDS)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(50):
        found = suggest(study.ask(), space)
        assert inside(found, space) == found
        assert list(found) == sorted(WORDS)
        assert found["depth"] in {2, 6, 10}
        assert found["share"] in {0, 0.25, 0.5, 0.75, 1}
        assert found["layers"] in ([64], [128, 64], None)


def test_a_true_choice_is_not_the_number_one() -> None:
    space = parse({"flag": {"choices": [True, 0]}})
    assert inside({"flag": 1}, space) == {}
    assert inside({"flag": True}, space) == {"flag": True}


def test_only_valid_values_of_the_space_are_kept() -> None:
    space = parse(WORDS)
    earlier = {"num_leaves": 300, "learning_rate": 0.1, "depth": 3, "boosting": "rf", "unknown": 1, "layers": [128, 64]}
    assert inside(earlier, space) == {"learning_rate": 0.1, "layers": [128, 64]}
    assert inside({"num_leaves": 8.5, "learning_rate": "fast", "share": 0.3, "depth": True}, space) == {}


def test_only_explicit_defaults_are_returned() -> None:
    assert defaults_of(parse(WORDS)) == {"num_leaves": 31}
    assert defaults_of(parse({"layers": {"choices": [None, 1], "default": None}})) == {"layers": None}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (3, "must not be 3; write {type: Int, low: 1, high: 9} or {choices: [..]}"),
        ({"low": 1, "high": 2}, "type is missing; write Int or Float with low and high, or choices"),
        ({"type": "int", "low": 1, "high": 2}, 'type is "int"; write Int or Float with low and high, or choices'),
        ({"type": "Int", "low": 3, "high": 2}, "low 3 is above high 2"),
        ({"type": "Int", "low": 0, "high": 2, "log": True}, "log needs a low of at least 1, but it is 0"),
        ({"type": "Float", "low": 0, "high": 2, "log": True}, "log needs a low above 0, but it is 0.0"),
        ({"type": "Int", "low": 1, "high": 9, "log": True, "step": 2}, "log and step exclude each other"),
        ({"type": "Int", "low": 1, "high": 9, "step": 3}, "high 9 is not a whole number of steps 3 above low 1"),
        ({"type": "Int", "low": 1, "high": 9, "step": 0}, ".step: Input should be greater than or equal to 1"),
        ({"type": "Int", "low": 1.5, "high": 9}, ".low: Input should be a valid integer"),
        ({"type": "Int", "low": 1}, ".high: is required"),
        ({"type": "Float", "low": float("nan"), "high": 9}, ".low: Input should be a finite number"),
        ({"type": "Float", "low": 0, "high": 1, "default": 3}, "default 3.0 is not between low and high"),
        ({"type": "Float", "low": 0, "high": 1, "lgo": True}, ".lgo: unknown field"),
        ({"choices": []}, ".choices: List should have at least 1 item"),
        ({"choices": "gbdt"}, ".choices: Input should be a valid list"),
        ({"choices": [{"a": 1}]}, ".choices: values must be text, numbers, true, false, null or lists of these"),
        ({"choices": ["a", "b", "a"]}, 'choices contains "a" twice'),
        ({"choices": ["a"], "default": "b"}, 'default "b" is not one of the choices'),
        ({"choices": ["a"], "low": 1}, ".low: unknown field"),
    ],
)
def test_a_mistake_is_reported_in_one_message(words: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse({"depth": words})
    assert str(caught.value).startswith("spec.search.space.depth")
    assert message in str(caught.value)


def test_an_empty_space_is_refused_and_all_mistakes_are_reported() -> None:
    with pytest.raises(ConfigError, match="space is empty"):
        parse({})
    with pytest.raises(ConfigError, match=r"space\.a: .*; spec\.search\.space\.b: "):
        parse({"b": 1, "a": 2})
