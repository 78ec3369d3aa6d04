"""Where a child differs from what was applied: somebody has edited it, and it is brought back.

Compared is only what we asked for. What the API server filled in, or somebody added beside it, is no difference.
"""

from collections.abc import Mapping
from typing import Any

_QUANTITIES = frozenset({"requests", "limits", "sizeLimit"})
"""The API server writes them in its own way (1000m becomes 1), so their values are not compared."""


def is_edited(there: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
    """Tell whether somebody has edited what we applied; of a child whose spec is not known nothing can be said."""
    return bool(there) and bool(difference(body["spec"], there))


def difference(wanted: Any, there: Any, path: str = "spec") -> str:
    """Return the first field that is not as wanted, with what stands there; empty where there is none."""
    if isinstance(wanted, Mapping):
        return _of_maps(wanted, there, path)
    if isinstance(wanted, list):
        return _of_lists(wanted, there, path)
    if wanted == there or (not wanted and not there):  # what is empty may be left out
        return ""
    return f"{path} is {there!r} instead of {wanted!r}"


def _of_maps(wanted: Mapping[str, Any], there: Any, path: str) -> str:
    found = there if isinstance(there, Mapping) else {}
    parts = (difference(wanted[key], found.get(key), f"{path}.{key}") for key in wanted if key not in _QUANTITIES)
    return next(filter(None, parts), "")


def _of_lists(wanted: list[Any], there: Any, path: str) -> str:
    """Entries with a name are compared by name: somebody may have added others in between."""
    found = there if isinstance(there, list) else []
    named = {each["name"]: each for each in found if isinstance(each, Mapping) and "name" in each}
    for index, entry in enumerate(wanted):
        name = entry.get("name") if isinstance(entry, Mapping) else None
        other = named.get(name) if name is not None else next(iter(found[index : index + 1]), None)
        if found_difference := difference(entry, other, f"{path}[{name if name is not None else index}]"):
            return found_difference
    return ""
