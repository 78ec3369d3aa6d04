"""The cost of a scrape of a large cluster: its time, its size, and how long it blocks the event loop.

``python -m tests.benchmarks.scrape`` fills a store and renders ``/metrics`` as the operator does. A second task
measures how long the event loop is blocked.
"""

import argparse
import asyncio
import statistics
import time
from typing import Any

from trainyard_operator.core.plan import Kind
from trainyard_operator.runtime import metrics
from trainyard_operator.runtime.registry import KINDS
from trainyard_operator.runtime.store import Store

ROUNDS = 5
MOMENT = "2026-11-21T08:00:00Z"
REASONS = {"Succeeded": "Succeeded", "Failed": "BadData", "Queued": "ConcurrencyLimit", "Starting": "Starting"}


def filled(count: int) -> Store:
    """Return a store with ``count`` objects of each kind, in ten namespaces."""
    store, number = Store(KINDS), 0
    for index in range(count):
        name = f"model-{index:05d}"
        phase, reason = list(REASONS.items())[index % len(REASONS)]
        for kind, spec, status in _objects(name, phase, reason):
            number += 1
            metadata: dict[str, Any] = {"namespace": f"team-{index % 10}", "name": name, "uid": f"u-{number}"}
            if kind == "ModelVersion":
                metadata["name"] = f"{name}-v1"
            metadata |= {"resourceVersion": str(number), "creationTimestamp": MOMENT, "labels": {}}
            store.apply(kind, {"metadata": metadata, "spec": spec, "status": status})
    return store


def _objects(name: str, phase: str, reason: str) -> list[tuple[Kind, dict[str, Any], dict[str, Any]]]:
    ready = {"type": "Ready", "status": "True", "reason": reason, "message": "", "lastTransitionTime": MOMENT}
    failed = {**ready, "type": "Failed"}
    rated = {"model": name, "version": 1, "objectiveMetric": "mae", "objectiveValue": "1.25"}
    runs = dict.fromkeys(("lastAcceptedTime", "lastSuccessfulTime", "lastScheduleTime", "nextScheduleTime"), MOMENT)
    return [
        ("TrainingJob", {}, {"phase": phase, "conditions": [ready, failed]}),
        ("TrainingSchedule", {}, {"phase": "Active", "conditions": [ready], **runs}),
        ("ModelVersion", rated, {"phase": "Validated", "conditions": [ready]}),
        (
            "ModelDeployment",
            {"modelName": name},
            {"phase": "Serving", "activeVersion": 1, "activeTrainedTime": MOMENT, "conditions": [ready]},
        ),
    ]


async def scrape() -> tuple[float, float, bytes]:
    """Return the seconds of a scrape, the longest time for which it blocked other tasks, and the text.

    Both are seconds of this thread's CPU time, so other programs on the machine do not count.
    """
    longest, last, done = 0.0, time.thread_time(), False

    async def watch() -> None:
        nonlocal longest, last
        while not done:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, last = max(longest, now - last), now

    watcher = asyncio.create_task(watch())
    await asyncio.sleep(0)
    start = time.thread_time()
    text = await metrics.exposition()
    seconds, done = time.thread_time() - start, True
    await watcher
    return seconds, longest, text


async def main(counts: list[int]) -> None:
    """Print a row for each size."""
    print("| objects of each kind | series | MB | CPU s | longest block of the event loop, CPU ms |")
    print("|---|---|---|---|---|")
    for count in counts:
        metrics.expose(filled(count))
        rounds = [await scrape() for _ in range(ROUNDS)]
        text = rounds[0][2]
        series = sum(not line.startswith(b"#") for line in text.splitlines())
        seconds, longest = (statistics.median(each[part] for each in rounds) for part in (0, 1))
        print(f"| {count} | {series} | {len(text) / 1e6:.1f} | {seconds:.2f} | {longest * 1000:.0f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 1000, 10_000])
    asyncio.run(main(parser.parse_args().counts))
