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

from trainyard_operator.core.admission.claim import Claim, Place
from trainyard_operator.core.admission.verdict import (
    ADMITTED,
    OPERATOR,
    Scope,
    Verdict,
    last_places,
    limit_reached,
    model_locked,
)
from trainyard_operator.core.config import Admission

UNLIMITED: Final = 2**31

Turn = tuple[int, int, Place]
"""What starts are ordered by: the rank, how many places its namespace holds by then, and the place in its line."""


class Book:
    """Claims by uid.

    ``_lines`` has whoever waits, in order, for each model and for each namespace where a number counts. ``_ready`` has
    by namespace those that only a number holds back: the first in each model's line, where nobody holds the model.
    ``_called`` has whoever was told that it may start, and has neither started nor been refused since.
    """

    def __init__(self, limits: Admission) -> None:
        self._limits = limits
        self._claims: dict[str, Claim] = {}
        self._held: defaultdict[Scope, dict[str, None]] = defaultdict(dict)
        self._lines: defaultdict[Scope, list[Place]] = defaultdict(list)
        self._ready: defaultdict[str, list[Place]] = defaultdict(list)
        self._heads: dict[Scope, Place] = {}
        self._moved: dict[str, None] = {}
        self._called: set[str] = set()
        self._freed = False

    @property
    def holding(self) -> int:
        """How many hold a place."""
        return len(self._held.get(OPERATOR, ()))

    @property
    def waiting(self) -> int:
        """How many wait for one."""
        return len(self._claims) - self.holding

    def get(self, uid: str) -> Claim | None:
        """Return a claim."""
        return self._claims.get(uid)

    def put(self, claim: Claim) -> None:
        """Take a claim in, in place of the one before."""
        before = self._claims.get(claim.uid)
        if before == claim:
            return
        self._called.discard(claim.uid)
        if before is not None:
            self._freed |= before.holds or not claim.holds or self._lets_others_pass(before)
            self._take_out(before)
        else:
            self._freed |= claim.holds
        self._claims[claim.uid] = claim
        if claim.holds:
            for scope in (OPERATOR, claim.in_namespace, claim.in_model):
                self._held[scope][claim.uid] = None
        else:
            for scope in self._queues(claim):
                line = self._lines[scope]
                index = bisect_left(line, claim.place)
                line.insert(index, claim.place)
                self._mark(line[last] for last in last_places(len(line) - 1) if last > index)
        self._settle(claim)

    def drop(self, uid: str) -> None:
        """Forget a claim."""
        claim = self._claims.pop(uid, None)
        self._called.discard(uid)
        if claim is not None:
            self._take_out(claim)
            self._freed = True
            self._settle(claim)

    def verdict(self, uid: str) -> Verdict:
        """Return whether a job may start; one that has no claim waits for nothing."""
        claim = self._claims.get(uid)
        held_back = self._refusal(claim) if claim is not None and not claim.holds else None
        if held_back is None:
            return ADMITTED
        self._called.discard(uid)
        return held_back

    def is_wanted(self, uid: str) -> bool:
        """Tell whether the place that a job holds is what another one waits for."""
        claim = self._claims.get(uid)
        if claim is None or not claim.holds:
            return False
        if self._lines.get(claim.in_model) or len(self._ready.get(claim.namespace, ())) > self._room(
            claim.in_namespace
        ):
            return True
        may = (min(self._room((name,)), len(ready)) for name, ready in self._ready.items())
        return sum(may) > self._room(OPERATOR)

    def take_news(self) -> tuple[list[Claim], list[Claim]]:
        """Return, once, those for whom the last changes may mean another verdict: who may start now, and who waits on.

        Left out is who may no longer start: it was told that it may, and finds out when it tries.
        """
        called = [uid for uid in self._callable() if uid not in self._called] if self._freed else []
        self._called.update(called)
        moved = [uid for uid in self._moved if uid not in self._called]
        self._moved, self._freed = {}, False
        return self._waiting(called), self._waiting(moved)

    # ---- within ------------------------------------------------------------------------------------------------------

    def _refusal(self, claim: Claim) -> Verdict | None:
        place, uid = claim.place, claim.uid
        line = self._lines[claim.in_model]
        rival = next(iter(self._held.get(claim.in_model, ())), line[0][-1])
        if rival != uid:
            return model_locked(claim.model, self._claims[rival].name, 1 + bisect_left(line, place))
        if bisect_left(self._ready[claim.namespace], place) >= self._room(claim.in_namespace):
            return self._held_back(claim.in_namespace, claim)
        if self._ahead(claim) >= self._room(OPERATOR):
            return self._held_back(OPERATOR, claim)
        return None

    def _waiting(self, uids: Iterable[str]) -> list[Claim]:
        claims = (self._claims.get(uid) for uid in uids)
        return [claim for claim in claims if claim is not None and not claim.holds]

    def _limit(self, scope: Scope) -> int:
        match len(scope):
            case 0:
                return self._limits.max_concurrent_jobs or UNLIMITED
            case 1:
                return self._limits.for_namespace(scope[0]) or UNLIMITED
            case _:
                return 1

    def _room(self, scope: Scope) -> int:
        return max(0, self._limit(scope) - len(self._held.get(scope, ())))

    def _queues(self, claim: Claim) -> tuple[Scope, ...]:
        """Return the lines that a claim waits in."""
        numbered = min(self._limit(OPERATOR), self._limit(claim.in_namespace)) < UNLIMITED
        return (claim.in_namespace, claim.in_model) if numbered else (claim.in_model,)

    def _held_back(self, scope: Scope, claim: Claim) -> Verdict:
        position = 1 + bisect_left(self._lines[claim.in_namespace], claim.place)
        return limit_reached(scope, self._limit(scope), position)

    def _turn(self, namespace: str, index: int) -> Turn:
        """Return the turn of a namespace's ready ones by index: by then those before it hold a place, too."""
        place = self._ready[namespace][index]
        return place[0], len(self._held.get((namespace,), ())) + index, place

    def _ahead(self, claim: Claim) -> int:
        """Count those whose turn is before a claim's, as far as their namespaces let them."""
        if self._limit(OPERATOR) == UNLIMITED or not self._room(OPERATOR):
            return 0
        own = self._turn(claim.namespace, bisect_left(self._ready[claim.namespace], claim.place))
        return sum(
            min(self._room((name,)), bisect_left(range(len(ready)), own, key=partial(self._turn, name)))
            for name, ready in self._ready.items()
        )

    def _callable(self) -> Iterator[str]:
        """Return those that may start now."""
        by_namespace = (
            map(partial(self._turn, name), range(min(self._room((name,)), len(ready))))
            for name, ready in self._ready.items()
        )
        return (place[-1] for _, _, place in islice(heapq.merge(*by_namespace), self._room(OPERATOR)))

    def _lets_others_pass(self, claim: Claim) -> bool:
        """Tell whether, if a claim gets its place, ready ones of other namespaces come before those ahead of it.

        Its namespace holds one place more then. That is nobody's loss where it was the first of its namespace.
        """
        return len(self._ready) > 1 and self._ready.get(claim.namespace, [])[:1] != [claim.place]

    def _take_out(self, claim: Claim) -> None:
        """Undo what :meth:`put` did, save the readiness of its model."""
        if claim.holds:
            for scope in (OPERATOR, claim.in_namespace, claim.in_model):
                del self._held[scope][claim.uid]
                if not self._held[scope]:
                    del self._held[scope]
            self._mark(self._lines.get(claim.in_model, [])[:10])
            return
        for scope in self._queues(claim):
            line = self._lines[scope]
            index = bisect_left(line, claim.place)
            del line[index]
            self._mark(line[last - 1] for last in last_places(len(line)) if last > index)
            if not line:
                del self._lines[scope]
        if self._heads.get(claim.in_model) == claim.place:
            self._unready(claim.namespace, claim.in_model)

    def _settle(self, claim: Claim) -> None:
        """Bring up to date who is ready in a claim's model, and tell those at the edge of what its namespace takes."""
        model = claim.in_model
        line = self._lines.get(model)
        head = line[0] if line and not self._held.get(model) else None
        if head != self._heads.get(model):
            if model in self._heads:
                self._unready(claim.namespace, model)
            if head is not None:
                self._heads[model] = head
                ready = self._ready[claim.namespace]
                ready.insert(bisect_left(ready, head), head)
            self._mark((line or [])[:10])
        if self._limit(claim.in_namespace) < UNLIMITED:
            edge = self._room(claim.in_namespace)
            self._mark(self._ready.get(claim.namespace, [])[max(0, edge - 1) : edge + 1])

    def _unready(self, namespace: str, model: Scope) -> None:
        ready = self._ready[namespace]
        del ready[bisect_left(ready, self._heads.pop(model))]
        if not ready:
            del self._ready[namespace]

    def _mark(self, places: Iterable[Place]) -> None:
        self._moved.update((place[-1], None) for place in places)
