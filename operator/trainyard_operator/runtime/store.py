"""What is known of the cluster: our objects and their children, never older than what was seen before.

Watch events, lists and the answers to our own writes all come in through :meth:`Store.apply`, and the newest
resourceVersion wins. So a decision never rests on a state from before our own last write.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from trainyard_operator.core.objects import WorkloadView
from trainyard_operator.core.plan import Body, Kind
from trainyard_operator.kinds.base import BatchWatchedKind, Key, Kinds, Term, WatchedKind, owner_term
from trainyard_operator.kinds.slim import slim

V = TypeVar("V")

Listener = Callable[[Kind, Key], None]
"""Told of each change: its kind, and the object of ours whose decisions it may change."""
Wake = Callable[[Key], None]
"""Told of each object of ours that has to look again."""


VIEWS_AT_REST: Final = 2_000
"""So many views of objects at rest are kept, those used last: a view takes more memory than the object itself."""


def nobody(key: Key) -> None:
    """Wake nobody."""


class Store:
    """The objects, by key. Holds JSON and reads it into views when a decision needs it.

    The deleted are remembered until the next list: the answer to a write can arrive after the news of the deletion.
    Views are read on first use; those of objects at rest are let go when there are many. Whoever changes the store, it
    wakes whom the change concerns: in the same step, so that a change and its wake-up cannot come apart.
    """

    def __init__(self, kinds: Kinds, listener: Listener | None = None, wake: Wake = nobody) -> None:
        self.kinds: Final = kinds
        self._listener = listener
        self._wake = wake
        self._bodies: dict[Kind, dict[Key, Body]] = {kind: {} for kind in kinds}
        self._buried: dict[Kind, dict[Key, int]] = {kind: {} for kind in kinds}
        self._found: dict[Kind, dict[Term, dict[Key, None]]] = {kind: {} for kind in kinds}
        self._views: dict[Key, Any] = {}
        self._resting: OrderedDict[Key, Any] = OrderedDict()

    # ---- what comes in -----------------------------------------------------------------------------------------------

    def apply(
        self, kind: Kind, body: Mapping[str, Any], *, deleted: bool = False, reconciling: Key | None = None
    ) -> set[Key]:
        """Take in a state of an object. Return whose decisions it may change; nobody's if it was old news.

        ``reconciling`` is the object in whose turn this happens: it goes on by itself and is not woken.
        """
        metadata = body["metadata"]
        key = Key(metadata["namespace"], metadata["name"], kind)
        known = self._bodies[kind].get(key)
        version = int(metadata["resourceVersion"])
        if version <= self._buried[kind].get(key, 0) or (known is not None and not _is_news(version, known, deleted)):
            return set()
        if not self.kinds.is_ours(kind, body):
            if known is None:
                return set()
            body, deleted = known, True  # its labels were taken away: no child any more
        if deleted:
            self._buried[kind][key] = version
        keys = self._concerned(kind, body)
        if known is not None:
            keys |= self._concerned(kind, known)
            self._remove(key)
        if not deleted:
            self._insert(key, slim(self.kinds[kind], body))
        return self._notify(kind, keys, reconciling)

    def prune(
        self, kind: Kind, before: Mapping[Key, str], listed: Iterable[Key], namespace: str | None = None
    ) -> set[Key]:
        """Remove what a list no longer had and return whose decisions that may change.

        A watch that breaks can lose a deletion. ``before`` is :meth:`names` of the list's namespace from before it
        began: an object that was known then, has not changed since and is not listed is gone.
        """
        buried = self._buried[kind]
        for key in [key for key in buried if namespace in (None, key.namespace)]:
            del buried[key]  # an answer that was under way at a deletion has long arrived
        keys: set[Key] = set()
        for key in before.keys() - set(listed):
            body = self._bodies[kind].get(key)
            if body is not None and body["metadata"]["resourceVersion"] == before[key]:
                keys |= self._concerned(kind, body)
                self._remove(key)
        return self._notify(kind, keys)

    def forget(self, key: Key, *, reconciling: Key | None = None) -> set[Key]:
        """Remove an object that the API server says is gone; return whose decisions that may change."""
        body = self._bodies[key.kind].get(key)
        if body is None:
            return set()
        self._remove(key)
        return self._notify(key.kind, self._concerned(key.kind, body), reconciling)

    # ---- one object --------------------------------------------------------------------------------------------------

    def get(self, kind: WatchedKind[V], namespace: str, name: str) -> V | None:
        """Return an object as planners see it; ``None`` for one that is not known."""
        view: V | None = self._view(Key(namespace, name, kind.name))
        return view

    def knows(self, key: Key) -> bool:
        """Tell whether there is such an object."""
        return key in self._bodies[key.kind]

    def resource_version(self, key: Key) -> str:
        """Return the resourceVersion of an object as it is known; empty for one that is not."""
        body = self._bodies[key.kind].get(key)
        return str(body["metadata"]["resourceVersion"]) if body is not None else ""

    def stored_status(self, key: Key) -> dict[str, Any]:
        """Return the status as the API server has it, to patch against."""
        body = self._bodies[key.kind].get(key) or {}
        return body.get("status") or {}

    def stored_spec(self, key: Key) -> dict[str, Any]:
        """Return what is kept of the spec; nothing of an object that is not known."""
        body = self._bodies[key.kind].get(key) or {}
        return body.get("spec") or {}

    def is_new(self, key: Key) -> bool:
        """Tell whether the operator has not yet written anything about an object."""
        body = self._bodies[key.kind].get(key)
        return body is not None and "phase" not in (body.get("status") or {})

    # ---- many --------------------------------------------------------------------------------------------------------

    def find(self, kind: WatchedKind[V], term: Term) -> tuple[V, ...]:
        """Return the objects of a kind that a term finds."""
        return tuple(self._view(key) for key in self._found[kind.name].get(term, ()))

    def children(self, kind: WatchedKind[V], namespace: str, uid: str) -> tuple[V, ...]:
        """Return the objects of a kind that an object controls."""
        return self.find(kind, owner_term(namespace, uid))

    def workloads(self, kind: BatchWatchedKind[Any], namespace: str, uid: str) -> tuple[WorkloadView, ...]:
        """Return what the attempts of an object run as."""
        return kind.workload.observe(lambda name: self.children(self.kinds[name], namespace, uid))

    def terms(self, kind: WatchedKind[Any]) -> tuple[Term, ...]:
        """Return every term that finds an object of a kind."""
        return tuple(self._found[kind.name])

    def found(self, kind: WatchedKind[Any], term: Term) -> tuple[Key, ...]:
        """Return which objects of a kind a term finds, without reading them."""
        return tuple(self._found[kind.name].get(term, ()))

    def owner(self, key: Key) -> Key | None:
        """Return the object of ours that controls a child."""
        body = self._bodies[key.kind].get(key)
        reference = self.kinds.owner(key.kind, body) if body is not None else None
        return Key(key.namespace, reference["name"], reference["kind"]) if reference is not None else None

    def names(self, kind: Kind, namespace: str | None = None) -> dict[Key, str]:
        """Return every object's resourceVersion, for a comparison with a list of a namespace, ``None`` for all."""
        return {
            key: body["metadata"]["resourceVersion"]
            for key, body in self._bodies[kind].items()
            if namespace in (None, key.namespace)
        }

    def keys(self, kind: Kind) -> list[Key]:
        """Return every object of a kind."""
        return list(self._bodies[kind])

    def count(self, kind: Kind) -> int:
        """Return how many objects of a kind there are."""
        return len(self._bodies[kind])

    # ---- within ------------------------------------------------------------------------------------------------------

    def _view(self, key: Key) -> Any:
        if (view := self._views.get(key)) is not None:
            return view
        if (view := self._resting.get(key)) is not None:
            self._resting.move_to_end(key)
            return view
        body = self._bodies[key.kind].get(key)
        if body is None:
            return None
        kind = self.kinds[key.kind]
        view = kind.view(body)
        if kind.is_at_rest(body):
            self._resting[key] = view
            if len(self._resting) > VIEWS_AT_REST:
                self._resting.popitem(last=False)
        else:
            self._views[key] = view
        return view

    def _concerned(self, kind: Kind, body: Mapping[str, Any]) -> set[Key]:
        keys, versions, terms = self.kinds.concerned(kind, body)
        keys.update(filter(self.knows, versions), *(self._found[of].get(term, ()) for of, term in terms))
        return keys

    def _notify(self, kind: Kind, keys: set[Key], reconciling: Key | None = None) -> set[Key]:
        if self._listener is not None:
            for key in keys:
                self._listener(kind, key)
        for key in keys - {reconciling}:
            self._wake(key)
        return keys

    def _insert(self, key: Key, body: Body) -> None:
        self._bodies[key.kind][key] = body
        for term in self.kinds.terms(key.kind, body):
            self._found[key.kind].setdefault(term, {})[key] = None

    def _remove(self, key: Key) -> None:
        body = self._bodies[key.kind].pop(key)
        self._views.pop(key, None)
        self._resting.pop(key, None)
        for term in self.kinds.terms(key.kind, body):
            found = self._found[key.kind][term]
            del found[key]
            if not found:
                del self._found[key.kind][term]


def _is_news(version: int, known: Body, deleted: bool) -> bool:  # noqa: FBT001
    """Compare resourceVersions as numbers, which Kubernetes allows since 1.35 and etcd has always made them.

    They count every write of a resource, so they also tell an object from an earlier one of the same name.
    """
    old = int(known["metadata"]["resourceVersion"])
    return version > old or (deleted and version == old)
