"""Sockets of the servers: one for IPv4 and IPv6, so that one default works in every cluster."""

import socket
import ssl

from aiohttp import web

BACKLOG = 128


def site(runner: web.AppRunner, bind: str, port: int, tls: ssl.SSLContext | None = None) -> web.BaseSite:
    """Return a site that listens on one address, or on all addresses of the pod if ``bind`` is empty.

    Raises
    ------
    OSError
        If the port is in use.
    """
    if bind:
        return web.TCPSite(runner, bind, port, ssl_context=tls, backlog=BACKLOG)
    return web.SockSite(runner, all_addresses(port), ssl_context=tls, backlog=BACKLOG)


def all_addresses(port: int) -> socket.socket:
    """Return a socket on all addresses of both families, or of IPv4 if the kernel has no IPv6."""
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError:  # IPv6 is disabled, or the port is in use; the next line raises in the latter case
            return socket.create_server(("", port))
    return socket.create_server(("", port))
