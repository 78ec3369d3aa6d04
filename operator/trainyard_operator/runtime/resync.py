"""Lists: the first fill of the store, and the regular one that finds what a watch has lost."""

from typing import Final

from trainyard_api import meta
from trainyard_operator.kube.port import JOBS, TRAINING_JOBS, KubePort, Resource
from trainyard_operator.runtime.keys import Key
from trainyard_operator.runtime.store import Kind, Store

_LISTED: Final[tuple[tuple[Kind, Resource, str], ...]] = (
    ("TrainingJob", TRAINING_JOBS, ""),
    ("Job", JOBS, f"{meta.MANAGED_BY_LABEL}={meta.MANAGED_BY}"),
)


async def resync(port: KubePort, store: Store, namespaces: tuple[str, ...]) -> set[Key]:
    """List everything into the store and drop what is gone; return the TrainingJobs that something happened to.

    kopf never reports a deletion that fell into a broken watch, so this is the only way to learn of one. ``namespaces``
    empty means all. Raises :class:`~trainyard_operator.kube.errors.ApiError`.
    """
    concerned: set[Key] = set()
    for kind, resource, selector in _LISTED:
        before = store.names(kind)
        listed: list[Key] = []
        for namespace in namespaces or (None,):
            async for body in port.list(resource, namespace, selector=selector):
                listed.append(Key(body["metadata"]["namespace"], body["metadata"]["name"]))
                key = store.apply(kind, body)
                if key is not None:
                    concerned.add(key)
        concerned |= store.prune(kind, before, listed)
    return concerned
