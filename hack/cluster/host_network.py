"""The connection of a node's network namespace to this machine: one veth pair and one route for each cluster.

Each cluster has its own /16 range. So this machine reaches pods and Services at their own addresses, and the addresses
of two clusters do not overlap.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

from cluster.commands import run, succeeds
from cluster.host_namespace import Namespace
from cluster.model import ClusterError
from cluster.state import exclusive_lock

_NUMBERS = range(130, 250)
_ALIAS_LIMIT = 250
_LOCK = Path("/run/trainyard-networks.lock")
_INTERFACE = "trainyard"
_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
_FORWARD_BEFORE = Path("/run/trainyard-ip-forward-before")


@dataclass(frozen=True)
class Network:
    """The addresses of one cluster, which follow from its number."""

    number: int

    @property
    def interface(self) -> str:
        """This machine's end of the veth pair."""
        return f"{_INTERFACE}{self.number}"

    @property
    def peer(self) -> str:
        """The node's end, before it is moved to the node and renamed."""
        return f"{self.interface}n"

    @property
    def range(self) -> str:
        """All addresses of the cluster."""
        return f"10.{self.number}.0.0/16"

    @property
    def host_ip(self) -> str:
        """The address of this machine's end."""
        return f"10.{self.number}.0.1"

    @property
    def node_ip(self) -> str:
        """The address of the node's end."""
        return f"10.{self.number}.0.2"

    @property
    def services(self) -> str:
        """The addresses of Services."""
        return f"10.{self.number}.64.0/18"

    @property
    def dns_ip(self) -> str:
        """The address of the Service of CoreDNS."""
        return f"10.{self.number}.64.10"

    @property
    def pods(self) -> str:
        """The addresses of pods."""
        return f"10.{self.number}.128.0/17"


def routed() -> list[str]:
    """Return the destinations of this machine's routes, without the default route."""
    routes = json.loads(run(("ip", "-json", "-4", "route", "show", "table", "all")))
    return [route["dst"] for route in routes if route["dst"] != "default"]


def first_free(taken: Iterable[int], destinations: Iterable[str]) -> Network:
    """Return a network that no recorded cluster has and no route overlaps. Raises :class:`ClusterError`."""
    known = set(taken)
    used = [ip_network(to) for to in destinations]
    for number in _NUMBERS:
        network = Network(number)
        if number not in known and not any(ip_network(network.range).overlaps(to) for to in used):
            return network
    raise ClusterError(
        "all networks from 10.130.0.0/16 to 10.249.0.0/16 are in use: take down a cluster that you do not need"
    )


@contextmanager
def locked() -> Iterator[None]:
    """Let only one cluster of this machine choose and :func:`claim` a network at a time."""
    with exclusive_lock(_LOCK):
        yield


def claim(network: Network, owner: Path) -> None:
    """Create the veth pair, which reserves the network. ``owner`` is the folder of the cluster."""
    run(("ip", "link", "add", network.interface, "type", "veth", "peer", "name", network.peer))
    run(("ip", "link", "set", network.interface, "alias", str(owner)[-_ALIAS_LIMIT:]))
    run(("ip", "address", "add", f"{network.host_ip}/30", "dev", network.interface))
    run(("ip", "link", "set", network.interface, "up"))
    run(("ip", "route", "add", network.range, "via", network.node_ip))


def connect(network: Network, namespace: Namespace) -> None:
    """Connect the namespace to this machine. Its packets leave with the address of this machine."""
    run(("ip", "link", "set", network.peer, "netns", str(namespace.pid())))
    for command in (
        ("ip", "link", "set", network.peer, "name", "eth0"),
        ("ip", "address", "add", f"{network.node_ip}/30", "dev", "eth0"),
        ("ip", "link", "set", "eth0", "up"),
        ("ip", "route", "add", "default", "via", network.host_ip),
        ("sh", "-c", f"echo 1 > {_FORWARD}"),
    ):
        namespace.run(command)
    for rule in _rules(network):
        run(("iptables", "--wait", "--table", rule[0], "--insert", *rule[1:]))


def disconnect(network: Network, owner: Path) -> None:
    """Undo :func:`claim` and :func:`connect`, unless the network belongs to another cluster."""
    device = Path(f"/sys/class/net/{network.interface}")
    if device.exists() and (device / "ifalias").read_text().strip() != str(owner)[-_ALIAS_LIMIT:]:
        return
    for rule in _rules(network):
        while succeeds(("iptables", "--wait", "--table", rule[0], "--delete", *rule[1:])):
            pass
    # The kernel may also delete it, after the network namespace of the node has ended.
    if device.exists() and not succeeds(("ip", "link", "delete", network.interface)) and device.exists():
        raise ClusterError(f"the network interface {network.interface} of {owner} cannot be deleted")


def in_use() -> bool:
    """Return whether any cluster is connected to this machine."""
    return any(Path("/sys/class/net").glob(f"{_INTERFACE}*"))


def allow_forwarding() -> None:
    """Enable IP forwarding on this machine, and record the earlier setting."""
    before = _FORWARD.read_text().strip()
    if before != "1":
        _FORWARD_BEFORE.write_text(before)
        _FORWARD.write_text("1")


def restore_forwarding() -> None:
    """Restore the setting of IP forwarding before the first cluster."""
    if _FORWARD_BEFORE.exists():
        _FORWARD.write_text(_FORWARD_BEFORE.read_text())
        _FORWARD_BEFORE.unlink()


def _rules(network: Network) -> tuple[tuple[str, ...], ...]:
    """Return table, chain and rule. A Docker daemon sets the policy of FORWARD to DROP, so we need two rules there."""
    return (
        ("nat", "POSTROUTING", "-s", network.range, "!", "-o", network.interface, "-j", "MASQUERADE"),
        ("filter", "FORWARD", "-i", network.interface, "-j", "ACCEPT"),
        ("filter", "FORWARD", "-o", network.interface, "-j", "ACCEPT"),
    )
