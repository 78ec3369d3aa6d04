"""The admission ledger: who holds a place, by what is seen and by what this process has just decided.

Everything in it follows from objects that run to an end and from their workloads, so a restart knows it again. The one
exception is the reservation: between the decision to create a workload and its appearance nothing shows that the place
is taken, and two workers must not give it away twice. It is made in the same synchronous step as the decision.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from trainyard_operator.core.admission.decision import ADMITTED, Decision
from trainyard_operator.core.admission.queue import AdmissionQueue
from trainyard_operator.core.admission.request import AdmissionRequest, request_of
from trainyard_operator.core.config import Admission
from trainyard_operator.core.plan import Kind
from trainyard_operator.kinds.base import BatchWatchedKind, Key, Kinds
from trainyard_operator.runtime.store import Store


class AdmissionControl:
    """Keep the book of claims up to date with the store, and wake whom a change concerns."""

    def __init__(
        self,
        kinds: Kinds,
        limits: Admission,
        wake: Callable[[Key], None],
        moved: Callable[[Key], None] | None = None,
        covers: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """``wake`` hears of who may start now, ``moved`` of who waits on at another place in line: they can be told so
        later, and of several moves at once. By default ``wake`` hears of both.

        ``covers`` tells whether a namespace is ours to work in; jobs of the others hold and wait for no place.
        """
        self._kinds = kinds.batch
        self._limits = limits
        self._covers = covers
        self._queue = AdmissionQueue(limits)
        self._wake = wake
        self._move = moved if moved is not None else wake
        self._changed: dict[Key, None] = {}
        self._uids: dict[Key, str] = {}
        self._deleted: defaultdict[Key, set[str]] = defaultdict(set)
        self._reserved: set[str] = set()
        self._deferred: dict[str, AdmissionRequest] = {}

    @property
    def holding(self) -> int:
        """How many objects hold a place."""
        return self._queue.holding

    @property
    def waiting(self) -> int:
        """How many wait for one."""
        return self._queue.waiting

    def changed(self, kind: Kind, key: Key) -> None:
        """Remember that an object of this kind changed, which concerns this one. The store calls it."""
        ours = self._kinds.get(key.kind)
        if ours is not None and (kind == key.kind or kind in ours.owns):
            self._changed[key] = None

    def catch_up(self, store: Store, reconciling: Key) -> None:
        """Take in what has changed in the store. Whoever it concerns is woken, save the one whose turn it is."""
        changed, self._changed = self._changed, {}
        for key in changed:
            self._refresh(store, key)
        self._notify(reconciling)

    def decision(self, key: Key) -> Decision:
        """Return whether an object may start. One that stood aside stands in line again."""
        uid = self._uids.get(key)
        if uid is None:
            return ADMITTED
        if uid in self._deferred:
            self._queue.put(self._deferred.pop(uid))
            self._notify(key)
        return self._queue.decision(uid)

    def is_wanted(self, key: Key) -> bool:
        """Tell whether another object waits for the place that this one holds."""
        uid = self._uids.get(key)
        return uid is not None and self._queue.is_wanted(uid)

    def reserve(self, key: Key) -> None:
        """Give an object its place: the creation of its workload was just decided."""
        request = self._request(key)
        if request is not None and not request.holds:
            self._reserved.add(request.uid)
            self._queue.put(replace(request, holds=True))
            self._notify(key)

    def release(self, key: Key) -> None:
        """Take a reservation back: the workload was refused."""
        request = self._request(key)
        if request is not None and request.uid in self._reserved:
            self._reserved.discard(request.uid)
            self._queue.put(replace(request, holds=False))
            self._notify(key)

    def defer(self, key: Key) -> None:
        """Take an object out of the line until it asks again: it may start, but does not.

        The API server refuses its workload (a quota of its namespace, say), its pause is not over, or planning fails.
        In the line it would block those behind it for as long as that lasts.
        """
        request = self._request(key)
        if request is not None and not request.holds:
            self._deferred[request.uid] = request
            self._queue.drop(request.uid)
            self._notify(key)

    # ---- within ------------------------------------------------------------------------------------------------------

    def _request(self, key: Key) -> AdmissionRequest | None:
        uid = self._uids.get(key)
        return self._queue.get(uid) if uid is not None else None

    def _refresh(self, store: Store, key: Key) -> None:
        if not self._covers(key.namespace):
            self._forget(key)
            return
        kind = self._kinds[key.kind]
        job = store.get(kind, key.namespace, key.name)
        before = self._uids.get(key)
        if before is not None and (job is None or job.uid != before):
            self._delete(key, before)
        for uid in self._deleted.pop(key, set()):
            if self._outlived(store, kind, key.namespace, uid):
                self._deleted[key].add(uid)
        if job is None:
            return
        workloads = store.workloads(kind, job.namespace, job.uid)
        resting = job.finished or (job.status.phase == "Suspended" and bool(job.spec.get("suspend")))
        if resting or any(not workload.finished for workload in workloads):
            self._reserved.discard(job.uid)
        request = request_of(key.kind, job, workloads, self._limits, reserved=job.uid in self._reserved)
        deferred = self._deferred.pop(job.uid, None) is not None
        if request is None or (job.unreadable and not request.holds):  # nothing starts that cannot be read
            self._uids.pop(key, None)
            self._queue.drop(job.uid)
            return
        self._uids[key] = job.uid
        if deferred and not request.holds:
            self._deferred[job.uid] = request
        else:
            self._queue.put(request)

    def _forget(self, key: Key) -> None:
        for uid in {self._uids.pop(key, ""), *self._deleted.pop(key, set())} - {""}:
            self._reserved.discard(uid)
            self._deferred.pop(uid, None)
            self._queue.drop(uid)

    def _delete(self, key: Key, uid: str) -> None:
        del self._uids[key]
        self._deleted[key].add(uid)
        self._reserved.discard(uid)
        self._deferred.pop(uid, None)
        request = self._queue.get(uid)
        if request is not None:
            self._queue.put(replace(request, name=f"{request.name} (deleted)", holds=True))

    def _outlived(self, store: Store, kind: BatchWatchedKind[Any], namespace: str, uid: str) -> bool:
        """Tell whether a deleted object still holds its place, because its workloads have not gone yet."""
        if any(not workload.finished for workload in store.workloads(kind, namespace, uid)):
            return True
        self._queue.drop(uid)
        return False

    def _notify(self, reconciling: Key) -> None:
        notified, moved = self._queue.take_changes()
        for requests, hear in ((notified, self._wake), (moved, self._move)):
            for request in requests:
                key = Key(request.namespace, request.name, request.kind)
                if key != reconciling:
                    hear(key)
