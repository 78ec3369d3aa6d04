"""Conversion of a pydantic model to the structural schema of a CustomResourceDefinition.

Pydantic generates JSON Schema 2020-12. The API server accepts a strict subset of OpenAPI v3.0 with its own extensions.
The converter supports only the constructs that the models use. :func:`lint` refuses all others, so a new construct in a
model cannot pass unnoticed.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

INT_OR_STRING = "x-kubernetes-int-or-string"
PRESERVE = "x-kubernetes-preserve-unknown-fields"
VALIDATIONS = "x-kubernetes-validations"

_COPIED = (
    *("type", "format", "enum", "default"),
    *(
        "minLength",
        "maxLength",
        "pattern",
        "minimum",
        "maximum",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
    ),
    *("required", INT_OR_STRING, PRESERVE, "x-kubernetes-list-type", "x-kubernetes-list-map-keys", VALIDATIONS),
)
_KEYWORDS = {
    *_COPIED,
    "description",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "properties",
    "items",
    "additionalProperties",
}


class SchemaError(ValueError):
    """A model contains something that a CustomResourceDefinition cannot express."""


def structural(model: type[BaseModel]) -> Schema:
    """Return the structural schema of ``model``: no references, no unions, every node typed.

    Raises
    ------
    SchemaError
        If the API server does not support a construct (recursion, a free union, a default that is not a scalar).
    """
    raw = model.model_json_schema(by_alias=True)
    return _Converter(raw.get("$defs", {})).convert(raw, ())


class _Converter:
    """Converts one JSON schema. ``trail`` contains the names of the enclosing definitions."""

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions

    def convert(self, raw: Schema, trail: tuple[str, ...]) -> Schema:
        raw, trail = self._resolve(raw, trail)
        node: Schema = {}
        if "description" in raw:
            node["description"] = _short(raw["description"]) + _default(raw.get("default"))
        node.update({keyword: raw[keyword] for keyword in _COPIED if keyword in raw})
        if "const" in raw:
            node["enum"] = [raw["const"]]
        if isinstance(node.get("default"), dict | list) and node["default"] != {}:
            raise SchemaError(
                f"{'.'.join(trail)}: the default {node['default']!r} is neither a scalar nor {{}}; leave the field out"
            )
        for keyword, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if keyword in raw:
                node[bound] = raw[keyword]
                node[keyword] = True
        if "properties" in raw:
            node["properties"] = {name: self.convert(child, trail) for name, child in raw["properties"].items()}
        if "items" in raw:
            node["items"] = self.convert(raw["items"], trail)
        if isinstance(raw.get("additionalProperties"), dict):
            node["additionalProperties"] = self.convert(raw["additionalProperties"], trail)
        if "propertyNames" in raw:
            node.setdefault(VALIDATIONS, []).append(_key_rule(raw["propertyNames"]))
        return node

    def _resolve(self, raw: Schema, trail: tuple[str, ...]) -> tuple[Schema, tuple[str, ...]]:
        """Resolve references and remove the null of optional fields. Other keywords of the node take precedence."""
        while True:
            if "$ref" in raw:
                name = raw["$ref"].removeprefix("#/$defs/")
                if name in trail:
                    raise SchemaError(f"{name} contains itself: a structural schema has no recursion")
                trail = (*trail, name)
                raw = {**self._definitions[name], **_without(raw, "$ref")}
            elif "anyOf" in raw:
                raw = _without_null(raw)
            else:
                return raw, trail


def _without(raw: Schema, *keywords: str) -> Schema:
    return {keyword: value for keyword, value in raw.items() if keyword not in keywords}


def _without_null(raw: Schema) -> Schema:
    """Return the only type other than null (an optional field is absent, never null), or integer and string
    combined."""
    siblings = _without(raw, "anyOf")
    if siblings.get("default", ...) is None:
        siblings = _without(siblings, "default")
    ways = [way for way in raw["anyOf"] if way != {"type": "null"}]
    if len(ways) == 1:
        return {**ways[0], **siblings}
    if siblings.get(INT_OR_STRING) and [way.get("type") for way in ways] == ["integer", "string"]:
        return {**_without(ways[0], "type"), **_without(ways[1], "type"), **siblings}
    raise SchemaError(f"a union of {len(ways)} types: use optional fields and a rule")


def _key_rule(names: Schema) -> dict[str, str]:
    """Return the rule for the keys of a map, because a structural schema bounds only the values."""
    low, high = names.get("minLength", 0), names["maxLength"]
    return {
        "rule": f"self.all(key, key.size() >= {low} && key.size() <= {high})",
        "message": f"every key must have {low} to {high} characters",
    }


def _short(description: str) -> str:
    """Return the first paragraph on one line, without reStructuredText markup."""
    return " ".join(description.split("\n\n", maxsplit=1)[0].replace("``", "").split())


def _default(value: Any) -> str:
    """Return the sentence about the default, because ``kubectl explain`` does not show defaults."""
    match value:
        case None | "" | dict():
            return ""
        case bool():
            return f" Default: {str(value).lower()}."
        case _:
            return f" Default: {value:g}." if isinstance(value, float) else f" Default: {value}."


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Yield ``schema`` and every node below it, with its path: ``spec.data.covariates[].uri``, ``spec.env{}``."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}".removeprefix("."))
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


def lint(schema: Schema) -> list[str]:
    """Return the problems of a structural schema, one message for each.

    In addition to the checks of the API server, all values must be bounded. Bounds limit the size of an object, and the
    API server estimates the cost of a CEL rule from them. Each field must have a description for ``kubectl explain``.
    """
    return [f"{path}: {problem}" for path, node in nodes(schema) for problem in (*_undescribed(node), *_problems(node))]


def _undescribed(node: Schema) -> Iterator[str]:
    for name, child in node.get("properties", {}).items():
        if not child.get("description"):
            yield f"the field {name} has no description: write a docstring below it"


def _problems(node: Schema) -> Iterator[str]:
    unknown = set(node) - _KEYWORDS
    if unknown:
        yield f"keywords that a structural schema does not support: {', '.join(sorted(unknown))}"
    bounded = "enum" in node
    match node.get("type"):
        case None if not node.get(INT_OR_STRING):
            yield "no type"
        case None:
            if not {"maxLength", "maximum"} <= set(node):
                yield "an integer or string without maximum and maxLength"
        case "string" if not bounded and "maxLength" not in node:
            yield "a string without maxLength"
        case "integer" if not bounded and not {"minimum", "maximum"} <= set(node):
            yield "an integer without minimum and maximum"
        case "array" if "maxItems" not in node or "items" not in node:
            yield "a list without items or maxItems"
        case "object" if "properties" not in node and "maxProperties" not in node:
            yield "a map without maxProperties"
        case _:
            pass
