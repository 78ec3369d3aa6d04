"""The cost of finished objects: thousands of TrainingJobs and ModelVersions without changes, and a new operator.

``python -m tests.benchmarks.at_rest`` fills a fresh control plane and lets a first operator reconcile it. Then it
starts a second operator. It measures the seconds until this one is ready and until it has reconciled everything, its
memory, and its writes while nothing happens (aim: 0).
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

from cluster.model import Cluster
from tests.benchmarks.burst import (
    CONNECTIONS,
    IDLE_SECONDS,
    NAMESPACE,
    control_plane,
    cpu_seconds,
    operator,
    rss_mib,
    training_job,
    wait_until_idle,
    writes,
)
from trainyard_api import API_VERSION
from trainyard_operator.kube.credentials import load_credentials

MEASURED_SECONDS = 30.0
SETTLED_SECONDS = 900.0
"""The first operator judges every version. This takes two writes each."""
VERSIONS_PER_MODEL = 10
END = "2026-11-21T08:00:00Z"
PATH = f"/apis/{API_VERSION}/namespaces/{NAMESPACE}"


def finished_job(number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a TrainingJob and the status of one that succeeded."""
    job = training_job(number)
    condition = {"reason": "Succeeded", "message": "", "lastTransitionTime": END, "observedGeneration": 1}
    status = {
        "observedGeneration": 1,
        "phase": "Succeeded",
        "modelName": f"model-{number // VERSIONS_PER_MODEL}",
        "conditions": [{"type": kind, "status": "True", **condition} for kind in ("Ready", "Complete")],
        "attempts": [{"number": 1, "jobName": f"{job['metadata']['name']}-1", "reason": "Completed", "exitCode": 0}],
        "completionTime": END,
    }
    return job, status


def version(number: int) -> dict[str, Any]:
    """Return the ModelVersion of the job with this number."""
    model, count = f"model-{number // VERSIONS_PER_MODEL}", number % VERSIONS_PER_MODEL + 1
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelVersion",
        "metadata": {"name": f"{model}-v{count}"},
        "spec": {
            "model": model,
            "version": count,
            "label": "v2026-11-21T08-00-00-000Z_a1b2c3d4",
            "artifact": {"uri": f"s3://models/{NAMESPACE}/{model}/{count}", "manifestSha256": "a" * 64, "sizeBytes": 9},
            "formats": ["LightGBM"],
            "metrics": [{"name": name, "value": "0.5"} for name in ("mae", "rmse", "r2", "mape", "wape", "skill")],
            "trainingJob": {"name": f"b-{number:05d}", "uid": "u"},
        },
    }


async def fill(cluster: Cluster, count: int) -> None:
    """Create all objects over several connections."""
    credentials = load_credentials({"KUBECONFIG": str(cluster.kubeconfig)})
    connector = aiohttp.TCPConnector(ssl=credentials.tls if credentials.tls is not None else True, limit=CONNECTIONS)
    numbers = iter(range(count))
    async with aiohttp.ClientSession(credentials.server, connector=connector, raise_for_status=True) as session:

        async def work() -> None:
            for number in numbers:
                job, status = finished_job(number)
                async with session.post(f"{PATH}/trainingjobs", json=job):
                    pass
                async with session.patch(
                    f"{PATH}/trainingjobs/{job['metadata']['name']}/status",
                    json={"status": status},
                    headers={"Content-Type": "application/merge-patch+json"},
                ):
                    pass
                async with session.post(f"{PATH}/modelversions", json=version(number)):
                    pass

        await asyncio.gather(*(work() for _ in range(CONNECTIONS)))


def main() -> None:
    """Parse the command line, run, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="TrainingJobs, and as many ModelVersions")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, control_plane(Path(folder)) as (cluster, audit):
        asyncio.run(fill(cluster, options.count))
        with operator(cluster, Path(folder), None):
            wait_until_idle(audit, SETTLED_SECONDS)
        settled = sum(writes(audit).values())
        began = time.monotonic()
        with operator(cluster, Path(folder), None) as pid:
            ready = time.monotonic() - began
            wait_until_idle(audit)
            rss, used, started = rss_mib(pid), cpu_seconds(pid), sum(writes(audit).values()) - settled
            time.sleep(MEASURED_SECONDS)
            idle_cpu = cpu_seconds(pid) - used
            idle_writes = sum(writes(audit).values()) - settled - started
    print(
        "| objects | ready s | CPU s until idle | RSS MiB | writes at the start | writes while idle | CPU while idle |"
    )
    print("|---|---|---|---|---|---|---|")
    print(
        f"| {options.count} TrainingJobs and {options.count} ModelVersions | {ready:.1f} | {used:.1f} | {rss:.0f} "
        f"| {started} | {idle_writes} in {MEASURED_SECONDS:.0f} s | {idle_cpu / MEASURED_SECONDS:.1%} |"
    )
    print(f"Idle: no write for {IDLE_SECONDS:.0f} s.")


if __name__ == "__main__":
    main()
