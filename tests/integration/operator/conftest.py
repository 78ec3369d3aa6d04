"""A fixture for all tests of this folder: wait until the connections of killed operators are closed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

CLOSE_SECONDS = 60


@pytest.fixture(autouse=True)
async def wait_for_closed_connections() -> AsyncIterator[None]:
    """Wait until cut-off connections have closed their TLS session. They need the event loop for this."""
    before = sockets()
    yield
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            while sockets() - before:  # noqa: ASYNC110 - the end of a transport wakes nobody
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"{len(sockets() - before)} connections still open after {CLOSE_SECONDS} s") from None


def sockets() -> set[str]:
    """Return the sockets that this process has open."""
    found = set()
    for each in Path("/proc/self/fd").iterdir():
        try:
            found.add(str(each.readlink()))
        except FileNotFoundError:
            continue  # the descriptor of this listing
    return {name for name in found if name.startswith("socket:")}
