"""The addresses of the server: all addresses of both families, or the configured one."""

import errno
import socket
from typing import Any

import pytest

from trainyard_server.listening import listen
from trainyard_trainer.errors import ConfigError


def reached(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=5):
            return True
    except ConnectionRefusedError:
        return False


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "::1"])
def test_every_address_is_listened_on_by_default(address: str) -> None:
    with listen("", 0) as socket_of_all:
        assert reached(address, socket_of_all.getsockname()[1])


@pytest.mark.parametrize(("host", "other"), [("127.0.0.2", "127.0.0.1"), ("::1", "127.0.0.1")])
def test_other_addresses_are_free_if_one_is_configured(host: str, other: str) -> None:
    with listen(host, 0) as one:
        port = one.getsockname()[1]
        assert reached(host, port)
        assert not reached(other, port)


@pytest.mark.parametrize("code", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
def test_without_ipv6_in_the_kernel_ipv4_is_used(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    real = socket.create_server

    def without_ipv6(*arguments: Any, **options: Any) -> socket.socket:
        if options.get("family") == socket.AF_INET6:
            raise OSError(code, "no IPv6")
        return real(*arguments, **options)

    monkeypatch.setattr(socket, "create_server", without_ipv6)
    with listen("", 0) as ipv4:
        assert reached("127.0.0.1", ipv4.getsockname()[1])


@pytest.mark.parametrize("taken_by", ["", "127.0.0.1", "::1"])
def test_a_port_that_is_taken_on_any_address_is_an_error(taken_by: str) -> None:
    with listen(taken_by, 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on all addresses, port {port}: Address already in use"):
            listen("", port)


def test_an_address_of_another_pod_is_named_in_the_error() -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on 192\.0\.2\.1, port 8080: Cannot assign"):
        listen("192.0.2.1", 8080)
