"""Waiting for what processes and files come to, within a bound."""

import asyncio
from collections.abc import Callable

import pytest

BOUND_SECONDS = 10


async def until(what: str, condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; the test fails with `what` when it does not."""
    try:
        async with asyncio.timeout(BOUND_SECONDS):
            while not condition():  # noqa: ASYNC110 - conditions on files and processes have no event
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(f"waited {BOUND_SECONDS} s for: {what}")
