"""Waiting for conditions, with a time limit."""

import asyncio
from collections.abc import Callable

import pytest

BOUND_SECONDS = 10


async def until(what: str, condition: Callable[[], bool]) -> None:
    """Wait until a condition holds. After the time limit, the test fails with `what`."""
    try:
        async with asyncio.timeout(BOUND_SECONDS):
            while not condition():  # noqa: ASYNC110 - conditions on files and processes have no event
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(f"waited {BOUND_SECONDS} s for: {what}")
