"""What the store keeps of an object: without what no decision reads and what fills memory."""

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
"""Characters of what is likely to be said more than once: a phase, a moment, a name of a metric; an uid has 36."""


def slim(kind: WatchedKind[Any], body: Mapping[str, Any]) -> Body:
    """Return a smaller copy. Parts are shared: with the original, or with all others of those at rest."""
    kept = _kept(kind, body)
    return _shared(kept) if kind.is_at_rest(body) else kept


def _shared(value: Any) -> Any:
    """Return a copy whose keys and short texts are one object each in the whole process; that halves it and more."""
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
    """Return the field manager of each annotation: of several that own it, the one that wrote last."""
    entries = sorted(body["metadata"].get("managedFields") or (), key=lambda entry: entry.get("time") or "")
    managers: dict[str, str] = {}
    for entry in entries:
        owned = ((entry.get("fieldsV1") or {}).get("f:metadata") or {}).get("f:annotations") or {}
        managers |= {key: entry.get("manager", "") for key in annotations if f"f:{key}" in owned}
    return managers
