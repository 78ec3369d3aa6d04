"""Many TrainingJobs through few places: what a queue costs, on a real API server with the operator as its own process.

``python -m tests.benchmarks.admission`` applies them all by 20 connections. No pod runs, and no controller but ours: as
soon as a Job is there, the driver ends it, so that the next may start. So the figure is how fast places are given, as
Kueue's own benchmark has it. Plain Jobs by the same driver stand beside it. Prints a table.
"""

import argparse
import asyncio
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from cluster.model import Cluster
from tests.benchmarks.burst import (
    CONNECTIONS,
    JOBS,
    TRAINING_JOBS,
    HostClock,
    control_plane,
    cpu_seconds,
    operator,
    plain_job,
    rss_mib,
    training_job,
    wait_quiet,
    writes,
)
from tests.benchmarks.load import Load, Measured
from trainyard_api import meta
from trainyard_operator.kube.credentials import load_credentials

CONTROLLERS = ("serviceaccount-controller",)
"""All that runs beside the operator: nothing that would make pods of a Job, or end it."""
SECONDS = 3600.0

HEAD = (
    "| n | places | last Job s | starts/s | plain Jobs/s | ratio | cores elsewhere | writes/job | of them status "
    "| CPU ms/job | RSS MiB |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=15_000, help="TrainingJobs in all")
    parser.add_argument("--places", type=int, nargs="*", default=[500], help="maxConcurrentJobs; 0: no limit")
    parser.add_argument("--profile", type=Path, help="run the operator under cProfile and write its figures here")
    options = parser.parse_args()
    print(HEAD)
    for places in options.places:
        print(measure(options.jobs, places, options.profile), flush=True)


def measure(n: int, places: int, profile: Path | None = None) -> str:
    """Run once on a fresh control plane and return a line of the table."""
    with tempfile.TemporaryDirectory() as folder, control_plane(Path(folder), *CONTROLLERS) as (cluster, audit):
        plain = asyncio.run(drive(cluster, [plain_job(number) for number in range(n)], JOBS))
    with tempfile.TemporaryDirectory() as folder, control_plane(Path(folder), *CONTROLLERS) as (cluster, audit):
        limits = {"admission": {"maxConcurrentJobs": places}}
        with operator(cluster, Path(folder), profile, limits) as pid:
            wait_quiet(audit)
            before, cpu, clock = writes(audit), cpu_seconds(pid), HostClock(cluster, pid)
            measured = asyncio.run(drive(cluster, [training_job(number) for number in range(n)], TRAINING_JOBS))
            elsewhere = clock.elsewhere()
            wait_quiet(audit)
            counts = writes(audit) - before
            cells = [
                *(str(n), str(places or "-"), f"{max(measured.seen.values()) - measured.began:.2f}"),
                *(f"{measured.per_second:.0f}", f"{plain.per_second:.0f}"),
                *(f"{measured.per_second / plain.per_second:.2f}", f"{elsewhere:.1f}", f"{counts.total() / n:.2f}"),
                *(f"{counts['patch trainingjobs/status'] / n:.2f}", f"{1000 * (cpu_seconds(pid) - cpu) / n:.1f}"),
                f"{rss_mib(pid):.0f}",
            ]
    return f"| {' | '.join(cells)} |"


async def drive(cluster: Cluster, bodies: list[dict[str, Any]], path: str) -> Measured:
    """Create them all, and end the Job of each TrainingJob as soon as it is seen."""
    load, ends = Load(cluster.kubeconfig, CONNECTIONS), Ends(cluster)

    def name_of(metadata: dict[str, Any]) -> str | None:
        if path == JOBS:
            return str(metadata["name"])
        name: str | None = metadata.get("labels", {}).get(meta.JOB_LABEL)
        if name is not None:
            ends.end(metadata["name"])
        return name

    try:
        measured = await load.run(bodies, path, JOBS, name_of, rate=0, seconds=SECONDS)
        await ends.all()
    finally:
        await load.close()
        await ends.close()
    return measured


class Ends:
    """What stands for the pods: it ends each Job once, by a time limit, so that no pod is asked why."""

    def __init__(self, cluster: Cluster) -> None:
        credentials = load_credentials({"KUBECONFIG": str(cluster.kubeconfig)})
        tls = credentials.tls if credentials.tls is not None else True
        self._server = credentials.server
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls, limit=CONNECTIONS))
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def end(self, name: str) -> None:
        """Begin to end a Job, unless that was done before."""
        if name not in self._tasks:
            self._tasks[name] = asyncio.create_task(self._end(name))

    async def all(self) -> None:
        """Wait until every Job has ended."""
        await asyncio.gather(*self._tasks.values())

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def _end(self, name: str) -> None:
        url, headers = f"{self._server}{JOBS}/{name}/status", {"Content-Type": "application/merge-patch+json"}
        async with self._session.patch(url, data=json.dumps({"status": _read_run()}), headers=headers) as answer:
            if answer.status != 200:
                raise RuntimeError(f"PATCH {url}: {answer.status} {(await answer.text())[:300]}")


def _read_run() -> dict[str, Any]:
    """Return the status of a Job that its time limit has ended."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    why = {"status": "True", "reason": "DeadlineExceeded", "message": "Job was active longer than specified deadline"}
    conditions = [
        {"type": kind, "lastTransitionTime": now, "lastProbeTime": now, **why} for kind in ("FailureTarget", "Failed")
    ]
    return {"startTime": now, "failed": 1, "conditions": conditions}


if __name__ == "__main__":
    main()
