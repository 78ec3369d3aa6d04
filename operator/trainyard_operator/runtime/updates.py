"""Limit of how many Deployments replace their pods at a time because of the operator, for example after an upgrade.

Nothing is stored, because the Deployments show which replacements are in progress. Only a permission that is not
visible yet is remembered for a while.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from trainyard_operator.kinds.base import Key
from trainyard_operator.kinds.children import DEPLOYMENT
from trainyard_operator.runtime.clock import Clock
from trainyard_operator.runtime.store import Store

GRANTED_SECONDS: Final = 30.0
"""How long a permission counts, even if the replacement is faster. The pods of one model settle before the next."""


def exchanging(store: Store) -> Iterator[Key]:
    """Return the owners of Deployments that replace their pods."""
    for key in store.keys(DEPLOYMENT.name):
        deployment, owner = store.get(DEPLOYMENT, key.namespace, key.name), store.owner(key)
        if deployment is not None and deployment.exchanging and owner is not None:
            yield owner


class Updates:
    """Permissions to replace pods."""

    def __init__(
        self, store: Store, limit: int, *, clock: Clock, covers: Callable[[str], bool] = lambda _: True
    ) -> None:
        """Create the limit.

        ``limit`` is the maximum number of Deployments, 0 means all; ``covers`` returns whether a namespace counts.
        """
        self._covers = covers
        self._store = store
        self._limit = limit
        self._clock = clock
        self._granted: dict[Key, datetime] = {}

    def allow(self, key: Key) -> bool:
        """Return whether a ModelDeployment may replace its pods now. A permission stays valid for a while."""
        now = self._clock()
        self._granted = {k: since for k, since in self._granted.items() if _is_recent(since, now)}
        if self._limit == 0 or key in self._granted:
            return True
        others = (owner for owner in exchanging(self._store) if owner != key and self._counts(owner))
        busy = len(self._granted) + sum(1 for _ in islice(others, self._limit))
        if busy >= self._limit:
            return False
        self._granted[key] = now
        return True

    def _counts(self, owner: Key) -> bool:
        return owner not in self._granted and self._covers(owner.namespace)


def _is_recent(since: datetime, now: datetime) -> bool:
    return timedelta(0) <= now - since < timedelta(seconds=GRANTED_SECONDS)
