"""Cases from the schema: each limit of each field, met and exceeded, on the objects of the corpus."""

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.unit.api.cases import Case, Object, Part, bases, kind_of
from trainyard_api.schema import INT_OR_STRING, PRESERVE, Schema, structural

Steps = tuple[str | int, ...]

WRONG_TYPES = {"string": 7, "integer": "seven", "number": "much", "boolean": "yes", "array": "list", "object": "map"}


@dataclass(frozen=True)
class SchemaNode:
    """One field of one object: its schema, and its path from the root of the object."""

    base: str
    part: Part
    path: str
    steps: Steps
    schema: Schema
    thing: Object = field(repr=False, compare=False)

    @property
    def value(self) -> Any:
        return _at(self.thing, self.steps)

    @property
    def field_name(self) -> str:
        """The last name of the path, which the message for a refused object must contain."""
        return re.sub(r"[\[\]{}]+$", "", self.path).rsplit(".", 1)[-1].removesuffix("[]")

    def with_value(self, value: Any) -> Object:
        thing = copy.deepcopy(self.thing)
        _at(thing, self.steps[:-1])[self.steps[-1]] = value
        return thing

    def without(self, name: str) -> Object:
        thing = copy.deepcopy(self.thing)
        del _at(thing, self.steps)[name]
        return thing

    def valid(self, what: str, value: Any) -> Case:
        return Case(f"{self.path}: {what}", self.with_value(value), None, self.part)

    def invalid(self, what: str, value: Any, name: str | None = None) -> Case:
        return Case(f"{self.path}: {what}", self.with_value(value), name or self.field_name, self.part)


def _at(thing: Any, steps: Steps) -> Any:
    for step in steps:
        thing = thing[step]
    return thing


def schema_nodes() -> dict[str, SchemaNode]:
    """Return one node for each path of the schemas, by kind and path, from the first object that has a value there."""
    found: dict[str, SchemaNode] = {}
    for name, thing in bases().items():
        kind = kind_of(thing)
        for part, model in (("spec", kind.spec), ("status", kind.status)):
            if part in thing:
                for node in _walk(SchemaNode(name, part, part, (part,), structural(model), thing)):  # type: ignore[arg-type]
                    found.setdefault(f"{kind.kind}.{node.path}", node)
    return found


def _walk(node: SchemaNode) -> Iterator[SchemaNode]:
    yield node
    schema, value = node.schema, node.value
    below: list[tuple[str, str | int, Schema]] = []
    if "properties" in schema:
        below = [(f".{name}", name, schema["properties"][name]) for name in value if name in schema["properties"]]
    elif "additionalProperties" in schema:
        below = [("{}", key, schema["additionalProperties"]) for key in value]
    elif "items" in schema:
        below = [("[]", index, schema["items"]) for index in range(len(value))]
    for suffix, step, child in below:
        yield from _walk(SchemaNode(node.base, node.part, node.path + suffix, (*node.steps, step), child, node.thing))


def bound_cases() -> Iterator[Case]:
    """Yield the cases of every schema node."""
    for node in schema_nodes().values():
        kind = "int-or-string" if node.schema.get(INT_OR_STRING) else node.schema["type"]
        if node.path != node.part:
            yield node.invalid("wrong type", WRONG_TYPES.get(kind, True))
        if "enum" in node.schema:
            yield from _enum(node)
        yield from _BY_TYPE[kind](node)


def _enum(node: SchemaNode) -> Iterator[Case]:
    yield node.invalid("not one of the words", "Bogus")
    for word in node.schema["enum"]:
        yield Case(f"{node.path}: {word}", node.with_value(word), None, node.part, unsettled=True)


def _string(node: SchemaNode) -> Iterator[Case]:
    schema = node.schema
    if schema.get("minLength", 0) > 0:
        yield node.invalid("too short", node.value[: schema["minLength"] - 1])
    if "maxLength" in schema:
        limit = schema["maxLength"]
        yield node.invalid("too long", _stretched(node.value, limit + 1))
        if "format" not in schema and re.search(schema.get("pattern", ""), _stretched(node.value, limit)):
            yield node.valid("as long as can be", _stretched(node.value, limit))
    if "pattern" in schema:
        yield node.invalid("against the pattern", "§" * max(1, schema.get("minLength", 1)))
    elif "enum" not in schema and _free(node):
        yield node.valid("as many characters, not bytes", "ü" * schema["maxLength"])


def _free(node: SchemaNode) -> bool:
    """Return whether a text field accepts any text, without further rules."""
    return node.field_name not in {"uri", "schedule", "pin", "resource"} or "mlflow" in node.path


def _stretched(text: str, length: int) -> str:
    return (text + "a" * length)[:length]


def _number(node: SchemaNode) -> Iterator[Case]:
    schema = node.schema
    step = 1 if schema["type"] == "integer" else 1e-9
    for keyword, exclusive, outward in (("minimum", "exclusiveMinimum", -step), ("maximum", "exclusiveMaximum", step)):
        if keyword not in schema:
            continue
        limit = schema[keyword]
        if schema.get(exclusive):
            yield node.invalid(f"at the open {keyword}", limit)
        else:
            yield node.valid(f"at the {keyword}", limit)
            yield node.invalid(f"beyond the {keyword}", limit + outward)


def _list(node: SchemaNode) -> Iterator[Case]:
    schema, first = node.schema, node.value[0]
    if "x-kubernetes-list-map-keys" not in schema:
        words = schema["items"].get("enum")
        many = words or [_another(first, number) for number in range(schema["maxItems"])]
        yield node.valid("as many as can be", many[: schema["maxItems"]])
    yield node.invalid("too many", [first] * (schema["maxItems"] + 1))
    empty = "invalid" if schema.get("minItems") else "valid"
    yield getattr(node, empty)("empty", [])


def _another(item: Any, number: int) -> Any:
    """Return an item like this one. Numbers are confidence levels, which must differ."""
    return item + number * 1e-6 if isinstance(item, float) else item


def _object(node: SchemaNode) -> Iterator[Case]:
    schema, value = node.schema, node.value
    if schema.get(PRESERVE) or "additionalProperties" in schema:
        yield from _map(node)
        return
    yield node.invalid("unknown field", {**value, "bogusField": 1}, "bogusField")
    for name in value:
        if name in schema.get("required", []):
            yield Case(f"{node.path}: without {name}", node.without(name), name, node.part)
        else:
            yield Case(f"{node.path}: without {name}", node.without(name), None, node.part, unsettled=True)


def _map(node: SchemaNode) -> Iterator[Case]:
    some = next(iter(node.value.values()))
    many = {f"key{number}": some for number in range(node.schema["maxProperties"] + 1)}
    yield node.invalid("too many keys", many)
    del many["key0"]
    yield node.valid("as many keys as can be", many)
    if not node.schema.get(PRESERVE):
        yield node.invalid("empty key", {"": some})
        yield node.invalid("key too long", {"k" * 318: some})
        yield node.valid("key as long as can be", {"k" * 317: some})


def _none(_: SchemaNode) -> Iterator[Case]:
    yield from ()


_BY_TYPE = {
    "string": _string,
    "int-or-string": _string,
    "integer": _number,
    "number": _number,
    "array": _list,
    "object": _object,
    "boolean": _none,
}
