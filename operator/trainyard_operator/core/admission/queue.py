"""The book of all claims: one change costs some bisections, however many wait.

The verdicts are those of the plain rule: as long as there is room in the operator, let in whose turn it is among those
that find room in their namespace and at their model. That is the highest rank; within a rank, the namespace that holds
the fewest places; within a namespace, the oldest. Tests compare the two at every step.
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
"""What starts are ordered by: the rank, how many places its namespace holds by then, and the place in its line."""


class AdmissionQueue:
    """Claims by uid.

    ``_queues`` has whoever waits, in order, for each model and for each namespace where a number counts. ``_ready`` has
    by namespace those that only a number holds back: the first in each model's line, where nobody holds the model.
    ``_notified`` has whoever was told that it may start, and has neither started nor been refused since.
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
        """How many hold a place."""
        return len(self._held.get(OPERATOR, ()))

    @property
    def waiting(self) -> int:
        """How many wait for one."""
        return len(self._requests) - self.holding

    def get(self, uid: str) -> AdmissionRequest | None:
        """Return a claim."""
        return self._requests.get(uid)

    def put(self, request: AdmissionRequest) -> None:
        """Take a claim in, in place of the one before."""
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
        """Forget a claim."""
        request = self._requests.pop(uid, None)
        self._notified.discard(uid)
        if request is not None:
            self._take_out(request)
            self._freed = True
            self._settle(request)

    def decision(self, uid: str) -> Decision:
        """Return whether a job may start; one that has no claim waits for nothing."""
        request = self._requests.get(uid)
        held_back = self._refusal(request) if request is not None and not request.holds else None
        if held_back is None:
            return ADMITTED
        self._notified.discard(uid)
        return held_back

    def is_wanted(self, uid: str) -> bool:
        """Tell whether the place that a job holds is what another one waits for."""
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
        """Return, once, those for whom the last changes may mean another verdict: who may start now, and who waits on.

        Left out is who may no longer start: it was told that it may, and finds out when it tries.
        """
        notified = [uid for uid in self._startable() if uid not in self._notified] if self._freed else []
        self._notified.update(notified)
        moved = [uid for uid in self._moved if uid not in self._notified]
        self._moved, self._freed = {}, False
        return self._waiting(notified), self._waiting(moved)

    # ---- within ------------------------------------------------------------------------------------------------------

    def _refusal(self, request: AdmissionRequest) -> Decision | None:
        order, uid = request.order, request.uid
        queue = self._queues[request.in_model]
        rival = next(iter(self._held.get(request.in_model, ())), queue[0][-1])
        if rival != uid:
            return model_locked(request.model, self._requests[rival].name, 1 + bisect_left(queue, order))
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
        """Return the lines that a claim waits in."""
        numbered = min(self._limit(OPERATOR), self._limit(request.in_namespace)) < UNLIMITED
        return (request.in_namespace, request.in_model) if numbered else (request.in_model,)

    def _held_back(self, scope: Scope, request: AdmissionRequest) -> Decision:
        position = 1 + bisect_left(self._queues[request.in_namespace], request.order)
        return limit_reached(scope, self._limit(scope), position)

    def _start_order(self, namespace: str, index: int) -> StartOrder:
        """Return the turn of a namespace's ready ones by index: by then those before it hold a place, too."""
        order = self._ready[namespace][index]
        return order[0], len(self._held.get((namespace,), ())) + index, order

    def _ahead(self, request: AdmissionRequest) -> int:
        """Count those whose turn is before a claim's, as far as their namespaces let them."""
        if self._limit(OPERATOR) == UNLIMITED or not self._capacity(OPERATOR):
            return 0
        own = self._start_order(request.namespace, bisect_left(self._ready[request.namespace], request.order))
        return sum(
            min(self._capacity((name,)), bisect_left(range(len(ready)), own, key=partial(self._start_order, name)))
            for name, ready in self._ready.items()
        )

    def _startable(self) -> Iterator[str]:
        """Return those that may start now."""
        by_namespace = (
            map(partial(self._start_order, name), range(min(self._capacity((name,)), len(ready))))
            for name, ready in self._ready.items()
        )
        return (order[-1] for _, _, order in islice(heapq.merge(*by_namespace), self._capacity(OPERATOR)))

    def _lets_others_pass(self, request: AdmissionRequest) -> bool:
        """Tell whether, if a claim gets its place, ready ones of other namespaces come before those ahead of it.

        Its namespace holds one place more then. That is nobody's loss where it was the first of its namespace.
        """
        return len(self._ready) > 1 and self._ready.get(request.namespace, [])[:1] != [request.order]

    def _take_out(self, request: AdmissionRequest) -> None:
        """Undo what :meth:`put` did, save the readiness of its model."""
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
        """Bring up to date who is ready in a claim's model, and tell those at the edge of what its namespace takes."""
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
