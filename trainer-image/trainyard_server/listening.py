"""The listening socket of the server. By default it accepts requests on every address of the pod."""

import errno
import socket

from trainyard_trainer.errors import ConfigError

_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
_ALL_IPV6 = "::"
_BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on one address. If ``host`` is empty, it listens on all of them, IPv4 and IPv6.

    A kubelet probes the pod's address, a client uses the Service, and ``kubectl port-forward`` connects to loopback. A
    node may have IPv4 alone, IPv6 alone or both.

    Raises
    ------
    ConfigError
        If the address is not one of this pod, or the port is in use.
    """
    try:
        return _on_one(host, port) if host else _on_all(port)
    except OSError as error:
        where = host or "all addresses"
        raise ConfigError(f"cannot listen on {where}, port {port}: {error.strerror or error}") from error


def _on_one(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


def _on_all(port: int) -> socket.socket:
    """Return one IPv6 socket that also accepts IPv4. If the kernel has no IPv6, return an IPv4 socket."""
    try:
        return socket.create_server((_ALL_IPV6, port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG)
    except OSError as error:
        if error.errno not in _NO_IPV6:
            raise
    return socket.create_server(("", port), backlog=_BACKLOG)
