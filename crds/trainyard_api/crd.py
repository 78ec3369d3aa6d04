"""A kind as a CustomResourceDefinition."""

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
        With every finding of the lint, when a model cannot be said or is not bounded.
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
    """Return the rule that lets no spec field change but those in ``kind.mutable``.

    It stands at the spec, not at the fields: there it sees a field that is added or taken away, too. It is one rule,
    and asks first whether anything changed: the API server judges the spec at each write of a status, and each field
    that a rule names there costs it a copy of the schema of all of them.
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
            # The rest of it is ObjectMeta, whatever stands here; the name is named for the rules that point to it.
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
