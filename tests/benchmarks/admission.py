"""Many TrainingJobs with a low limit of running jobs: the cost of the queue, with the operator as its own process.

``python -m tests.benchmarks.admission`` applies all jobs over 20 connections to a real API server. No pod runs, and no
controller but the operator. As soon as the driver sees a Job, it ends it, so that the next one may start. So the result
is the rate of admission, as in Kueue's own benchmark. Plain Jobs with the same driver are measured for comparison.
Prints a table.
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
    wait_until_idle,
    writes,
)
from tests.benchmarks.load import Load, Measured
from trainyard_api import meta
from trainyard_operator.kube.credentials import load_credentials

CONTROLLERS = ("serviceaccount-controller",)
"""The only controller beside the operator. It neither creates pods of a Job nor ends a Job."""
SECONDS = 3600.0

HEAD = (
    "| n | limit | last Job s | starts/s | plain Jobs/s | ratio | cores elsewhere | writes/job | of them status "
    "| CPU ms/job | RSS MiB |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Parse the command line, run, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=15_000, help="TrainingJobs in all")
    parser.add_argument("--slots", type=int, nargs="*", default=[500], help="maxConcurrentJobs; 0: no limit")
    parser.add_argument("--profile", type=Path, help="run the operator under cProfile and write its figures here")
    options = parser.parse_args()
    print(HEAD)
    for limit in options.slots:
        print(measure(options.jobs, limit, options.profile), flush=True)


def measure(n: int, limit: int, profile: Path | None = None) -> str:
    """Run once on a fresh control plane. Return a row of the table."""
    with tempfile.TemporaryDirectory() as folder, control_plane(Path(folder), *CONTROLLERS) as (cluster, audit):
        plain = asyncio.run(drive(cluster, [plain_job(number) for number in range(n)], JOBS))
    with tempfile.TemporaryDirectory() as folder, control_plane(Path(folder), *CONTROLLERS) as (cluster, audit):
        config = {"admission": {"maxConcurrentJobs": limit}}
        with operator(cluster, Path(folder), profile, config) as pid:
            wait_until_idle(audit)
            before, cpu, clock = writes(audit), cpu_seconds(pid), HostClock(cluster, pid)
            measured = asyncio.run(drive(cluster, [training_job(number) for number in range(n)], TRAINING_JOBS))
            elsewhere = clock.elsewhere()
            wait_until_idle(audit)
            counts = writes(audit) - before
            cells = [
                *(str(n), str(limit or "-"), f"{max(measured.seen.values()) - measured.began:.2f}"),
                *(f"{measured.per_second:.0f}", f"{plain.per_second:.0f}"),
                *(f"{measured.per_second / plain.per_second:.2f}", f"{elsewhere:.1f}", f"{counts.total() / n:.2f}"),
                *(f"{counts['patch trainingjobs/status'] / n:.2f}", f"{1000 * (cpu_seconds(pid) - cpu) / n:.1f}"),
                f"{rss_mib(pid):.0f}",
            ]
    return f"| {' | '.join(cells)} |"


async def drive(cluster: Cluster, bodies: list[dict[str, Any]], path: str) -> Measured:
    """Create all objects. End the Job of each TrainingJob as soon as it is seen."""
    load, ender = Load(cluster.kubeconfig, CONNECTIONS), JobEnder(cluster)

    def name_of(metadata: dict[str, Any]) -> str | None:
        if path == JOBS:
            return str(metadata["name"])
        name: str | None = metadata.get("labels", {}).get(meta.JOB_LABEL)
        if name is not None:
            ender.end(metadata["name"])
        return name

    try:
        measured = await load.run(bodies, path, JOBS, name_of, rate=0, seconds=SECONDS)
        await ender.all()
    finally:
        await load.close()
        await ender.close()
    return measured


class JobEnder:
    """Ends each Job once, instead of its pods.

    It uses the condition of a deadline, so that the operator reads no pod.
    """

    def __init__(self, cluster: Cluster) -> None:
        credentials = load_credentials({"KUBECONFIG": str(cluster.kubeconfig)})
        tls = credentials.tls if credentials.tls is not None else True
        self._server = credentials.server
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls, limit=CONNECTIONS))
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def end(self, name: str) -> None:
        """Start to end a Job, unless it was done before."""
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
        async with self._session.patch(url, data=json.dumps({"status": _ended()}), headers=headers) as response:
            if response.status != 200:
                raise RuntimeError(f"PATCH {url}: {response.status} {(await response.text())[:300]}")


def _ended() -> dict[str, Any]:
    """Return the status of a Job that its deadline has ended."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    reason = {
        "status": "True",
        "reason": "DeadlineExceeded",
        "message": "Job was active longer than specified deadline",
    }
    conditions = [
        {"type": kind, "lastTransitionTime": now, "lastProbeTime": now, **reason}
        for kind in ("FailureTarget", "Failed")
    ]
    return {"startTime": now, "failed": 1, "conditions": conditions}


if __name__ == "__main__":
    main()
