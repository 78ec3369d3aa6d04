"""The converter to a structural schema: each construct that the models use, and errors for unsupported ones."""

import json
import re
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from trainyard_api.base import ApiModel, Rule
from trainyard_api.crd import custom_resource_definition, immutability_rule
from trainyard_api.generate import to_yaml
from trainyard_api.kinds import KINDS, MODEL_VERSION, TRAINING_JOB, TRAINING_SCHEDULE, KindDefinition
from trainyard_api.pod import LabelMap, Quantity
from trainyard_api.schema import VALIDATIONS, Schema, SchemaError, lint, nodes, structural


class Inner(ApiModel):
    """A nested model.

    A second paragraph is for readers of the code.
    """

    size: Annotated[int, Field(ge=0, le=9)] = 3
    """The size."""


class Outer(ApiModel):
    ratio: Annotated[float, Field(gt=0, lt=1)] = 0.5
    inner: Inner | None = None
    needed: Inner
    """A required ``inner``."""
    word: Literal["Only"] | None = None
    names: Annotated[list[Annotated[str, Field(max_length=5)]], Field(max_length=2)] | None = None
    labels: LabelMap | None = None
    amount: Quantity | None = None
    free: Annotated[
        dict[str, Any], Field(max_length=4, json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})
    ]

    rules = (Rule("has(self.inner)", "inner is missing", lambda _: True, field="inner"),)


def outer(name: str) -> Schema:
    node: Schema = structural(Outer)["properties"][name]
    return node


def test_exclusive_bounds_are_booleans() -> None:
    expected = {"minimum": 0, "exclusiveMinimum": True, "maximum": 1, "exclusiveMaximum": True}
    assert outer("ratio") == {"type": "number", "default": 0.5, **expected}


def test_references_are_inlined_and_null_is_dropped() -> None:
    size = {"type": "integer", "minimum": 0, "maximum": 9, "default": 3, "description": "The size. Default: 3."}
    inner = {"type": "object", "properties": {"size": size}}
    assert outer("inner") == {"description": "A nested model.", **inner}
    assert outer("needed") == {"description": "A required inner.", **inner}


def test_a_single_literal_is_an_enum() -> None:
    assert outer("word") == {"type": "string", "enum": ["Only"]}


def test_maps_limit_their_keys_by_a_rule() -> None:
    labels = outer("labels")
    assert labels["maxProperties"] == 32
    assert labels[VALIDATIONS][0]["rule"] == "self.all(key, key.size() >= 1 && key.size() <= 317)"


def test_integer_or_string_has_the_limits_of_both() -> None:
    amount = outer("amount")
    assert "type" not in amount
    assert {"x-kubernetes-int-or-string", "minimum", "maximum", "maxLength", "pattern"} == set(amount)


def test_free_form_keeps_unknown_fields() -> None:
    assert outer("free") == {"type": "object", "maxProperties": 4, "x-kubernetes-preserve-unknown-fields": True}


def test_rules_of_a_model_are_part_of_its_schema() -> None:
    expected = {"rule": "has(self.inner)", "message": "inner is missing", "fieldPath": ".inner"}
    assert structural(Outer)[VALIDATIONS] == [expected]


class Tree(BaseModel):
    child: "Tree | None" = None


class Union(BaseModel):
    either: int | float | str


class Defaulted(BaseModel):
    names: list[str] = Field(default=[], max_length=3)


@pytest.mark.parametrize(
    ("model", "problem"), [(Tree, "contains itself"), (Union, "a union of 3 types"), (Defaulted, "neither a scalar")]
)
def test_unsupported_constructs_are_refused(model: type[BaseModel], problem: str) -> None:
    with pytest.raises(SchemaError, match=problem):
        structural(model)


@pytest.mark.parametrize(
    ("node", "problem"),
    [
        ({"type": "string"}, "a string without maxLength"),
        ({"type": "integer", "minimum": 0}, "an integer without minimum and maximum"),
        ({"type": "array", "items": {"type": "boolean"}}, "a list without items or maxItems"),
        ({"type": "object", "additionalProperties": {"type": "boolean"}}, "a map without maxProperties"),
        ({"type": "object", "x-kubernetes-preserve-unknown-fields": True}, "a map without maxProperties"),
        ({}, "no type"),
        ({"x-kubernetes-int-or-string": True, "maximum": 3}, "an integer or string without maximum and maxLength"),
        ({"type": "boolean", "title": "On"}, "keywords that a structural schema does not support: title"),
    ],
)
def test_lint_names_each_problem(node: Schema, problem: str) -> None:
    described = {**node, "description": "A field."}
    assert lint({"type": "object", "properties": {"field": described}}) == [f"field: {problem}"]


def test_a_field_without_a_description_is_named() -> None:
    inner = {"type": "object", "description": "A part.", "properties": {"on": {"type": "boolean"}}}
    schema = {"type": "object", "properties": {"parts": {"type": "array", "maxItems": 2, "items": inner}}}
    schema["properties"]["parts"]["description"] = "The parts."
    assert lint(schema) == ["parts[]: the field on has no description: write a docstring below it"]


@pytest.mark.parametrize(
    ("value", "suffix"),
    [(True, " Default: true."), (0.2, " Default: 0.2."), (7, " Default: 7."), ("Auto", " Default: Auto."), ("", "")],
)
def test_a_description_ends_with_the_default(value: object, suffix: str) -> None:
    class WithDefault(ApiModel):
        field: Any = value
        """What it is."""

    assert structural(WithDefault)["properties"]["field"]["description"] == "What it is." + suffix


def test_a_kind_with_an_unlimited_field_is_refused() -> None:
    class Loose(ApiModel):
        text: str

    kind = KindDefinition(
        kind="Loose", plural="looses", short="lo", description="", spec=Loose, status=Inner, columns=()
    )
    with pytest.raises(SchemaError, match=r"spec\.text: a string without maxLength"):
        custom_resource_definition(kind)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_definitions_are_small(kind: KindDefinition) -> None:
    """Client-side apply copies a definition as JSON into an annotation, which is limited to 262,144 bytes."""
    assert len(json.dumps(custom_resource_definition(kind)).encode()) < 100_000


def test_a_schedule_may_change_its_template() -> None:
    """A transition rule of the TrainingJob spec would also forbid changes of the template."""
    assert "oldSelf" not in to_yaml(custom_resource_definition(TRAINING_SCHEDULE))


def test_sections_have_no_defaults() -> None:
    """A section that the user omits stays absent. The reader of the section applies the defaults."""
    definition = custom_resource_definition(TRAINING_JOB)
    spec = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert [path for path, node in nodes(spec) if "properties" in node and "default" in node] == []


def test_each_field_is_immutable_unless_named() -> None:
    rule = immutability_rule(TRAINING_JOB)
    assert rule is not None
    assert rule.cel.startswith("self == oldSelf || (")
    named = set(re.findall(r"self\.(\w+) == oldSelf\.\1\b", rule.cel))
    every = {field.alias for field in TRAINING_JOB.spec.model_fields.values()}
    assert every - named == {
        field.alias for name, field in TRAINING_JOB.spec.model_fields.items() if name in TRAINING_JOB.spec.MUTABLE
    }
    assert immutability_rule(MODEL_VERSION) is None
