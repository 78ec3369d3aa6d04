"""Pydantic validates the corpus. tests/integration/test_crds.py compares the API server with it."""

import math

import pytest
from pydantic import ValidationError

from tests.unit.api.bounds import bound_cases, schema_nodes
from tests.unit.api.cases import Case, bases, free_transitions, kind_of, pydantic_verdict, rule_cases, transitions
from trainyard_api.base import ApiModel, Rule
from trainyard_api.batch import Attempt
from trainyard_api.kinds import KINDS, MODEL_DEPLOYMENT, TRAINING_JOB, TRAINING_SCHEDULE
from trainyard_api.schema import nodes, structural
from trainyard_api.training import Gate
from trainyard_api.trainingjob import TrainingJobSpec, TrainingJobStatus


def ids(case: Case) -> str:
    return case.name


def judge(case: Case) -> None:
    verdict = pydantic_verdict(case.object, case.part)
    if case.unsettled:
        return
    if case.refusal is None or case.judge == "server":
        assert verdict is None
    else:
        assert verdict is not None, f"accepted: {case.object[case.part]}"
        assert case.refusal in verdict


@pytest.mark.parametrize("name", list(bases()))
def test_bases_are_valid(name: str) -> None:
    thing = bases()[name]
    assert pydantic_verdict(thing) is None
    assert pydantic_verdict(thing, "status") is None


@pytest.mark.parametrize("case", list(rule_cases()), ids=ids)
def test_the_corpus_is_judged_as_written(case: Case) -> None:
    judge(case)


def test_each_limit_is_enforced() -> None:
    wrong = []
    for case in bound_cases():
        try:
            judge(case)
        except AssertionError as error:
            wrong.append(f"{case.name}: {error}")
    assert not wrong, "\n".join(wrong)


def test_every_field_occurs_in_a_base() -> None:
    known = {
        f"{kind.kind}.{path}"
        for kind in KINDS
        for part, model in (("spec", kind.spec), ("status", kind.status))
        for path, _ in nodes(structural(model), part)
    }
    assert known - set(schema_nodes()) == set()


def rules_of(model: type[ApiModel], seen: set[type[ApiModel]]) -> list[Rule]:
    """Return the rules of a model and of every model below it."""
    if model in seen:
        return []
    seen.add(model)
    below = [child for field in model.model_fields.values() for child in models_in(field.annotation)]
    return [*model.rules, *(rule for child in below for rule in rules_of(child, seen))]


def models_in(annotation: object) -> list[type[ApiModel]]:
    if isinstance(annotation, type) and issubclass(annotation, ApiModel):
        return [annotation]
    return [model for argument in getattr(annotation, "__args__", ()) for model in models_in(argument)]


def test_every_rule_has_examples() -> None:
    """Each rule needs a valid and an invalid example. Transition rules have their own test."""
    seen: set[type[ApiModel]] = set()
    rules = [rule for kind in KINDS for model in (kind.spec, kind.status) for rule in rules_of(model, seen)]
    rules += [rule for kind in KINDS for rule in kind.rules]
    assert len(rules) > 15
    refusals = {case.refusal for case in rule_cases() if case.refusal}
    names = [case.name for case in rule_cases()]
    for rule in rules:
        if "oldSelf" in rule.cel:
            continue
        fragment = next((text for text in refusals if text in rule.message), None)
        assert fragment, f"no invalid example in corpus/rules.yaml: {rule.message}"
        assert any("-valid-" in name and fragment in name for name in names), f"no valid example: {rule.message}"


def test_only_transition_and_metadata_rules_need_the_server() -> None:
    seen: set[type[ApiModel]] = set()
    rules = [rule for kind in KINDS for rule in rules_of(kind.spec, seen)]
    assert [rule.message for rule in rules if rule.holds is None and "oldSelf" not in rule.cel] == []


def test_transitions_cover_every_field() -> None:
    table = transitions()
    assert TRAINING_JOB.mutable is not None
    alias = {name: field.alias for name, field in TrainingJobSpec.model_fields.items()}
    assert set(table["mutable"]) == {alias[name] for name in TRAINING_JOB.mutable}
    assert set(table["immutable"]) | set(table["mutable"]) == set(alias.values())


def test_free_transitions_cover_every_field() -> None:
    changed = {f"{kind_of(bases()[base]).kind}.{field}" for base, field, _ in free_transitions()}
    kinds = (TRAINING_SCHEDULE, MODEL_DEPLOYMENT)
    fields = {f"{kind.kind}.{field.alias}" for kind in kinds for field in kind.spec.model_fields.values()}
    assert changed == fields - {"ModelDeployment.modelName"}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_are_finite(value: float) -> None:
    """JSON has no such numbers, so they can only occur in a local run."""
    with pytest.raises(ValidationError, match="finite"):
        Gate.model_validate({"metric": "mae", "op": "<", "value": value})


def test_unknown_fields_of_a_newer_release_are_ignored() -> None:
    spec = {**bases()["small"]["spec"], "fresh": 1}
    parsed = TrainingJobSpec.model_validate(spec, extra="ignore")
    assert parsed.data.target == "target"


def test_python_values_become_json() -> None:
    """A tuple becomes a list and 1.0 an integer, so callers need not convert values for JSON."""
    status = TrainingJobStatus(attempts=(Attempt(number=1, job_name="a-1"),))  # type: ignore[arg-type]
    assert status.wire() == {"observedGeneration": -1, "attempts": [{"number": 1, "jobName": "a-1"}]}


def test_specs_survive_a_round_trip() -> None:
    for thing in bases().values():
        spec = kind_of(thing).spec.model_validate(thing["spec"])
        again = type(spec).model_validate(spec.model_dump(mode="json", by_alias=True, exclude_none=True))
        assert again == spec
