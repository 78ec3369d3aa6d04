"""JSON merge patches (RFC 7386), and the one that writes a status."""

from collections.abc import Mapping
from typing import Any

from trainyard_api.conditions import CONDITION_TYPES

CONDITIONS = "conditions"


def status_patch(stored: dict[str, Any], read: Mapping[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the smallest merge patch that brings what we write of a status to ``wanted``, and leaves the rest.

    ``stored`` is the status as the API server has it, ``read`` what this release understood of it. A newer release may
    have stored fields that this one does not know, and anybody may have added conditions: they stay.
    """
    if CONDITIONS in wanted:
        own = [condition for condition in wanted[CONDITIONS] if condition["type"] in CONDITION_TYPES]
        if len(own) != len(wanted[CONDITIONS]):
            raise ValueError("a condition has a type that trainyard_api.conditions does not name")
        foreign = [each for each in stored.get(CONDITIONS) or () if each.get("type") not in CONDITION_TYPES]
        wanted = {**wanted, CONDITIONS: own + foreign}
    return merge_patch(stored, wanted, read)


def own_conditions(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored status with our own conditions alone: what others wrote there is no fact of ours."""
    if CONDITIONS not in status:
        return dict(status)
    return {**status, CONDITIONS: [each for each in status[CONDITIONS] or () if each.get("type") in CONDITION_TYPES]}


def merge_patch(before: Mapping[str, Any], after: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the smallest merge patch that turns ``before`` into ``after``; it removes what is ``known`` alone.

    Lists are replaced whole.
    """
    patch: dict[str, Any] = dict.fromkeys((before.keys() & known.keys()) - after.keys())
    for key, value in after.items():
        old, of_it = before.get(key), known.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            inner = merge_patch(old, value, of_it if isinstance(of_it, dict) else {})
            if inner:
                patch[key] = inner
        elif key not in before or old != value:
            patch[key] = value
    return patch
