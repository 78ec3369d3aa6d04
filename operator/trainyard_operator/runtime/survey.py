"""Metrics of the objects in the store: counts by phase, and the series of each kind.

They are computed for each scrape, so they are correct after a restart too, and deleted objects have no series. A scrape
of ten thousand objects takes much longer than a reconcile, so it is done in slices, with reconciles between them.
"""

from collections.abc import Generator
from typing import Final

from trainyard_operator.kinds.base import Key, Kinds
from trainyard_operator.kinds.series import Family, Page, Seen, labels_of
from trainyard_operator.runtime.store import Store

SLICE: Final = 200
"""Number of objects between two pauses."""

MOST_NAMED: Final = 10_000
"""Maximum number of objects of each kind that have their own series. All objects are counted."""

OBJECTS: Final = Family("trainyard_objects", "Objects in the store by kind")
UNNAMED: Final = Family("trainyard_objects_without_series", "Objects that are counted but have no series of their own")


def families(kinds: Kinds) -> tuple[Family, ...]:
    """Return all metrics except the counts by phase."""
    return (OBJECTS, UNNAMED, *(family for kind in kinds.values() for family in kind.families))


def survey(store: Store) -> Generator[None, None, bytes]:
    """Generate the series of a store in the Prometheus text format, with a pause after each slice.

    The store may change during the scrape. A deleted object is left out, and a new one is counted at the next scrape.
    """
    page = Page(lambda namespace, name, kind: store.stored_spec(Key(namespace, name, kind)))
    for kind in store.kinds:
        page.counts[OBJECTS][labels_of(kind=kind)] = store.count(kind)
    read = 0
    by_phase = {kind: Family(f"trainyard_{kind.lower()}s", f"{kind}s by phase") for kind in store.kinds.planned}
    for kind, phases in by_phase.items():
        keys, add_series = store.keys(kind), store.kinds[kind].series
        for number, key in enumerate(keys):
            if store.knows(key):
                status = store.stored_status(key)
                phase = str(status.get("phase") or "Pending")
                page.counts[phases][labels_of(namespace=key.namespace, phase=phase)] += 1
                if add_series is not None:
                    add_series(page, Seen(key.namespace, key.name, phase, status, number < MOST_NAMED))
            read += 1
            if read % SLICE == 0:
                yield
        if store.kinds[kind].is_named:
            page.counts[UNNAMED][labels_of(kind=kind)] = max(0, len(keys) - MOST_NAMED)
    parts = []
    for family in (*by_phase.values(), *families(store.kinds)):
        parts.append(page.text(family))
        yield
    return b"".join(parts)
