"""Many TrainingJobs through few places: what a queue costs, on a real API server with the operator as its own process.

``python -m tests.benchmarks.admission`` applies them all by 20 connections. Each is cancelled as soon as its Job is
there, so that the next may start. No node: pods stay Pending. Prints a table.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path
from typing import Any

import aiohttp

from cluster.model import Cluster
from tests.benchmarks.burst import (
    CONNECTIONS,
    JOBS,
    SEEN_SECONDS,
    TRAINING_JOBS,
    HostClock,
    control_plane,
    cpu_seconds,
    operator,
    rss_mib,
    training_job,
    wait_quiet,
    writes,
)
from tests.benchmarks.load import Load, Measured
from trainyard_api import meta
from trainyard_operator.kube.credentials import load_credentials

HEAD = (
    "| n | places | last Job s | starts/s | cores elsewhere | writes/job | of them status | CPU ms/job | RSS MiB |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=500, help="TrainingJobs in all")
    parser.add_argument("--places", type=int, nargs="*", default=[50], help="maxConcurrentJobs; 0: no limit")
    options = parser.parse_args()
    print(HEAD)
    for places in options.places:
        print(measure(options.jobs, places), flush=True)


def measure(n: int, places: int) -> str:
    """Run once on a fresh control plane and return a line of the table."""
    with tempfile.TemporaryDirectory() as folder, control_plane(Path(folder)) as (cluster, audit):
        limits = {"admission": {"maxConcurrentJobs": places}}
        with operator(cluster, Path(folder), None, limits) as pid:
            wait_quiet(audit)
            before, cpu, clock = writes(audit), cpu_seconds(pid), HostClock(cluster, pid)
            measured = asyncio.run(drive(cluster, n))
            elsewhere = clock.elsewhere()
            wait_quiet(audit)
            counts = writes(audit) - before
            cells = [
                *(str(n), str(places or "-"), f"{max(measured.seen.values()) - measured.began:.2f}"),
                *(f"{measured.per_second:.0f}", f"{elsewhere:.1f}", f"{counts.total() / n:.2f}"),
                *(f"{counts['patch trainingjobs/status'] / n:.2f}", f"{1000 * (cpu_seconds(pid) - cpu) / n:.1f}"),
                f"{rss_mib(pid):.0f}",
            ]
    return f"| {' | '.join(cells)} |"


async def drive(cluster: Cluster, n: int) -> Measured:
    """Create them all and cancel each once its Job was seen."""
    credentials = load_credentials({"KUBECONFIG": str(cluster.kubeconfig)})
    tls = credentials.tls if credentials.tls is not None else True
    load, started = Load(cluster.kubeconfig, CONNECTIONS), dict[str, asyncio.Task[None]]()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls, limit=CONNECTIONS)) as session:

        async def cancel(name: str) -> None:
            url, headers = (
                f"{credentials.server}{TRAINING_JOBS}/{name}",
                {"Content-Type": "application/merge-patch+json"},
            )
            async with session.patch(url, data='{"spec": {"cancel": true}}', headers=headers) as answer:
                answer.raise_for_status()

        def name_of(metadata: dict[str, Any]) -> str | None:
            name: str | None = metadata.get("labels", {}).get(meta.JOB_LABEL)
            if name is not None and name not in started:
                started[name] = asyncio.create_task(cancel(name))
            return name

        try:
            bodies = [training_job(number) for number in range(n)]
            measured = await load.run(bodies, TRAINING_JOBS, JOBS, name_of, rate=0, seconds=SEEN_SECONDS)
            await asyncio.gather(*started.values())
        finally:
            await load.close()
    return measured


if __name__ == "__main__":
    main()
