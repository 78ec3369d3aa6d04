"""Loopback addresses of the node and its pods: 127.N.0.1 is the node, the rest of 127.N.0.0/16 is its pods'.

Holding the listening socket of the log server at 127.N.0.1 is the claim on N: the kernel gives it to one node at a time
and takes it back when the node dies, so that several clusters on one machine need no other agreement.
"""

import errno
import hashlib
import socket
from collections.abc import Container
from ipaddress import IPv4Address
from typing import NamedTuple

from cluster.process_node.podspec import Json

NODE_PORT = 21250
_FIRST_NETWORK, _LAST_NETWORK = 64, 254
_POD_SPACE = 255 * 256
"""Pods have 127.N.1.0 to 127.N.255.255."""


class NoNetworkError(Exception):
    """Every loopback network is taken."""


def node_addresses() -> tuple[str, ...]:
    """Every address that a node can get, for its certificate: which one it will be is known only when it starts."""
    return tuple(f"127.{number}.0.1" for number in range(_FIRST_NETWORK, _LAST_NETWORK + 1))


def claim_network() -> tuple[socket.socket, int]:
    """Claim the first free loopback network; returns the bound socket and N.

    Raises
    ------
    NoNetworkError
        None is free.
    """
    for number in range(_FIRST_NETWORK, _LAST_NETWORK + 1):
        claim = socket.socket()
        claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            claim.bind((f"127.{number}.0.1", NODE_PORT))
            claim.listen()
        except OSError as error:
            claim.close()
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return claim, number
    span = f"127.{_FIRST_NETWORK}.0.1 to 127.{_LAST_NETWORK}.0.1"
    raise NoNetworkError(f"port {NODE_PORT} is taken on all of {span}: take down a cluster that is not used")


class Given(NamedTuple):
    """An address, and the leaving pod whose processes have to end before it can be used."""

    address: str
    after: str | None


class PodAddresses:
    """Gives each pod an address of its own.

    There is no Service network, so an address should outlast a pod that is replaced: the choice depends only on the
    workload that the pod belongs to, and its next pod gets the same one again, from a pod that is leaving too.
    """

    def __init__(self, network: int) -> None:
        self._base = int(IPv4Address(f"127.{network}.1.0"))
        self._owners: dict[int, str] = {}

    def give(self, raw: Json, leaving: Container[str] = ()) -> Given:
        """Give a pod its address: the one of this network that it already has, else the workload's next free.

        ``leaving`` holds the uids of pods that are being deleted, whose addresses can be had.
        """
        metadata = raw["metadata"]
        uid = metadata["uid"]
        held = raw.get("status", {}).get("podIP")
        wanted = int(IPv4Address(held)) - self._base if held else -1
        if not 0 <= wanted < _POD_SPACE or self._owners.get(wanted, uid) != uid:
            workload = f"{metadata['namespace']}/{metadata.get('generateName') or metadata['name']}"
            wanted = int.from_bytes(hashlib.sha256(workload.encode()).digest()[:4]) % _POD_SPACE
            while (owner := self._owners.get(wanted, uid)) != uid and owner not in leaving:
                wanted = (wanted + 1) % _POD_SPACE
        before = self._owners.get(wanted)
        self._owners[wanted] = uid
        return Given(str(IPv4Address(self._base + wanted)), None if before == uid else before)

    def take_back(self, uid: str) -> None:
        """Free the address of a pod that is gone."""
        self._owners = {offset: owner for offset, owner in self._owners.items() if owner != uid}
