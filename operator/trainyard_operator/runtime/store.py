"""Cache of the cluster: custom resources and their children, never older than an observed version.

Watch events, lists and responses to the operator's own writes all pass through :meth:`Store.apply`. The newest
resourceVersion wins. Therefore a decision never uses a state from before the operator's own last write.
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
"""Called for each change, with its kind and the custom resource that it affects."""
Wake = Callable[[Key], None]
"""Called for each custom resource to reconcile."""


VIEWS_AT_REST: Final = 2_000
"""Maximum number of cached views of objects at rest; the least recently used are dropped.

A view needs more memory than the object.
"""


def nobody(key: Key) -> None:
    """Do nothing."""


class Store:
    """The objects by key. The store holds JSON and parses it into views when a decision needs them.

    Deleted objects are remembered until the next list, because the response to a write can arrive after the deletion
    event. Views are parsed on first use. Views of objects at rest are dropped when there are many. Each change wakes
    the affected custom resources in the same step, so that no wake-up is lost.
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

    # ---- changes -----------------------------------------------------------------------------------------------------

    def apply(
        self, kind: Kind, body: Mapping[str, Any], *, deleted: bool = False, reconciling: Key | None = None
    ) -> set[Key]:
        """Store a version of an object. Return the affected custom resources; none if the version is old.

        ``reconciling`` is the object that is being reconciled. It continues by itself and is not woken.
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
            body, deleted = known, True  # its labels were removed, so it is no child any more
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
        """Remove objects that a list did not contain. Return the affected custom resources.

        A broken watch can lose a deletion. ``before`` is the result of :meth:`names` for the list's namespace before
        the list. An object is gone if it was known then, has not changed since, and is not listed.
        """
        buried = self._buried[kind]
        for key in [key for key in buried if namespace in (None, key.namespace)]:
            del buried[key]  # the responses to earlier writes have arrived by now
        keys: set[Key] = set()
        for key in before.keys() - set(listed):
            body = self._bodies[kind].get(key)
            if body is not None and body["metadata"]["resourceVersion"] == before[key]:
                keys |= self._concerned(kind, body)
                self._remove(key)
        return self._notify(kind, keys)

    def forget(self, key: Key, *, reconciling: Key | None = None) -> set[Key]:
        """Remove an object that does not exist any more. Return the affected custom resources."""
        body = self._bodies[key.kind].get(key)
        if body is None:
            return set()
        self._remove(key)
        return self._notify(key.kind, self._concerned(key.kind, body), reconciling)

    # ---- one object --------------------------------------------------------------------------------------------------

    def get(self, kind: WatchedKind[V], namespace: str, name: str) -> V | None:
        """Return the planners' view of an object, ``None`` if it is not known."""
        view: V | None = self._view(Key(namespace, name, kind.name))
        return view

    def knows(self, key: Key) -> bool:
        """Return whether the object is in the store."""
        return key in self._bodies[key.kind]

    def resource_version(self, key: Key) -> str:
        """Return the known resourceVersion of an object, or an empty string."""
        body = self._bodies[key.kind].get(key)
        return str(body["metadata"]["resourceVersion"]) if body is not None else ""

    def stored_status(self, key: Key) -> dict[str, Any]:
        """Return the stored status of the API server, as the base of a patch."""
        body = self._bodies[key.kind].get(key) or {}
        return body.get("status") or {}

    def stored_spec(self, key: Key) -> dict[str, Any]:
        """Return the kept part of the spec; empty for an unknown object."""
        body = self._bodies[key.kind].get(key) or {}
        return body.get("spec") or {}

    def is_new(self, key: Key) -> bool:
        """Return whether the operator has not written a status of the object yet."""
        body = self._bodies[key.kind].get(key)
        return body is not None and "phase" not in (body.get("status") or {})

    # ---- many objects ------------------------------------------------------------------------------------------------

    def find(self, kind: WatchedKind[V], term: Term) -> tuple[V, ...]:
        """Return the objects of a kind that match an index term."""
        return tuple(self._view(key) for key in self._found[kind.name].get(term, ()))

    def children(self, kind: WatchedKind[V], namespace: str, uid: str) -> tuple[V, ...]:
        """Return the objects of a kind that an object controls."""
        return self.find(kind, owner_term(namespace, uid))

    def workloads(self, kind: BatchWatchedKind[Any], namespace: str, uid: str) -> tuple[WorkloadView, ...]:
        """Return the workloads of an object's attempts."""
        return kind.workload.observe(lambda name: self.children(self.kinds[name], namespace, uid))

    def terms(self, kind: WatchedKind[Any]) -> tuple[Term, ...]:
        """Return all index terms of a kind."""
        return tuple(self._found[kind.name])

    def found(self, kind: WatchedKind[Any], term: Term) -> tuple[Key, ...]:
        """Return the keys of the objects of a kind that match an index term, without parsing the objects."""
        return tuple(self._found[kind.name].get(term, ()))

    def owner(self, key: Key) -> Key | None:
        """Return the custom resource that controls a child."""
        body = self._bodies[key.kind].get(key)
        reference = self.kinds.owner(key.kind, body) if body is not None else None
        return Key(key.namespace, reference["name"], reference["kind"]) if reference is not None else None

    def names(self, kind: Kind, namespace: str | None = None) -> dict[Key, str]:
        """Return the resourceVersion of every object of a kind.

        The result is for a comparison with a list of ``namespace``; ``None`` means all namespaces.
        """
        return {
            key: body["metadata"]["resourceVersion"]
            for key, body in self._bodies[kind].items()
            if namespace in (None, key.namespace)
        }

    def keys(self, kind: Kind) -> list[Key]:
        """Return the keys of all objects of a kind."""
        return list(self._bodies[kind])

    def count(self, kind: Kind) -> int:
        """Return the number of objects of a kind."""
        return len(self._bodies[kind])

    # ---- internal ----------------------------------------------------------------------------------------------------

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
    """Compare resourceVersions as numbers. Kubernetes allows this since 1.35, and etcd has always increased them.

    They count every write of a resource, so they also distinguish an object from an earlier one with the same name.
    """
    old = int(known["metadata"]["resourceVersion"])
    return version > old or (deleted and version == old)
