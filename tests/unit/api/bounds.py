"""Cases made from the schema itself: each bound of each field, met and missed, on the objects of the corpus."""

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
class Place:
    """One field of one object: its schema, and the way to it from the object's root."""

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
        """The last name on the way: the answer to a refused object must hold it."""
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


def places() -> dict[str, Place]:
    """Return a place for each node of the schemas, by kind and path; the first object that has it serves."""
    found: dict[str, Place] = {}
    for name, thing in bases().items():
        kind = kind_of(thing)
        for part, model in (("spec", kind.spec), ("status", kind.status)):
            if part in thing:
                for place in _walk(Place(name, part, part, (part,), structural(model), thing)):  # type: ignore[arg-type]
                    found.setdefault(f"{kind.kind}.{place.path}", place)
    return found


def _walk(place: Place) -> Iterator[Place]:
    yield place
    schema, value = place.schema, place.value
    below: list[tuple[str, str | int, Schema]] = []
    if "properties" in schema:
        below = [(f".{name}", name, schema["properties"][name]) for name in value if name in schema["properties"]]
    elif "additionalProperties" in schema:
        below = [("{}", key, schema["additionalProperties"]) for key in value]
    elif "items" in schema:
        below = [("[]", index, schema["items"]) for index in range(len(value))]
    for suffix, step, child in below:
        yield from _walk(Place(place.base, place.part, place.path + suffix, (*place.steps, step), child, place.thing))


def bound_cases() -> Iterator[Case]:
    """Yield the cases of every place."""
    for place in places().values():
        kind = "int-or-string" if place.schema.get(INT_OR_STRING) else place.schema["type"]
        if place.path != place.part:
            yield place.invalid("wrong type", WRONG_TYPES.get(kind, True))
        if "enum" in place.schema:
            yield from _enum(place)
        yield from _BY_TYPE[kind](place)


def _enum(place: Place) -> Iterator[Case]:
    yield place.invalid("not one of the words", "Bogus")
    for word in place.schema["enum"]:
        yield Case(f"{place.path}: {word}", place.with_value(word), None, place.part, unsettled=True)


def _string(place: Place) -> Iterator[Case]:
    schema = place.schema
    if schema.get("minLength", 0) > 0:
        yield place.invalid("too short", place.value[: schema["minLength"] - 1])
    if "maxLength" in schema:
        limit = schema["maxLength"]
        yield place.invalid("too long", _stretched(place.value, limit + 1))
        if "format" not in schema and re.search(schema.get("pattern", ""), _stretched(place.value, limit)):
            yield place.valid("as long as can be", _stretched(place.value, limit))
    if "pattern" in schema:
        yield place.invalid("against the pattern", "§" * max(1, schema.get("minLength", 1)))
    elif "enum" not in schema and _free(place):
        yield place.valid("as many characters, not bytes", "ü" * schema["maxLength"])


def _free(place: Place) -> bool:
    """Tell whether a text field takes any text, or rules say what it looks like."""
    return place.field_name not in {"uri", "schedule", "pin", "resource"} or "mlflow" in place.path


def _stretched(text: str, length: int) -> str:
    return (text + "a" * length)[:length]


def _number(place: Place) -> Iterator[Case]:
    schema = place.schema
    step = 1 if schema["type"] == "integer" else 1e-9
    for keyword, exclusive, outward in (("minimum", "exclusiveMinimum", -step), ("maximum", "exclusiveMaximum", step)):
        if keyword not in schema:
            continue
        limit = schema[keyword]
        if schema.get(exclusive):
            yield place.invalid(f"at the open {keyword}", limit)
        else:
            yield place.valid(f"at the {keyword}", limit)
            yield place.invalid(f"beyond the {keyword}", limit + outward)


def _list(place: Place) -> Iterator[Case]:
    schema, first = place.schema, place.value[0]
    if "x-kubernetes-list-map-keys" not in schema:
        words = schema["items"].get("enum")
        many = words or [_another(first, number) for number in range(schema["maxItems"])]
        yield place.valid("as many as can be", many[: schema["maxItems"]])
    yield place.invalid("too many", [first] * (schema["maxItems"] + 1))
    empty = "invalid" if schema.get("minItems") else "valid"
    yield getattr(place, empty)("empty", [])


def _another(item: Any, number: int) -> Any:
    """Return an item like this one; numbers are levels, of which each counts once."""
    return item + number * 1e-6 if isinstance(item, float) else item


def _object(place: Place) -> Iterator[Case]:
    schema, value = place.schema, place.value
    if schema.get(PRESERVE) or "additionalProperties" in schema:
        yield from _map(place)
        return
    yield place.invalid("unknown field", {**value, "bogusField": 1}, "bogusField")
    for name in value:
        if name in schema.get("required", []):
            yield Case(f"{place.path}: without {name}", place.without(name), name, place.part)
        else:
            yield Case(f"{place.path}: without {name}", place.without(name), None, place.part, unsettled=True)


def _map(place: Place) -> Iterator[Case]:
    some = next(iter(place.value.values()))
    many = {f"key{number}": some for number in range(place.schema["maxProperties"] + 1)}
    yield place.invalid("too many keys", many)
    del many["key0"]
    yield place.valid("as many keys as can be", many)
    if not place.schema.get(PRESERVE):
        yield place.invalid("empty key", {"": some})
        yield place.invalid("key too long", {"k" * 318: some})
        yield place.valid("key as long as can be", {"k" * 317: some})


def _none(_: Place) -> Iterator[Case]:
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
