"""The work queue: each key once, one worker per key, nothing lost, and new objects first without starving others."""

import asyncio
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainyard_operator.core.plan import Kind
from trainyard_operator.kinds.base import Key
from trainyard_operator.runtime.queue import BACKOFF_LIMIT, NEW_SHARE, WorkQueue
from trainyard_operator.runtime.registry import SHARES

A, B, C = (Key("ns", name) for name in "abc")


async def drained(queue: WorkQueue, at_most: int = sys.maxsize) -> list[str]:
    """Take and finish all queued keys, or at most so many, and return their names in order."""
    order: list[str] = []
    while len(queue) and len(order) < at_most:
        key = await queue.get()
        order.append(key.name)
        queue.done(key)
    return order


async def test_a_key_is_queued_once() -> None:
    queue = WorkQueue(SHARES)
    for key in (A, B, A, A):
        queue.add(key)
    assert await drained(queue) == ["a", "b"]


async def test_a_key_added_while_active_runs_again() -> None:
    queue = WorkQueue(SHARES)
    queue.add(A)
    key = await queue.get()
    queue.add(A)
    queue.add(A, new=True)
    assert len(queue) == 0, "never two workers on one key"
    queue.done(key)
    assert await drained(queue) == ["a"]


async def test_new_objects_go_first() -> None:
    queue = WorkQueue(SHARES)
    queue.add(A)
    queue.add(B)
    queue.add(C, new=True)
    queue.add(B, new=True)
    assert await drained(queue) == ["c", "b", "a"]


def many(kind: Kind, count: int = 1000) -> list[Key]:
    return [Key("ns", f"{kind}-{number}", kind) for number in range(count)]


def crowded() -> WorkQueue:
    """Return a queue with thousands of keys of every kind but ModelDeployment."""
    queue = WorkQueue(SHARES)
    for key in many("TrainingJob", 2000):
        queue.add(key, new=key.name.endswith(("0", "2", "4", "6", "8")))
    for key in (*many("ModelVersion"), *many("TrainingSchedule")):
        queue.add(key)
    return queue


async def test_new_objects_do_not_starve_others() -> None:
    queue = WorkQueue(SHARES)
    queue.add(A)
    for key in many("TrainingJob"):
        queue.add(key, new=True)
    assert (await drained(queue)).index("a") == NEW_SHARE - 1


@pytest.mark.parametrize("taken", [0, 1, 2, 7, 100, 1234])
async def test_a_model_deployment_does_not_wait_for_a_burst(taken: int) -> None:
    queue, others = crowded(), len(SHARES)
    for _ in range(taken):
        queue.done(await queue.get())
    for _ in range(3):  # again after the key was idle
        queue.add(Key("ns", "shop", "ModelDeployment"))
        assert (await drained(queue, others + 1)).count("shop") == 1


async def test_model_deployments_do_not_starve_new_objects() -> None:
    queue = crowded()
    for key in many("ModelDeployment"):
        queue.add(key)
    kinds = Counter(name.partition("-")[0] for name in await drained(queue, 810))
    assert kinds == {"ModelDeployment": 320, "TrainingJob": 330, "ModelVersion": 80, "TrainingSchedule": 80}


async def test_an_idle_lane_accumulates_no_credit() -> None:
    queue = WorkQueue(SHARES)
    for key in many("TrainingJob"):
        queue.add(key)
    await drained(queue, 500)
    for key in many("ModelDeployment", 100):
        queue.add(key)
    kinds = [name.partition("-")[0] for name in await drained(queue, 66)]
    assert kinds.count("TrainingJob") == 2, "one for each 32 of the other kind, from now on"


async def test_a_waiting_worker_is_woken() -> None:
    queue = WorkQueue(SHARES)
    workers = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    for key in (A, B, C):
        queue.add(key)
    async with asyncio.timeout(1):
        assert set(await asyncio.gather(*workers)) == {A, B, C}


async def test_the_earliest_delay_is_kept() -> None:
    queue = WorkQueue(SHARES)
    queue.add_after(A, 60)
    queue.add_after(A, 0.01)
    queue.add_after(A, 60)
    async with asyncio.timeout(1):
        assert await queue.get() == A
    queue.close()


async def test_a_delay_that_ends_while_the_key_is_active_is_not_lost() -> None:
    queue = WorkQueue(SHARES)
    queue.add(A)
    key = await queue.get()
    queue.add_after(A, 0)
    await asyncio.sleep(0.01)
    queue.done(key)
    assert await drained(queue) == ["a"]


async def test_failures_back_off_until_a_success() -> None:
    queue = WorkQueue(SHARES)
    pauses = [queue.failed(A) for _ in range(12)]
    assert pauses[:4] == [0.2, 0.4, 0.8, 1.6]
    assert pauses[-1] == BACKOFF_LIMIT
    assert queue.failed(B, at_least=7) == 7, "as the server asked"
    queue.succeeded(A)
    assert queue.failed(A) == 0.2
    queue.close()


async def test_forgotten_and_closed_keys_are_not_queued_again() -> None:
    queue = WorkQueue(SHARES)
    queue.add_after(A, 0.01)
    queue.add_after(B, 0.01)
    queue.forget(A)
    queue.close()
    await asyncio.sleep(0.03)
    assert len(queue) == 0


async def test_the_start_of_the_oldest_active_key_is_known() -> None:
    queue = WorkQueue(SHARES)
    queue.add(A)
    key = await queue.get()
    began = queue.oldest_active
    queue.done(key)
    assert (began is not None, queue.oldest_active) == (True, None)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([A, B, C]), st.booleans(), st.integers(0, 2)), max_size=40))
def test_every_added_key_is_processed(adds: list[tuple[Key, bool, int]]) -> None:
    """After the last add of a key, a worker takes that key at least once."""

    async def scenario() -> None:
        queue, reconciles, active = WorkQueue(SHARES), Counter[Key](), Counter[Key]()
        seen_after: dict[Key, int] = {}

        async def work() -> None:
            while True:
                key = await queue.get()
                active[key] += 1
                assert active[key] == 1
                reconciles[key] += 1
                seen_after[key] = clock
                await asyncio.sleep(0)
                active[key] -= 1
                queue.done(key)

        clock = 0
        workers = [asyncio.create_task(work()) for _ in range(3)]
        last: dict[Key, int] = {}
        for clock, (key, new, pause) in enumerate(adds, start=1):
            queue.add(key, new=new)
            last[key] = clock
            for _ in range(pause):
                await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        for worker in workers:
            assert not worker.done()
            worker.cancel()
        assert len(queue) == 0
        assert all(seen_after[key] >= moment for key, moment in last.items())

    asyncio.run(scenario())
