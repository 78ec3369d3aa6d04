"""Where a server of ours listens: one socket for IPv4 and IPv6, so that one default fits every cluster."""

import socket
import ssl

from aiohttp import web

BACKLOG = 128


def site(runner: web.AppRunner, bind: str, port: int, tls: ssl.SSLContext | None = None) -> web.BaseSite:
    """Return what listens on one address, or on all of the pod where ``bind`` is empty.

    Raises
    ------
    OSError
        When the port is taken.
    """
    if bind:
        return web.TCPSite(runner, bind, port, ssl_context=tls, backlog=BACKLOG)
    return web.SockSite(runner, all_addresses(port), ssl_context=tls, backlog=BACKLOG)


def all_addresses(port: int) -> socket.socket:
    """Return a socket on all addresses of both families, or of IPv4 where the kernel has no IPv6."""
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError:  # compiled in, switched off; or the port is taken, which the next line tells
            return socket.create_server(("", port))
    return socket.create_server(("", port))
