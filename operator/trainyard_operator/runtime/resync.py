"""List requests: the initial fill of the store, and the regular resyncs that find what a watch has lost."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from prometheus_client import Gauge

from trainyard_operator.core.plan import Kind
from trainyard_operator.kinds.base import Key, Kinds
from trainyard_operator.kube.errors import ApiError, ForbiddenError, NotFoundError, UnavailableError, log_level
from trainyard_operator.kube.port import KubePort
from trainyard_operator.runtime.store import Store

FORGET_AFTER = 2
"""After this many rounds in which all lists of a namespace are forbidden, its objects are removed from the store."""

AGE = Gauge(
    "trainyard_list_age_seconds",
    "Time since the API server last answered a list; namespace is empty for all namespaces",
    ["kind", "namespace"],
)

Listed = Callable[[Kind, str | None], None]
"""Called after each complete list, with its kind and its namespace, ``None`` for all namespaces."""

log = logging.getLogger(__name__)


class Listing(NamedTuple):
    """One list request: a kind in a namespace, ``None`` for all namespaces."""

    kind: Kind
    namespace: str | None


def nobody(kind: Kind, namespace: str | None) -> None:
    """Do nothing."""


async def resync(
    port: KubePort, store: Store, namespaces: tuple[str, ...], listed: Listed = nobody
) -> dict[Listing, ApiError]:
    """List all kinds into the store and remove objects that are gone.

    Return the lists that failed; they change nothing.

    kopf does not report a deletion that happens while a watch is broken, so only a list can detect it. An empty
    ``namespaces`` means all.
    """
    failed: dict[Listing, ApiError] = {}
    silent: ApiError | None = None
    for listing in _listings(store.kinds, namespaces):
        try:
            if silent is None:
                await _list(port, store, listing)
                listed(*listing)
            else:
                failed[listing] = silent
        except ApiError as error:
            failed[listing] = error
            if isinstance(error, UnavailableError) and not error.status:
                silent = error  # no response at all: the other lists would only time out too
    return failed


async def _list(port: KubePort, store: Store, listing: Listing) -> None:
    kind, namespace = listing
    before = store.names(kind, namespace)
    found: list[Key] = []
    watched = store.kinds[kind]
    async for body in port.list(watched.resource, namespace, selector=watched.selector):
        found.append(Key(body["metadata"]["namespace"], body["metadata"]["name"], kind))
        store.apply(kind, body)
    store.prune(kind, before, found, namespace)


def _listings(kinds: Kinds, namespaces: tuple[str, ...]) -> Iterator[Listing]:
    for kind in kinds:
        for namespace in namespaces or (None,):
            yield Listing(kind, namespace)


class Lists:
    """All list requests: when each one last succeeded, and which namespaces are complete.

    A decision about an object needs its children and related objects. Therefore nothing is decided in a namespace until
    each of its lists has succeeded once. Other namespaces do not wait for it.
    """

    def __init__(
        self,
        port: KubePort,
        store: Store,
        namespaces: tuple[str, ...],
        listed: Listed,
        known: Callable[[str | None], None],
    ) -> None:
        """Create the lists.

        ``known`` is called for each namespace that becomes complete, with ``None`` for all namespaces.
        """
        self._port = port
        self._store = store
        self._namespaces = namespaces
        self._listed = listed
        self._on_known = known
        self._known: set[str | None] = set()
        self._one = asyncio.Lock()
        """Held during a round of list requests."""
        self._forbidden: Counter[str | None] = Counter()
        self._answered: dict[Listing, float] = dict.fromkeys(_listings(store.kinds, namespaces), time.monotonic())
        for listing in self._answered:
            AGE.labels(listing.kind, listing.namespace or "").set_function(self._age(listing))

    def knows(self, namespace: str) -> bool:
        """Return whether all lists of a namespace have succeeded once."""
        return None in self._known or namespace in self._known

    async def first(self) -> None:
        """Fill the store.

        Raises
        ------
        ApiError
            If a list fails that may succeed later, or if no namespace can be listed completely.
        """
        failed = await self.refresh()
        passing = [error for error in failed.values() if not isinstance(error, ForbiddenError | NotFoundError)]
        for error in passing or (() if self._known else failed.values()):
            raise error

    async def anew(self) -> None:
        """List all kinds again before anything is decided, because other processes may have written since.

        Raises
        ------
        ApiError
            As in :meth:`first`.
        """
        async with self._one:
            self._known.clear()
        await self.first()

    async def refresh(self) -> dict[Listing, ApiError]:
        """List all kinds again. Return the lists that failed. They are logged and do not affect the others."""
        async with self._one:
            return await self._refresh()

    async def _refresh(self) -> dict[Listing, ApiError]:
        failed = await resync(self._port, self._store, self._namespaces, self._note)
        for listing, error in failed.items():
            what, where = self._store.kinds[listing.kind].resource.plural, listing.namespace or "all namespaces"
            log.log(log_level(error), "cannot list %s in %s: %s; the other lists continue", what, where, error)
        for namespace in self._namespaces or (None,):
            errors = [error for listing, error in failed.items() if listing.namespace == namespace]
            if not errors and namespace not in self._known:
                self._known.add(namespace)
                self._on_known(namespace)
            gone = len(errors) == len(self._store.kinds) and all(isinstance(error, ForbiddenError) for error in errors)
            self._forbidden[namespace] = self._forbidden[namespace] + 1 if gone else 0
            if namespace is not None and self._forbidden[namespace] == FORGET_AFTER:
                self._forget(namespace)
        return failed

    def _forget(self, namespace: str) -> None:
        """Remove a namespace that is gone, or whose RoleBinding is gone. Its jobs must not hold slots."""
        log.warning(
            "the API server forbids all lists in namespace %s: its objects are ignored until a list is allowed",
            namespace,
        )
        for kind in self._store.kinds:
            self._store.prune(kind, self._store.names(kind, namespace), (), namespace)
        self._known.discard(namespace)

    def _note(self, kind: Kind, namespace: str | None) -> None:
        self._answered[Listing(kind, namespace)] = time.monotonic()
        self._listed(kind, namespace)

    def _age(self, listing: Listing) -> Callable[[], float]:
        return lambda: time.monotonic() - self._answered[listing]
