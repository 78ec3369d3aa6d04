"""Queue of all admission requests. One change costs a few binary searches, however many jobs wait.

The decisions follow a simple rule. While the operator has capacity, admit the next job whose namespace and model have
capacity. The next job has the highest rank. Within a rank, it is of the namespace that holds the fewest slots. Within a
namespace, it is the oldest. Tests compare this queue with the simple rule at every step.
"""

import heapq
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Final

from trainyard_operator.core.admission.decision import (
    ADMITTED,
    OPERATOR,
    Decision,
    Scope,
    last_positions,
    limit_reached,
    model_locked,
)
from trainyard_operator.core.admission.request import AdmissionRequest, QueueOrder
from trainyard_operator.core.config import Admission

UNLIMITED: Final = 2**31

StartOrder = tuple[int, int, QueueOrder]
"""Sort key of starts: the rank, the slots that the namespace holds by then, and the position in its queue."""


class AdmissionQueue:
    """Admission requests by uid.

    ``_queues`` contains the waiting requests in order, for each model, and for each namespace if a number limits it.
    ``_ready`` contains by namespace the requests that wait only for a number: the first in the queue of each model
    without a running job. ``_notified`` contains the requests that may start, were notified, and have neither started
    nor been refused since.
    """

    def __init__(self, limits: Admission) -> None:
        self._limits = limits
        self._requests: dict[str, AdmissionRequest] = {}
        self._held: defaultdict[Scope, dict[str, None]] = defaultdict(dict)
        self._queues: defaultdict[Scope, list[QueueOrder]] = defaultdict(list)
        self._ready: defaultdict[str, list[QueueOrder]] = defaultdict(list)
        self._heads: dict[Scope, QueueOrder] = {}
        self._moved: dict[str, None] = {}
        self._notified: set[str] = set()
        self._freed = False

    @property
    def holding(self) -> int:
        """Number of jobs that hold a slot."""
        return len(self._held.get(OPERATOR, ()))

    @property
    def waiting(self) -> int:
        """Number of jobs that wait for a slot."""
        return len(self._requests) - self.holding

    def get(self, uid: str) -> AdmissionRequest | None:
        """Return a request by uid."""
        return self._requests.get(uid)

    def put(self, request: AdmissionRequest) -> None:
        """Add a request. It replaces the earlier one with the same uid."""
        before = self._requests.get(request.uid)
        if before == request:
            return
        self._notified.discard(request.uid)
        if before is not None:
            self._freed |= before.holds or not request.holds or self._lets_others_pass(before)
            self._take_out(before)
        else:
            self._freed |= request.holds
        self._requests[request.uid] = request
        if request.holds:
            for scope in (OPERATOR, request.in_namespace, request.in_model):
                self._held[scope][request.uid] = None
        else:
            for scope in self._queues_of(request):
                queue = self._queues[scope]
                index = bisect_left(queue, request.order)
                queue.insert(index, request.order)
                self._mark(queue[last] for last in last_positions(len(queue) - 1) if last > index)
        self._settle(request)

    def drop(self, uid: str) -> None:
        """Remove a request."""
        request = self._requests.pop(uid, None)
        self._notified.discard(uid)
        if request is not None:
            self._take_out(request)
            self._freed = True
            self._settle(request)

    def decision(self, uid: str) -> Decision:
        """Return whether a job may start. A job without a request is admitted."""
        request = self._requests.get(uid)
        held_back = self._refusal(request) if request is not None and not request.holds else None
        if held_back is None:
            return ADMITTED
        self._notified.discard(uid)
        return held_back

    def is_wanted(self, uid: str) -> bool:
        """Return whether another job waits for the slot of this job."""
        request = self._requests.get(uid)
        if request is None or not request.holds:
            return False
        if self._queues.get(request.in_model) or len(self._ready.get(request.namespace, ())) > self._capacity(
            request.in_namespace
        ):
            return True
        may = (min(self._capacity((name,)), len(ready)) for name, ready in self._ready.items())
        return sum(may) > self._capacity(OPERATOR)

    def take_changes(self) -> tuple[list[AdmissionRequest], list[AdmissionRequest]]:
        """Return the requests that recent changes may affect: those that may start now, and those that still wait.

        Each request is returned once. A request that may no longer start is omitted. It was notified before and is
        refused when it tries to start.
        """
        notified = [uid for uid in self._startable() if uid not in self._notified] if self._freed else []
        self._notified.update(notified)
        moved = [uid for uid in self._moved if uid not in self._notified]
        self._moved, self._freed = {}, False
        return self._waiting(notified), self._waiting(moved)

    # ---- internal ----------------------------------------------------------------------------------------------------

    def _refusal(self, request: AdmissionRequest) -> Decision | None:
        order, uid = request.order, request.uid
        queue = self._queues[request.in_model]
        blocker = next(iter(self._held.get(request.in_model, ())), queue[0][-1])
        if blocker != uid:
            return model_locked(request.exclusive_name, self._requests[blocker].name, 1 + bisect_left(queue, order))
        if bisect_left(self._ready[request.namespace], order) >= self._capacity(request.in_namespace):
            return self._held_back(request.in_namespace, request)
        if self._ahead(request) >= self._capacity(OPERATOR):
            return self._held_back(OPERATOR, request)
        return None

    def _waiting(self, uids: Iterable[str]) -> list[AdmissionRequest]:
        requests = (self._requests.get(uid) for uid in uids)
        return [request for request in requests if request is not None and not request.holds]

    def _limit(self, scope: Scope) -> int:
        match len(scope):
            case 0:
                return self._limits.max_concurrent_jobs or UNLIMITED
            case 1:
                return self._limits.for_namespace(scope[0]) or UNLIMITED
            case _:
                return 1

    def _capacity(self, scope: Scope) -> int:
        return max(0, self._limit(scope) - len(self._held.get(scope, ())))

    def _queues_of(self, request: AdmissionRequest) -> tuple[Scope, ...]:
        """Return the scopes whose queues contain a request."""
        numbered = min(self._limit(OPERATOR), self._limit(request.in_namespace)) < UNLIMITED
        return (request.in_namespace, request.in_model) if numbered else (request.in_model,)

    def _held_back(self, scope: Scope, request: AdmissionRequest) -> Decision:
        position = 1 + bisect_left(self._queues[request.in_namespace], request.order)
        return limit_reached(scope, self._limit(scope), position)

    def _start_order(self, namespace: str, index: int) -> StartOrder:
        """Return the sort key of the ready request at ``index``. The requests before it then hold slots too."""
        order = self._ready[namespace][index]
        return order[0], len(self._held.get((namespace,), ())) + index, order

    def _ahead(self, request: AdmissionRequest) -> int:
        """Return how many requests start before a request, within the limits of their namespaces."""
        if self._limit(OPERATOR) == UNLIMITED or not self._capacity(OPERATOR):
            return 0
        own = self._start_order(request.namespace, bisect_left(self._ready[request.namespace], request.order))
        return sum(
            min(self._capacity((name,)), bisect_left(range(len(ready)), own, key=partial(self._start_order, name)))
            for name, ready in self._ready.items()
        )

    def _startable(self) -> Iterator[str]:
        """Return the uids of the requests that may start now."""
        by_namespace = (
            map(partial(self._start_order, name), range(min(self._capacity((name,)), len(ready))))
            for name, ready in self._ready.items()
        )
        return (order[-1] for _, _, order in islice(heapq.merge(*by_namespace), self._capacity(OPERATOR)))

    def _lets_others_pass(self, request: AdmissionRequest) -> bool:
        """Return whether the start of a request lets ready requests of other namespaces overtake those before it.

        Its namespace then holds one slot more. This affects no other request if it was the first of its namespace.
        """
        return len(self._ready) > 1 and self._ready.get(request.namespace, [])[:1] != [request.order]

    def _take_out(self, request: AdmissionRequest) -> None:
        """Undo :meth:`put`, except for the readiness of its model."""
        if request.holds:
            for scope in (OPERATOR, request.in_namespace, request.in_model):
                del self._held[scope][request.uid]
                if not self._held[scope]:
                    del self._held[scope]
            self._mark(self._queues.get(request.in_model, [])[:10])
            return
        for scope in self._queues_of(request):
            queue = self._queues[scope]
            index = bisect_left(queue, request.order)
            del queue[index]
            self._mark(queue[last - 1] for last in last_positions(len(queue)) if last > index)
            if not queue:
                del self._queues[scope]
        if self._heads.get(request.in_model) == request.order:
            self._unready(request.namespace, request.in_model)

    def _settle(self, request: AdmissionRequest) -> None:
        """Update the ready request of a model, and mark the requests at the limit of its namespace."""
        model = request.in_model
        queue = self._queues.get(model)
        head = queue[0] if queue and not self._held.get(model) else None
        if head != self._heads.get(model):
            if model in self._heads:
                self._unready(request.namespace, model)
            if head is not None:
                self._heads[model] = head
                ready = self._ready[request.namespace]
                ready.insert(bisect_left(ready, head), head)
            self._mark((queue or [])[:10])
        if self._limit(request.in_namespace) < UNLIMITED:
            edge = self._capacity(request.in_namespace)
            self._mark(self._ready.get(request.namespace, [])[max(0, edge - 1) : edge + 1])

    def _unready(self, namespace: str, model: Scope) -> None:
        ready = self._ready[namespace]
        del ready[bisect_left(ready, self._heads.pop(model))]
        if not ready:
            del self._ready[namespace]

    def _mark(self, orders: Iterable[QueueOrder]) -> None:
        self._moved.update((order[-1], None) for order in orders)
