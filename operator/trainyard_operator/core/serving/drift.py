"""Drift detection: find differences between a child and the applied object.

Only fields that the operator sets are compared. Defaults from the API server and additional fields are ignored.
"""

from collections.abc import Mapping
from typing import Any

_QUANTITIES = frozenset({"requests", "limits", "sizeLimit"})
"""The API server normalizes these values (1000m becomes 1), so they are not compared."""


def is_edited(there: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
    """Return whether the applied object was edited. If the spec of the child is not known, return ``False``."""
    return bool(there) and bool(difference(body["spec"], there))


def difference(wanted: Any, there: Any, path: str = "spec") -> str:
    """Return the first field that differs, with its actual value, or an empty string."""
    if isinstance(wanted, Mapping):
        return _of_maps(wanted, there, path)
    if isinstance(wanted, list):
        return _of_lists(wanted, there, path)
    if wanted == there or (not wanted and not there):  # empty values may be omitted
        return ""
    return f"{path} is {there!r} instead of {wanted!r}"


def _of_maps(wanted: Mapping[str, Any], there: Any, path: str) -> str:
    found = there if isinstance(there, Mapping) else {}
    parts = (difference(wanted[key], found.get(key), f"{path}.{key}") for key in wanted if key not in _QUANTITIES)
    return next(filter(None, parts), "")


def _of_lists(wanted: list[Any], there: Any, path: str) -> str:
    """Compare entries with a name by name, because other entries may have been added between them."""
    found = there if isinstance(there, list) else []
    named = {each["name"]: each for each in found if isinstance(each, Mapping) and "name" in each}
    for index, entry in enumerate(wanted):
        name = entry.get("name") if isinstance(entry, Mapping) else None
        other = named.get(name) if name is not None else next(iter(found[index : index + 1]), None)
        if found_difference := difference(entry, other, f"{path}[{name if name is not None else index}]"):
            return found_difference
    return ""
