"""A kind as a CustomResourceDefinition."""

from typing import Any

from trainyard_api import GROUP, VERSION
from trainyard_api.base import Rule
from trainyard_api.kinds import Column, Kind
from trainyard_api.schema import VALIDATIONS, Schema, SchemaError, lint, structural


def custom_resource_definition(kind: Kind) -> dict[str, Any]:
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


def immutability_rules(kind: Kind) -> tuple[Rule, ...]:
    """Return one rule for each spec field that is not in ``kind.mutable``.

    The rules stand at the spec, not at the fields: there they see a field that is added or taken away, too.
    """
    if kind.mutable is None:
        return ()
    rules = []
    for name, field in kind.spec.model_fields.items():
        if name in kind.mutable:
            continue
        wire = field.alias or name
        same = f"self.{wire} == oldSelf.{wire}"
        if not field.is_required() and field.default is None:
            same = f"has(self.{wire}) == has(oldSelf.{wire}) && (!has(self.{wire}) || {same})"
        rules.append(Rule(same, f"spec.{wire} is immutable: create a new {kind.kind}", field=wire))
    return tuple(rules)


def _schema(kind: Kind) -> Schema:
    spec = structural(kind.spec)
    immutable = [rule.validation() for rule in immutability_rules(kind)]
    spec[VALIDATIONS] = [*spec.get(VALIDATIONS, []), *immutable]
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


def _column(column: Column) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return {**entry, "priority": 1} if column.wide else entry
