"""Loopback addresses: 127.N.0.1 is the node, and the pods have the addresses from 127.N.1.0.

The node listens on port 21250 of 127.N.0.1. While it does, no other node can take the same N, so several clusters on
one machine have different networks.
"""

import errno
import itertools
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address

from cluster.model import ClusterError

NODE_PORT = 21250
_NETWORKS = range(64, 255)


def node_addresses() -> tuple[str, ...]:
    """Return all possible addresses of a node, for its certificate: N is known only when the node starts."""
    return tuple(f"127.{number}.0.1" for number in _NETWORKS)


def pod_addresses(node_address: str) -> Iterator[str]:
    """Yield an address for each new pod. No address is used twice."""
    first = IPv4Address(node_address) + 255
    return (str(first + offset) for offset in itertools.count())


def claim_address() -> tuple[socket.socket, str]:
    """Return the first free address of a node, and a socket that listens there. Raises :class:`ClusterError`."""
    for address in node_addresses():
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, NODE_PORT))
            listener.listen()
        except OSError as error:
            listener.close()
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return listener, address
    raise ClusterError(
        f"port {NODE_PORT} is in use on all addresses from {node_addresses()[0]} to {node_addresses()[-1]}: "
        "take down a cluster that you do not need"
    )
