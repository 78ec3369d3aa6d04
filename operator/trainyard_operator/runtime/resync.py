"""Lists: the first fill of the store, and the regular one that finds what a watch has lost."""

from trainyard_operator.kube.port import KubePort
from trainyard_operator.kube.watched import WATCHED
from trainyard_operator.runtime.keys import Key
from trainyard_operator.runtime.store import Store


async def resync(port: KubePort, store: Store, namespaces: tuple[str, ...]) -> set[Key]:
    """List everything into the store and drop what is gone; return whose decisions that may change.

    kopf never reports a deletion that fell into a broken watch, so this is the only way to learn of one. ``namespaces``
    empty means all. Raises :class:`~trainyard_operator.kube.errors.ApiError`.
    """
    keys: set[Key] = set()
    for kind, watched in WATCHED.items():
        before = store.names(kind)
        listed: list[Key] = []
        for namespace in namespaces or (None,):
            async for body in port.list(watched.resource, namespace, selector=watched.selector):
                listed.append(Key(body["metadata"]["namespace"], body["metadata"]["name"], kind))
                keys |= store.apply(kind, body)
        keys |= store.prune(kind, before, listed)
    return keys
