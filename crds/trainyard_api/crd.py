"""Conversion of a kind to a CustomResourceDefinition."""

from typing import Any

from trainyard_api import GROUP, VERSION
from trainyard_api.base import Rule
from trainyard_api.kinds import KindDefinition, PrinterColumn
from trainyard_api.schema import VALIDATIONS, Schema, SchemaError, lint, structural


def custom_resource_definition(kind: KindDefinition) -> dict[str, Any]:
    """Return the whole object, ready for the API server.

    Raises
    ------
    SchemaError
        With all findings of the lint, if a model has an unsupported construct or is not bounded.
    """
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": [kind.short],
                "categories": ["trainyard"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}, **({"scale": dict(kind.scale)} if kind.scale else {})},
                    "selectableFields": [{"jsonPath": path} for path in kind.selectable],
                    "additionalPrinterColumns": [_column(column) for column in kind.columns],
                    "schema": {"openAPIV3Schema": _schema(kind)},
                }
            ],
        },
    }


def immutability_rule(kind: KindDefinition) -> Rule | None:
    """Return the rule that makes all spec fields immutable except those in ``kind.mutable``.

    The rule is on the spec, not on the fields, so it also detects a field that is added or removed. It is a single
    rule, and it first tests whether anything changed. The API server evaluates the rules of the spec at each write of a
    status, and each field that a rule uses costs it a copy of the schema of all fields.
    """
    if kind.mutable is None:
        return None
    same = {
        wire: f"self.{wire} == oldSelf.{wire}"
        if field.is_required() or field.default is not None
        else f"has(self.{wire}) == has(oldSelf.{wire}) && (!has(self.{wire}) || self.{wire} == oldSelf.{wire})"
        for name, field in kind.spec.model_fields.items()
        if name not in kind.mutable
        for wire in (field.alias or name,)
    }
    first = "".join(f"!({rule}) ? '{wire}' : " for wire, rule in same.items())
    return Rule(
        f"self == oldSelf || ({' && '.join(same.values())})",
        f"a field that defines the model is immutable: create a new {kind.kind}",
        message_cel=f"'spec.' + ({first}'') + ' is immutable: create a new {kind.kind}'",
    )


def _schema(kind: KindDefinition) -> Schema:
    spec = structural(kind.spec)
    if (immutable := immutability_rule(kind)) is not None:
        spec[VALIDATIONS] = [*spec.get(VALIDATIONS, []), immutable.validation()]
    status = {**structural(kind.status), "default": {"observedGeneration": -1, **kind.first_status}}
    problems = lint({"type": "object", "properties": {"spec": spec, "status": status}})
    if problems:
        raise SchemaError(f"{kind.kind}:\n" + "\n".join(problems))
    schema: Schema = {
        "description": kind.description,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            # The API server always uses ObjectMeta. The name is listed because the rules refer to it.
            "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
            "spec": spec,
            "status": status,
        },
    }
    if kind.rules:
        schema[VALIDATIONS] = [rule.validation() for rule in kind.rules]
    return schema


def _column(column: PrinterColumn) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return {**entry, "priority": 1} if column.wide else entry
