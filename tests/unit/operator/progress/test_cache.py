import asyncio

import pytest

from trainyard_operator.progress.cache import TimedCache


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Source:
    calls = 0
    error: Exception | None = None

    async def load(self) -> int:
        self.calls += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return self.calls


async def test_a_result_is_kept_for_its_time() -> None:
    clock, source = Clock(), Source()
    cache: TimedCache[str, int] = TimedCache(60, 10, clock=clock)
    assert [await cache.get("a", source.load) for _ in range(3)] == [1, 1, 1]
    clock.now = 59.9
    assert await cache.get("a", source.load) == 1
    clock.now = 60
    assert await cache.get("a", source.load) == 2


async def test_the_oldest_entry_is_dropped() -> None:
    cache: TimedCache[int, int] = TimedCache(60, 3)
    source = Source()
    for key in range(10):
        await cache.get(key, source.load)
    assert len(cache) == 3
    assert await cache.get(9, source.load) == 10
    assert await cache.get(0, source.load) == 11


async def test_an_error_is_raised_for_all_waiters_and_not_kept() -> None:
    cache: TimedCache[str, int] = TimedCache(60, 3)
    source = Source()
    source.error = ValueError("no")
    results = await asyncio.gather(*(cache.get("a", source.load) for _ in range(3)), return_exceptions=True)
    assert [str(result) for result in results] == ["no"] * 3
    assert source.calls == 1
    source.error = None
    assert await cache.get("a", source.load) == 2


async def test_a_cancelled_waiter_does_not_fail_the_others() -> None:
    cache: TimedCache[str, int] = TimedCache(60, 3)
    source = Source()
    first = asyncio.ensure_future(cache.get("a", source.load))
    second = asyncio.ensure_future(cache.get("a", source.load))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second == 1
