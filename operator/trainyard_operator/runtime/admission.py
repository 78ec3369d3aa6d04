"""Admission control: which jobs hold a slot, from observed objects and from the last decisions of this process.

The state follows from objects that run to completion and from their workloads, so a restart restores it. The only
exception is a reservation. After the decision to create a workload, no object shows at first that the slot is taken. A
reservation keeps a second worker from assigning the same slot. It is made in the same synchronous step as the decision.
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
    """Keep the admission queue up to date with the store, and wake the objects that a change affects."""

    def __init__(
        self,
        kinds: Kinds,
        limits: Admission,
        wake: Callable[[Key], None],
        moved: Callable[[Key], None] | None = None,
        covers: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """Create admission control.

        ``wake`` is called for objects that may start now. ``moved`` is called for objects whose position in the queue
        has changed. These can be processed later, and once for several moves. By default, ``wake`` is called for both.

        ``covers`` returns whether this process works in a namespace. Jobs of other namespaces hold no slot and are not
        queued.
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
        """Number of objects that hold a slot."""
        return self._queue.holding

    @property
    def waiting(self) -> int:
        """Number of objects that wait for a slot."""
        return self._queue.waiting

    def changed(self, kind: Kind, key: Key) -> None:
        """Record that an object of ``kind`` changed, which affects the object ``key``. The store calls this method."""
        ours = self._kinds.get(key.kind)
        if ours is not None and (kind == key.kind or kind in ours.owns):
            self._changed[key] = None

    def catch_up(self, store: Store, reconciling: Key) -> None:
        """Apply the changes in the store, and wake the affected objects except the one that is being reconciled."""
        changed, self._changed = self._changed, {}
        for key in changed:
            self._refresh(store, key)
        self._notify(reconciling)

    def decision(self, key: Key) -> Decision:
        """Return whether an object may start. A deferred object returns to the queue."""
        uid = self._uids.get(key)
        if uid is None:
            return ADMITTED
        if uid in self._deferred:
            self._queue.put(self._deferred.pop(uid))
            self._notify(key)
        return self._queue.decision(uid)

    def is_wanted(self, key: Key) -> bool:
        """Return whether another object waits for the slot of this object."""
        uid = self._uids.get(key)
        return uid is not None and self._queue.is_wanted(uid)

    def reserve(self, key: Key) -> None:
        """Reserve a slot for an object whose workload is about to be created."""
        request = self._request(key)
        if request is not None and not request.holds:
            self._reserved.add(request.uid)
            self._queue.put(replace(request, holds=True))
            self._notify(key)

    def release(self, key: Key) -> None:
        """Cancel a reservation, because the workload was refused."""
        request = self._request(key)
        if request is not None and request.uid in self._reserved:
            self._reserved.discard(request.uid)
            self._queue.put(replace(request, holds=False))
            self._notify(key)

    def defer(self, key: Key) -> None:
        """Remove an object from the queue until it asks again, because it may start but does not.

        For example, the API server refuses its workload (a quota of its namespace), its pause has not ended, or
        planning fails. In the queue, it would block the objects behind it.
        """
        request = self._request(key)
        if request is not None and not request.holds:
            self._deferred[request.uid] = request
            self._queue.drop(request.uid)
            self._notify(key)

    # ---- internal ----------------------------------------------------------------------------------------------------

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
        if request is None or (job.unreadable and not request.holds):  # an unreadable object does not start
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
        """Return whether a deleted object still holds its slot, because its workloads still exist."""
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
