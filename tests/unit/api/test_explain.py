"""The text that ``kubectl explain`` shows: each field has a plain sentence, and the docs say the same."""

import re
from typing import Any

import pytest

from trainyard_api.crd import custom_resource_definition
from trainyard_api.generate import checkout
from trainyard_api.kinds import KINDS, KindDefinition
from trainyard_api.schema import Schema, nodes

_FIELD_ROW = re.compile(r"^\| `(\w+)` \|([^|]*)\|[^|]*\|$", re.MULTILINE)
_VERSION_ROW = re.compile(r"^\| (`(?:spec|status)\.[^|]*) \| ([^|]*) \|$", re.MULTILINE)


def schema_of(kind: KindDefinition) -> Schema:
    schema: Schema = custom_resource_definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def fields(kind: KindDefinition) -> list[tuple[str, Schema]]:
    """Return each field of spec and status, at any depth, with its path."""
    found = []
    for part in ("spec", "status"):
        for path, node in nodes(schema_of(kind)["properties"][part], part):
            found += [(f"{path}.{name}", child) for name, child in node.get("properties", {}).items()]
    return found


def page(name: str) -> str:
    return (checkout() / "docs" / name).read_text(encoding="utf-8")


def default_of(field: Schema) -> str:
    """Return the default at the end of a description."""
    found = re.search(r"[Dd]efault: ([^.]*(?:\.[^. ][^.]*)*)\.$", field["description"])
    return found.group(1) if found else ""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_each_field_has_a_sentence(kind: KindDefinition) -> None:
    assert len(fields(kind)) > 40
    for path, field in fields(kind):
        text = field.get("description", "")
        assert re.fullmatch(r"[A-Z`a-z].*\.", text), f"{path}: {text!r} is no sentence"
        assert "``" not in text, path
        assert len(text) <= 260, f"{path}: {len(text)} characters are no short sentence"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_each_description_has_the_default_and_the_unit(kind: KindDefinition) -> None:
    """``kubectl explain`` shows neither the default nor the unit, so the description must."""
    for path, field in fields(kind):
        default = field.get("default")
        if default not in (None, "", {}):
            assert default_of(field) == _as_text(default), path
        name = path.rpartition(".")[2]
        if re.search(r"Seconds$", name):
            assert re.search(r"\bseconds\b", field["description"], re.IGNORECASE), f"{path} does not name its unit"
        if re.search(r"Bytes$", name):
            assert re.search(r"\bbytes\b", field["description"], re.IGNORECASE), f"{path} does not name its unit"


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def test_the_docs_list_the_same_defaults() -> None:
    [kind] = [kind for kind in KINDS if kind.kind == "TrainingSchedule"]
    spec = schema_of(kind)["properties"]["spec"]["properties"]
    rows = {name: default.strip() for name, default in _FIELD_ROW.findall(page("trainingschedule.md"))}
    assert set(rows) == set(spec)
    assert {name: default for name, default in rows.items() if default} == {
        name: default_of(field) for name, field in spec.items() if default_of(field)
    }


def test_the_docs_list_each_field_of_a_version() -> None:
    [kind] = [kind for kind in KINDS if kind.kind == "ModelVersion"]
    named = set()
    for names, _ in _VERSION_ROW.findall(page("modelversion.md")):
        named |= {name.removesuffix("[]") for name in re.findall(r"`([\w.\[\]]+)`", names)}
    known = {
        f"{part}.{name}" for part in ("spec", "status") for name in schema_of(kind)["properties"][part]["properties"]
    }
    assert named == known - {"status.conditions", "status.observedGeneration"}
