"""The corpus: objects with the expected verdict, which pydantic and the API server must both give."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ValidationError

from trainyard_api.kinds import KINDS, KindDefinition

CORPUS = Path(__file__).parent / "corpus"

Object = dict[str, Any]
Part = Literal["spec", "status", "metadata"]


@dataclass(frozen=True)
class Case:
    """One object and its expected verdict.

    ``refusal`` is a text that the message must contain; ``None`` means that the object is accepted. For ``unsettled``
    cases, both judges need only agree. ``server`` cases are for the API server only: pydantic accepts them.
    """

    name: str
    object: Object
    refusal: str | None = None
    part: Part = "spec"
    judge: Literal["both", "server"] = "both"
    unsettled: bool = False


@cache
def _document(name: str) -> Any:
    return yaml.safe_load((CORPUS / name).read_text(encoding="utf-8"))


def bases() -> dict[str, Object]:
    """Return the valid objects by name, with a schedule for each TrainingJob. Each call returns new copies."""
    written: dict[str, Object] = copy.deepcopy(_document("bases.yaml"))
    jobs = {name: thing for name, thing in written.items() if thing["kind"] == "TrainingJob"}
    return written | {_scheduled(name): _schedule_of(thing) for name, thing in jobs.items()}


def _scheduled(name: str) -> str:
    return f"scheduled-{name}"


def _schedule_of(job: Object) -> Object:
    """Return a TrainingSchedule with ``job`` as its template, which accepts the same spec."""
    return {
        "apiVersion": job["apiVersion"],
        "kind": "TrainingSchedule",
        "metadata": {"name": _scheduled(job["metadata"]["name"])},
        "spec": {"schedule": "@daily", "template": {"spec": copy.deepcopy(job["spec"])}},
    }


def transitions() -> dict[str, dict[str, Any]]:
    """Return ``immutable`` and ``mutable``: a changed value for each spec field of a TrainingJob."""
    return copy.deepcopy(_document("transitions.yaml")["TrainingJob"])


def free_transitions() -> Iterator[tuple[str, str, Any]]:
    """Yield ``base, field, value``: allowed changes of the specs of the other kinds."""
    for base, fields in _document("transitions.yaml")["free"].items():
        yield from ((base, field, copy.deepcopy(value)) for field, value in fields.items())


def kind_of(thing: Object) -> KindDefinition:
    """Return the kind of a custom resource."""
    return next(kind for kind in KINDS if kind.kind == thing["kind"])


def merge(target: Any, patch: Any) -> Any:
    """Return ``target`` changed by a JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def rule_cases() -> Iterator[Case]:
    """Yield the cases of ``corpus/rules.yaml``. Those of a TrainingJob are repeated for a schedule's template."""
    for number, entry in enumerate(_with_templates(_document("rules.yaml"))):
        refusal = entry.get("rule") or entry["field"]
        part = entry.get("part", "spec")
        for verdict in ("valid", "invalid"):
            for index, patch in enumerate(entry.get(verdict, [])):
                thing = bases()[entry["base"]]
                thing[part] = merge(thing[part], patch)
                yield Case(
                    name=f"{number}-{verdict}-{index}: {refusal}",
                    object=thing,
                    refusal=refusal if verdict == "invalid" else None,
                    part=part,
                    judge=entry.get("judge", "both"),
                )


def _with_templates(entries: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the entries, and repeat each entry about a job's spec for a template with that spec."""
    written = bases()
    for entry in entries:
        yield entry
        if written[entry["base"]]["kind"] == "TrainingJob" and entry.get("part", "spec") == "spec":
            patches = {
                verdict: [{"template": {"spec": patch}} for patch in entry[verdict]]
                for verdict in ("valid", "invalid")
                if verdict in entry
            }
            yield entry | patches | {"base": _scheduled(entry["base"])}


def pydantic_verdict(thing: Object, part: Part = "spec") -> str | None:
    """Return the errors of pydantic for one part of an object, or ``None``."""
    kind = kind_of(thing)
    if part == "metadata":
        return None
    model = kind.spec if part == "spec" else kind.status
    try:
        model.model_validate(thing.get(part, {}))
    except ValidationError as error:
        return "\n".join(f"{'.'.join(str(step) for step in item['loc'])}: {item['msg']}" for item in error.errors())
    return None
