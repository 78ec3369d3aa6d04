"""How a client on this machine reaches a Service while its pods change.

On a host node, this is the address of the Service, which kube-proxy serves. On the other nodes, the client follows the
selector of the Service in another way.
"""

import time
from collections.abc import Callable

from cluster import lifecycle
from cluster.kind_backend import KindBackend
from cluster.model import Cluster

Route = Callable[[], str]
"""Returns the base URL for the next request. Raises :class:`ClusterError` if no pod is ready."""

_KEPT_SECONDS = 1.0
"""A server answers for longer than this after SIGTERM."""


def service_route(cluster: Cluster, namespace: str, service: str, port: int) -> Route:
    """Return the function that a client calls before each request."""
    backend = lifecycle.backend(cluster.kind)

    def found() -> str:
        return f"http://{backend.service_address(cluster, namespace, service, port)}"

    match cluster.kind:
        case "kind":
            # This machine cannot always reach Docker's network. The API server forwards each request to a ready pod.
            path = f"api/v1/namespaces/{namespace}/services/{service}:{port}/proxy"
            fixed = f"http://{KindBackend().api_address(cluster)}/{path}"
        case "process":
            # A Service has no address here. So the client looks up its pods, as with DNS.
            return _looked_up(found)
        case "host" | "control-plane":
            fixed = found()
    return lambda: fixed


def _looked_up(find: Route) -> Route:
    known, until = "", 0.0

    def ask() -> str:
        nonlocal known, until
        if time.monotonic() >= until:
            known, until = find(), time.monotonic() + _KEPT_SECONDS
        return known

    return ask
