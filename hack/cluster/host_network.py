"""How a node's network namespace is joined to this machine: one veth pair and one route per cluster.

A cluster has a /16 of its own, so pods and Services are reached from this machine at their own addresses, and several
clusters do not meet.
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
from cluster.state import only_one

_NUMBERS = range(130, 250)
_ALIAS_LIMIT = 250
_LOCK = Path("/run/trainyard-networks.lock")
_INTERFACE = "trainyard"
_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
_FORWARD_BEFORE = Path("/run/trainyard-ip-forward-before")


@dataclass(frozen=True)
class Network:
    """The addresses of one cluster, all from its number."""

    number: int

    @property
    def interface(self) -> str:
        """Our end of the veth pair."""
        return f"{_INTERFACE}{self.number}"

    @property
    def peer(self) -> str:
        """The node's end, until it is there and gets a shorter name."""
        return f"{self.interface}n"

    @property
    def range(self) -> str:
        """All of it."""
        return f"10.{self.number}.0.0/16"

    @property
    def host_ip(self) -> str:
        """Our end of the pair."""
        return f"10.{self.number}.0.1"

    @property
    def node_ip(self) -> str:
        """The node's end of the pair."""
        return f"10.{self.number}.0.2"

    @property
    def services(self) -> str:
        """Where Services get their addresses."""
        return f"10.{self.number}.64.0/18"

    @property
    def dns_ip(self) -> str:
        """The Service of CoreDNS."""
        return f"10.{self.number}.64.10"

    @property
    def pods(self) -> str:
        """Where pods get their addresses."""
        return f"10.{self.number}.128.0/17"


def routed() -> list[str]:
    """Return where this machine has routes to, besides the default route."""
    routes = json.loads(run(("ip", "-json", "-4", "route", "show", "table", "all")))
    return [route["dst"] for route in routes if route["dst"] != "default"]


def first_free(taken: Iterable[int], destinations: Iterable[str]) -> Network:
    """Return a network that no recorded cluster has, running or not, and that no route leads into.

    Raises
    ------
    ClusterError
        When there is none.
    """
    known = set(taken)
    used = [ip_network(to) for to in destinations]
    for number in _NUMBERS:
        network = Network(number)
        if number not in known and not any(ip_network(network.range).overlaps(to) for to in used):
            return network
    raise ClusterError("10.130.0.0/16 to 10.249.0.0/16 are all in use here: take down a cluster that is not needed")


@contextmanager
def choosing() -> Iterator[None]:
    """Let only one cluster of this machine choose and :func:`claim` at a time, of whatever user or checkout."""
    with only_one(_LOCK):
        yield


def claim(network: Network, owner: Path) -> None:
    """Make our end of the pair; that it is there tells others to keep off. ``owner`` is the cluster's folder."""
    run(("ip", "link", "add", network.interface, "type", "veth", "peer", "name", network.peer))
    run(("ip", "link", "set", network.interface, "alias", str(owner)[-_ALIAS_LIMIT:]))
    run(("ip", "address", "add", f"{network.host_ip}/30", "dev", network.interface))
    run(("ip", "link", "set", network.interface, "up"))
    run(("ip", "route", "add", network.range, "via", network.node_ip))


def connect(network: Network, namespace: Namespace) -> None:
    """Join the namespace to this machine, and let its packets out by this machine's address."""
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
    """Undo :func:`claim` and :func:`connect`; what is not there, or has become another cluster's, is left alone."""
    device = Path(f"/sys/class/net/{network.interface}")
    if device.exists() and (device / "ifalias").read_text().strip() != str(owner)[-_ALIAS_LIMIT:]:
        return
    for rule in _rules(network):
        while succeeds(("iptables", "--wait", "--table", rule[0], "--delete", *rule[1:])):
            pass
    # The kernel takes it by itself, at its leisure, once the node's network namespace has ended.
    if device.exists() and not succeeds(("ip", "link", "delete", network.interface)) and device.exists():
        raise ClusterError(f"the network interface {network.interface} of {owner} cannot be deleted")


def in_use() -> bool:
    """Tell whether any cluster is joined to this machine, of whatever user or checkout."""
    return any(Path("/sys/class/net").glob(f"{_INTERFACE}*"))


def allow_forwarding() -> None:
    """Let this machine pass packets on between interfaces, and note how that was set before."""
    before = _FORWARD.read_text().strip()
    if before != "1":
        _FORWARD_BEFORE.write_text(before)
        _FORWARD.write_text("1")


def restore_forwarding() -> None:
    """Set forwarding as it was before the first cluster came."""
    if _FORWARD_BEFORE.exists():
        _FORWARD.write_text(_FORWARD_BEFORE.read_text())
        _FORWARD_BEFORE.unlink()


def _rules(network: Network) -> tuple[tuple[str, ...], ...]:
    """Table, chain and rule. A Docker daemon sets the policy of FORWARD to DROP, so passing has to be allowed."""
    return (
        ("nat", "POSTROUTING", "-s", network.range, "!", "-o", network.interface, "-j", "MASQUERADE"),
        ("filter", "FORWARD", "-i", network.interface, "-j", "ACCEPT"),
        ("filter", "FORWARD", "-o", network.interface, "-j", "ACCEPT"),
    )
