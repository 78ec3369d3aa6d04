"""JSON merge patches (RFC 7386), and the patch of a status."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from trainyard_api.conditions import CONDITION_TYPES

CONDITIONS = "conditions"

IDENTITY: Final[dict[str, tuple[str, ...]]] = {
    CONDITIONS: ("type",),
    "active": ("uid",),
    "attempts": ("number",),
    "awaitingVerdict": ("uid",),
    "gates": ("metric", "op", "threshold"),
    "history": ("version", "from"),
    "metrics": ("name",),
    "rejectedVersions": ("version", "time"),
    "traffic": ("version",),
}
"""Key fields of the items in each list of objects in a status, by the name of the list.

A merge patch replaces a whole list. Therefore unknown fields of an item are copied to the item with the same key.
"""


def status_patch(stored: dict[str, Any], read: Mapping[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the smallest merge patch that changes the known part of a status to ``wanted`` and keeps the rest.

    ``stored`` is the status in the API server, ``read`` is the part that this release understands. A newer release may
    have stored unknown fields, also in list items, and other clients may have added conditions. They are kept. An item
    that is not wanted any more is removed completely.
    """
    if CONDITIONS in wanted:
        own = [condition for condition in wanted[CONDITIONS] if condition["type"] in CONDITION_TYPES]
        if len(own) != len(wanted[CONDITIONS]):
            raise ValueError("a condition has a type that trainyard_api.conditions does not name")
        foreign = [each for each in stored.get(CONDITIONS) or () if each.get("type") not in CONDITION_TYPES]
        wanted = {**wanted, CONDITIONS: own + foreign}
    return merge_patch(stored, wanted, read)


def own_conditions(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored status with only the operator's own conditions, because others are not its facts."""
    if CONDITIONS not in status:
        return dict(status)
    return {**status, CONDITIONS: [each for each in status[CONDITIONS] or () if each.get("type") in CONDITION_TYPES]}


def merge_patch(before: Mapping[str, Any], after: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the smallest merge patch that turns ``before`` into ``after``. It removes only fields in ``known``.

    Lists are replaced as a whole, with the unknown fields of their items.
    """
    patch: dict[str, Any] = dict.fromkeys((before.keys() & known.keys()) - after.keys())
    for key, value in after.items():
        old, of_it = before.get(key), known.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            inner = merge_patch(old, value, of_it if isinstance(of_it, dict) else {})
            if inner:
                patch[key] = inner
            continue
        whole = _whole(key, old, of_it, value)
        if key not in before or old != whole:
            patch[key] = whole
    return patch


def _whole(field: str, before: Any, known: Any, after: Any) -> Any:
    """Return the value of a field with the unknown fields of ``before``, in objects and in lists of objects."""
    if isinstance(after, dict) and isinstance(before, dict) and isinstance(known, dict):
        unknown = {key: value for key, value in before.items() if key not in known}
        return unknown | {key: _whole(key, before.get(key), known.get(key), value) for key, value in after.items()}
    if isinstance(after, list) and isinstance(before, list) and isinstance(known, list) and field in IDENTITY:
        stored, read = _by_identity(field, before), _by_identity(field, known)
        own = ((_identity(field, item), item) for item in after)
        return [_whole("", stored.get(me), read.get(me), item) for me, item in own]
    return after


def _by_identity(field: str, items: list[Any]) -> dict[tuple[Any, ...], Any]:
    """Return the items with a unique key."""
    times = Counter(_identity(field, item) for item in items)
    return {me: item for item in items if times[me := _identity(field, item)] == 1}


def _identity(field: str, item: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(item.get(key) for key in IDENTITY[field])
