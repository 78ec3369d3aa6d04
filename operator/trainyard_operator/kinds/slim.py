"""Reduce an object for the store: remove large parts that no decision reads."""

import sys
from collections.abc import Mapping
from typing import Any, Final

from trainyard_api import GROUP
from trainyard_api.meta import SAVED_ANNOTATION
from trainyard_operator.core.plan import Body
from trainyard_operator.core.saved import fingerprint
from trainyard_operator.kinds.base import WatchedKind
from trainyard_operator.kube.views import MANAGERS

SHORT: Final = 32
"""Maximum length of texts that probably repeat: a phase, a time, a name of a metric. A uid has 36 characters."""


def slim(kind: WatchedKind[Any], body: Mapping[str, Any]) -> Body:
    """Return a smaller copy. It shares parts with the original, or with other objects at rest."""
    kept = _kept(kind, body)
    return _shared(kept) if kind.is_at_rest(body) else kept


def _shared(value: Any) -> Any:
    """Return a copy with interned keys and short texts. It needs less than half of the memory."""
    match value:
        case dict():
            return {sys.intern(key): _shared(each) for key, each in value.items()}
        case list():
            return [_shared(each) for each in value]
        case str() if len(value) <= SHORT:
            return sys.intern(value)
        case _:
            return value


def _kept(kind: WatchedKind[Any], body: Mapping[str, Any]) -> Body:
    metadata: Body = {
        key: value for key, value in body["metadata"].items() if key not in ("managedFields", "annotations")
    }
    own = {key: value for key, value in (body["metadata"].get("annotations") or {}).items() if _is_own(key)}
    if own:
        if SAVED_ANNOTATION in own and (body.get("status") or {}).get("observedGeneration", -1) >= 0:
            own[SAVED_ANNOTATION] = fingerprint(own[SAVED_ANNOTATION])
        metadata["annotations"] = own
        metadata[MANAGERS] = _managers(body, own)
    return {**body, "metadata": metadata, "spec": kind.kept(body.get("spec") or {})}


def _is_own(annotation: str) -> bool:
    return annotation.startswith(f"{GROUP}/")


def _managers(body: Mapping[str, Any], annotations: Body) -> dict[str, str]:
    """Return the field manager of each annotation: the last writer if several managers own it."""
    entries = sorted(body["metadata"].get("managedFields") or (), key=lambda entry: entry.get("time") or "")
    managers: dict[str, str] = {}
    for entry in entries:
        owned = ((entry.get("fieldsV1") or {}).get("f:metadata") or {}).get("f:annotations") or {}
        managers |= {key: entry.get("manager", "") for key in annotations if f"f:{key}" in owned}
    return managers
