"""How a client on this machine reaches a Service while the pods behind it come and go.

A node of this machine has the real thing: the Service's own address, which kube-proxy serves. The others come as near
as they can, and each follows the Service's selector.
"""

import time
from collections.abc import Callable

from cluster import lifecycle
from cluster.kind_backend import KindBackend
from cluster.model import Cluster

Route = Callable[[], str]
"""Returns the base URL for the next request. Raises :class:`ClusterError` when nothing answers there."""

_KEPT_SECONDS = 1.0
"""A server that is told to end answers for longer than this."""


def service_route(cluster: Cluster, namespace: str, service: str, port: int) -> Route:
    """Return what to ask before each request."""
    backend = lifecycle.backend(cluster.kind)

    def found() -> str:
        return f"http://{backend.service_address(cluster, namespace, service, port)}"

    match cluster.kind:
        case "kind":
            # Docker's network is not always reachable from here; the API server carries each request to a ready pod.
            path = f"api/v1/namespaces/{namespace}/services/{service}:{port}/proxy"
            fixed = f"http://{KindBackend().api_address(cluster)}/{path}"
        case "process":
            # No network to put the Service's address on: we ask who is behind it, as a client with DNS would.
            return _asked_anew(found)
        case "host" | "control-plane":
            fixed = found()
    return lambda: fixed


def _asked_anew(find: Route) -> Route:
    known, until = "", 0.0

    def ask() -> str:
        nonlocal known, until
        if time.monotonic() >= until:
            known, until = find(), time.monotonic() + _KEPT_SECONDS
        return known

    return ask
