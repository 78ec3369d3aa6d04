"""One default address that accepts probes and reports by IPv4 and IPv6."""

import asyncio
import socket

import pytest

from trainyard_operator.core.config import HealthServer, ProgressServer
from trainyard_operator.progress.listening import all_addresses
from trainyard_operator.shell.probes import Probes


async def accepts_connections(family: socket.AddressFamily, host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port, family=family)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


async def test_the_default_listens_on_both_families() -> None:
    assert HealthServer().bind == ProgressServer().bind == ""
    probes = Probes(HealthServer(port=0), health=lambda: None, readiness=lambda: None)
    await probes.start()
    try:
        assert await accepts_connections(socket.AF_INET, "127.0.0.1", probes.port)
        assert await accepts_connections(socket.AF_INET6, "::1", probes.port) == has_ipv6()
    finally:
        await probes.stop()


async def test_a_configured_address_is_the_only_one() -> None:
    probes = Probes(HealthServer(port=0, bind="127.0.0.1"), health=lambda: None, readiness=lambda: None)
    await probes.start()
    try:
        assert await accepts_connections(socket.AF_INET, "127.0.0.1", probes.port)
        assert not await accepts_connections(socket.AF_INET6, "::1", probes.port)
    finally:
        await probes.stop()


def test_without_ipv6_it_listens_on_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    create = socket.create_server

    def create_without_ipv6(
        address: tuple[str, int], *, family: int = socket.AF_INET, **options: bool
    ) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(99, "Cannot assign requested address")
        return create(address, family=family, **options)

    monkeypatch.setattr(socket, "create_server", create_without_ipv6)
    with all_addresses(0) as listening:
        assert listening.family == socket.AF_INET


def test_a_port_in_use_is_an_error() -> None:
    with all_addresses(0) as listening, pytest.raises(OSError, match="in use"):
        all_addresses(listening.getsockname()[1])
