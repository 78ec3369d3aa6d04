"""Lists: the first fill of the store, and the regular one that finds what a watch has lost."""

from collections.abc import Callable

from trainyard_operator.kube.port import KubePort
from trainyard_operator.kube.watched import WATCHED, Kind
from trainyard_operator.runtime.keys import Key
from trainyard_operator.runtime.store import Store

Listed = Callable[[Kind, str | None], None]
"""Told of each list that the API server answered whole: its kind, and its namespace, ``None`` for all of them."""


def nobody(kind: Kind, namespace: str | None) -> None:
    """Take note of nothing."""


async def resync(port: KubePort, store: Store, namespaces: tuple[str, ...], listed: Listed = nobody) -> set[Key]:
    """List everything into the store and drop what is gone; return whose decisions that may change.

    kopf never reports a deletion that fell into a broken watch, so this is the only way to learn of one. ``namespaces``
    empty means all. Raises :class:`~trainyard_operator.kube.errors.ApiError`.
    """
    keys: set[Key] = set()
    for kind, watched in WATCHED.items():
        before = store.names(kind)
        found: list[Key] = []
        for namespace in namespaces or (None,):
            async for body in port.list(watched.resource, namespace, selector=watched.selector):
                found.append(Key(body["metadata"]["namespace"], body["metadata"]["name"], kind))
                keys |= store.apply(kind, body)
            listed(kind, namespace)
        keys |= store.prune(kind, before, found)
    return keys
