"""What every test with killed operators needs at its end."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

LEAVE_SECONDS = 60


@pytest.fixture(autouse=True)
async def connections_end() -> AsyncIterator[None]:
    """Wait until connections that were cut off have taken leave by TLS: without an event loop none of them could."""
    before = sockets()
    yield
    try:
        async with asyncio.timeout(LEAVE_SECONDS):
            while sockets() - before:  # noqa: ASYNC110 - the end of a transport wakes nobody
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"{len(sockets() - before)} connections still open after {LEAVE_SECONDS} s") from None


def sockets() -> set[str]:
    """Return the sockets that this process has open."""
    found = set()
    for each in Path("/proc/self/fd").iterdir():
        try:
            found.add(str(each.readlink()))
        except FileNotFoundError:
            continue  # of the listing itself
    return {name for name in found if name.startswith("socket:")}
