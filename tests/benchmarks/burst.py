"""The time from ``kubectl apply`` to the Job: bursts of TrainingJobs over 20 connections to a real API server.

``python -m tests.benchmarks.burst`` runs the operator as its own process on a fresh control plane for each row. It
measures plain Jobs with the same driver for comparison. There is no node, so pods stay Pending. Prints a table and
writes JSON lines.
"""

import argparse
import asyncio
import collections
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from cluster.control_plane import ControlPlaneOptions
from cluster.lifecycle import temporary_control_plane
from cluster.model import Cluster
from cluster.processes import ProcessTable
from cluster.state import free_ports
from cluster.toolchain import ensure
from tests.benchmarks.load import Load, Measured, percentile
from trainyard_api import API_VERSION, meta
from trainyard_api.generate import checkout
from trainyard_api.kinds import KINDS

CONNECTIONS = 20
NAMESPACE = "default"
SEEN_SECONDS = 300.0
IDLE_SECONDS = 5.0
"""If the operator writes nothing for this time, it is idle."""

AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "verbs": ["create", "update", "patch", "delete"]}, {"level": "None"}],
}
TRAINING_JOBS = f"/apis/{API_VERSION}/namespaces/{NAMESPACE}/trainingjobs"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"


@dataclass(frozen=True)
class Figures:
    """One run. Seconds, jobs per second, milliseconds of CPU per job, MiB.

    ``elsewhere`` is the number of cores that other programs kept busy until the last Job. Such a load can only make the
    other figures worse.
    """

    what: str
    n: int
    rate: float
    p50: float
    p99: float
    last: float
    per_second: float
    elsewhere: float
    writes: float = 0.0
    writes_until_job: float = 0.0
    cpu_ms: float = 0.0
    rss_mib: float = 0.0
    kinds_of_writes: str = ""


def plain_job(number: int) -> dict[str, Any]:
    """Return the smallest possible Job."""
    container = {"name": "main", "image": "busybox", "command": ["true"]}
    pod = {"restartPolicy": "Never", "containers": [container]}
    return {"metadata": {"name": f"b-{number:05d}"}, "spec": {"template": {"spec": pod}}}


def training_job(number: int) -> dict[str, Any]:
    """Return the smallest TrainingJob."""
    return {
        "apiVersion": API_VERSION,
        "kind": "TrainingJob",
        "metadata": {"name": f"b-{number:05d}"},
        "spec": {
            "framework": "LightGBM",
            "task": "Regression",
            "data": {"uri": "s3://datasets/diabetes.csv", "target": "target"},
        },
    }


def main() -> None:
    """Parse the command line, run, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[1, 100, 500, 1000], help="jobs per burst")
    parser.add_argument("--paced", type=int, default=60, help="jobs of the run at --rate per second; 0: none")
    parser.add_argument("--rate", type=float, default=2.0, help="jobs per second of the paced run")
    parser.add_argument("--plain", action=argparse.BooleanOptionalAction, default=True, help="measure plain Jobs too")
    parser.add_argument("--profile", type=Path, help="run the operator under cProfile and write its figures here")
    parser.add_argument("--output", type=Path, help="append one JSON line for each run to this file")
    options = parser.parse_args()
    runs = [(size, 0.0) for size in options.sizes] + ([(options.paced, options.rate)] if options.paced else [])
    print(HEAD)
    for n, rate in runs:
        for with_operator in (False, True) if options.plain else (True,):
            figures = measure(n, rate, with_operator=with_operator, profile=options.profile)
            print(row(figures), flush=True)
            if options.output:
                with options.output.open("a") as file:
                    file.write(json.dumps(asdict(figures)) + "\n")


HEAD = (
    "| what | n | requested per s | p50 s | p99 s | last s | Jobs/s | cores busy elsewhere "
    "| writes/job | until its Job | CPU ms/job | RSS MiB |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def row(f: Figures) -> str:
    """Return a row of the table."""
    cells = [
        *(f.what, str(f.n), f"{f.rate:g}" if f.rate else "burst", f"{f.p50:.3f}", f"{f.p99:.3f}", f"{f.last:.2f}"),
        *(f"{f.per_second:.0f}", f"{f.elsewhere:.1f}"),
        *(
            (f"{f.writes:.2f}", f"{f.writes_until_job:.2f}", f"{f.cpu_ms:.1f}", f"{f.rss_mib:.0f}")
            if f.writes
            else "----"
        ),
    ]
    return f"| {' | '.join(cells)} |"


def measure(n: int, rate: float, *, with_operator: bool, profile: Path | None = None) -> Figures:
    """Run once on a fresh control plane."""
    with tempfile.TemporaryDirectory() as folder, control_plane(Path(folder)) as (cluster, audit):
        if not with_operator:
            clock = HostClock(cluster)
            measured = asyncio.run(drive(cluster, [plain_job(i) for i in range(n)], JOBS, rate))
            return summary("Job", n, rate, measured, clock.elsewhere())
        with operator(cluster, Path(folder), profile) as pid:
            wait_until_idle(audit)
            before, cpu, clock = sum(writes(audit).values()), cpu_seconds(pid), HostClock(cluster, pid)
            measured = asyncio.run(drive(cluster, [training_job(i) for i in range(n)], TRAINING_JOBS, rate))
            created, elsewhere = datetime.now(UTC), clock.elsewhere()
            wait_until_idle(audit)
            used, rss = cpu_seconds(pid) - cpu, rss_mib(pid)
            until, total = writes(audit, created), writes(audit)
    figures = asdict(summary("TrainingJob", n, rate, measured, elsewhere))
    figures |= {
        "writes": (sum(total.values()) - before) / n,
        "writes_until_job": (sum(until.values()) - before) / n,
        "cpu_ms": 1000 * used / n,
        "rss_mib": rss,
        "kinds_of_writes": ", ".join(f"{what} {count / n:.2f}" for what, count in total.most_common()),
    }
    return Figures(**figures)


def summary(what: str, n: int, rate: float, measured: Measured, elsewhere: float) -> Figures:
    """Return the figures that every run has."""
    latencies = measured.latencies()
    return Figures(
        what,
        n,
        rate,
        p50=percentile(latencies, 50),
        p99=percentile(latencies, 99),
        last=max(measured.seen.values()) - measured.began,
        per_second=measured.per_second,
        elsewhere=elsewhere,
    )


class HostClock:
    """The CPU time of the whole machine and of our own processes since the creation of this object."""

    def __init__(self, cluster: Cluster, *more: int) -> None:
        self._pids = [*(process.pid for process in ProcessTable(cluster.folder).all()), *more]
        self._began = self._read()

    def _read(self) -> tuple[float, float, float]:
        fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        busy = (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")
        return time.monotonic(), busy, sum(map(cpu_seconds, self._pids)) + time.process_time()

    def elsewhere(self) -> float:
        """Return the number of cores that other programs kept busy."""
        wall, busy, ours = (now - then for now, then in zip(self._read(), self._began, strict=True))
        return max(0.0, busy - ours) / wall


async def drive(cluster: Cluster, bodies: list[dict[str, Any]], path: str, rate: float) -> Measured:
    """Post and watch. A plain Job is found by its name, the Job of an attempt by the label of its TrainingJob."""
    plain = path == JOBS

    def name_of(metadata: dict[str, Any]) -> str | None:
        name: str | None = metadata["name"] if plain else metadata.get("labels", {}).get(meta.JOB_LABEL)
        return name

    load = Load(cluster.kubeconfig, CONNECTIONS)
    try:
        return await load.run(bodies, path, JOBS, name_of, rate=rate, seconds=SEEN_SECONDS)
    finally:
        await load.close()


# ---- measurements ----------------------------------------------------------------------------------------------------


@contextmanager
def control_plane(folder: Path, *controllers: str) -> Iterator[tuple[Cluster, Path]]:
    """Run an empty control plane with our CRDs and a log of every write.

    Without ``controllers`` all controllers of Kubernetes run.
    """
    policy, audit = folder / "policy.yaml", folder / "audit.log"
    policy.write_text(yaml.safe_dump(AUDIT_POLICY))
    audit.touch()
    flags = (
        f"--audit-policy-file={policy}",
        f"--audit-log-path={audit}",
        "--audit-log-mode=batch",
        "--audit-log-batch-max-wait=1s",
    )
    some = (f"--controllers={','.join(controllers)}",) if controllers else ()
    options = ControlPlaneOptions(flags={"kube-apiserver": flags, "kube-controller-manager": some})
    with temporary_control_plane(f"burst-{os.getpid()}", options, lambda _: None) as cluster:
        kubectl = [str(ensure("kubectl")), f"--kubeconfig={cluster.kubeconfig}"]
        for kind in KINDS:
            run([*kubectl, "apply", "-f", str(checkout() / "crds" / f"{kind.plural}.yaml")])
        names = [f"crd/{kind.plural}.trainyard.dev" for kind in KINDS]
        run([*kubectl, "wait", "--for=condition=Established", *names, "--timeout=30s"])
        run([*kubectl, "create", "namespace", "trainyard"])
        yield cluster, audit


def run(command: list[str]) -> None:
    """Run a command. Raises :class:`RuntimeError` with its error output."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")


@contextmanager
def operator(cluster: Cluster, folder: Path, profile: Path | None, more: dict[str, Any] | None = None) -> Iterator[int]:
    """Run ``trainyard-operator`` as users do, with ``more`` configuration.

    Yield its process id once it is ready.
    """
    port = free_ports("health")["health"]
    config = {
        "storage": {"uri": "s3://models"},
        "progress": {"url": "https://127.0.0.1:8443", "bind": "127.0.0.1", "port": 0},
        "health": {"bind": "127.0.0.1", "port": port},
        **(more or {}),
    }
    file, log = folder / "config.yaml", folder / "operator.log"
    file.write_text(yaml.safe_dump(config))
    command = [str(Path(sys.executable).with_name("trainyard-operator"))]
    if profile is not None:
        command = [sys.executable, "-m", "cProfile", "-o", str(profile), *command]
    env = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig), "TRAINYARD_CONFIG_FILE": str(file)}
    with log.open("w") as output, subprocess.Popen(command, env=env, stdout=output, stderr=output) as process:
        try:
            wait_for(
                "the operator to be ready",
                lambda: process.poll() is not None or responds(f"http://127.0.0.1:{port}/readyz"),
                SEEN_SECONDS,
            )
            if process.poll() is not None:
                raise RuntimeError(f"the operator ended: {log.read_text()[-2000:]}")
            yield process.pid
        finally:
            process.terminate()


def responds(url: str) -> bool:
    """Return whether a GET request succeeds."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def wait_for(what: str, holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for a condition. Raises :class:`TimeoutError` that names the condition."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.05)


def wait_until_idle(audit: Path, seconds: float = SEEN_SECONDS) -> None:
    """Wait until the operator has written nothing for a while. Each check reads only the new lines of the log."""
    offset, since = 0, time.monotonic()

    def idle() -> bool:
        nonlocal offset, since
        with audit.open("rb") as file:
            file.seek(offset)
            new = [line for line in file if line.endswith(b"}\n")]
        offset += sum(map(len, new))
        if any(_is_write(line) for line in new):
            since = time.monotonic()
        return time.monotonic() - since > IDLE_SECONDS

    wait_for("the operator to be idle", idle, seconds)


def writes(audit: Path, until: datetime | None = None) -> "collections.Counter[str]":
    """Count the operator's writes in the audit log: all, or those before ``until``."""
    counts: collections.Counter[str] = collections.Counter()
    with audit.open("rb") as file:
        for line in file:
            if not line.endswith(b"}\n") or not _is_write(line):
                continue
            entry = json.loads(line)
            if until is None or datetime.fromisoformat(entry["stageTimestamp"]) <= until:
                target = entry["objectRef"]
                resource = "/".join(filter(None, (target["resource"], target.get("subresource"))))
                counts[f"{entry['verb']} {resource}"] += 1
    return counts


def _is_write(line: bytes) -> bool:
    """Return whether a line of the audit log is a write of the operator to an object.

    The log has only writes. Writes to Leases do not count, because the operator renews them every few seconds.
    """
    if meta.FIELD_MANAGER.encode() not in line:
        return False
    entry = json.loads(line)
    return entry.get("userAgent") == meta.FIELD_MANAGER and entry["objectRef"]["resource"] != "leases"


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid: int) -> float:
    """Return the resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


if __name__ == "__main__":
    main()
