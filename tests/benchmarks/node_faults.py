"""Faults around a real node: the API server does not respond, and the leader is killed again and again.

    PYTHONPATH=.:hack .venv/bin/python -m tests.benchmarks.node_faults [--outage 600] [--kills 20] [--name CLUSTER]

First the API server's process is stopped (SIGSTOP: connections stay open, nothing responds). Meanwhile one training
ends, another one ends later, and a version is in its rollout. Clients send predictions all the time. Then the pod that
holds the Lease is killed at random moments, with a limit of two running jobs and more jobs in the queue. Prints what
was found. The run fails if a training was retried, the limit was exceeded, the operator was restarted by its probes, or
a request failed.
"""

import argparse
import os
import random
import signal
import statistics
import sys
import time
from dataclasses import dataclass, field

from cluster import lifecycle
from cluster.processes import ProcessTable
from demo.data import tables
from demo.install import OPERATOR_NAMESPACE
from tests.e2e.serving import Served
from tests.e2e.stage import Json, Stage
from tests.e2e.test_script import script

MODEL = "shop"
ROWS = "x,y\n" + "".join(f"{n},{n * 2 + n % 3}\n" for n in range(200))
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{OPERATOR_NAMESPACE}/leases/trainyard-leader"
OPERATORS = f"/api/v1/namespaces/{OPERATOR_NAMESPACE}/pods"
MAX_JOBS = 2
SECONDS = 300


@dataclass
class Findings:
    """The findings, and the names of the bad ones."""

    rows: list[tuple[str, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def note(self, what: str, found: object, *, well: bool = True) -> None:
        """Add a row. If ``well`` is False, the run fails."""
        self.rows.append((what, str(found)))
        print(f"{what}: {found}{'' if well else ' WRONG'}", flush=True)
        if not well:
            self.wrong.append(what)


def main() -> int:
    """Set up, cause the faults, and print a table."""
    options = _options()
    name = options.name or f"bench-{os.getpid()}"
    findings = Findings()
    try:
        stage = Stage.set_up(name, "host")
        stage.set_values(f"admission.maxConcurrentJobs={MAX_JOBS}")
        for key, text, _ in tables():
            stage.put(key, text)
        served = Served(stage, MODEL, {"uri": stage.put(f"{MODEL}.csv", ROWS), "target": "y"})
        served.deploy(serving={"replicas": 2})
        served.serves(served.train("first"))
        if options.outage:
            _outage(stage, served, options.outage, findings)
        if options.kills:
            _kills(stage, options.kills, random.Random(options.seed), findings)
    finally:
        if not options.name:
            lifecycle.down(name, print)
    print("\n| what | found |\n|---|---|")
    print("".join(f"| {what} | {found} |\n" for what, found in findings.rows))
    return len(findings.wrong)


def _outage(stage: Stage, served: Served, seconds: float, findings: Findings) -> None:
    stage.apply("ends-meanwhile", **script(f"import time\ntime.sleep({seconds / 2})\nleave({{}}, mae=1.0)\n"))
    stage.wait_for_phase("ends-meanwhile", "Running")
    stage.apply("ends-later", **script(f"import time\ntime.sleep({seconds + 60})\nleave({{}}, mae=1.0)\n"))
    stage.wait_for_phase("ends-later", "Running")
    stage.set_values("admission.maxConcurrentJobs=3")
    with served.clients():
        version = served.train("second")
        stage.wait_until("the rollout to begin", lambda: served.status().get("candidateVersion") == version, SECONDS)
        before = _restarts(stage)
        server = ProcessTable(stage.cluster.folder).find("kube-apiserver")
        if server is None or not server.alive():
            raise AssertionError("the API server of this cluster does not run")
        os.kill(server.pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        back = time.monotonic()
        stage.wait_until("the API server to respond", lambda: _holder(stage), SECONDS)
        served.serves(version)
        findings.note(
            "rollout in progress, completed after the return of the API server", f"{time.monotonic() - back:.0f} s"
        )
    # The end of the block above raises an error for any other number.
    findings.note("requests to the model that failed in the outage", 0)
    for name in ("ends-meanwhile", "ends-later"):
        job = stage.wait_for_phase(name, "Succeeded", "Failed", seconds=SECONDS)
        found = (job["status"]["phase"], len(job["status"]["attempts"]))
        findings.note(
            f"training that {name.replace('-', ' ')}: phase and attempts", found, well=found == ("Succeeded", 1)
        )
    restarts = _restarts(stage) - before
    findings.note(f"restarts of the operator's containers in {seconds:.0f} s", restarts, well=restarts == 0)
    stage.set_values(f"admission.maxConcurrentJobs={MAX_JOBS}")


def _kills(stage: Stage, count: int, rng: random.Random, findings: Findings) -> None:
    times, most, names = [], 0, []
    for number in range(count):
        for part in ("a", "b"):
            names.append(f"killed-{number}-{part}")
            stage.apply(
                names[-1], **script(f"import time\ntime.sleep({rng.uniform(0, 5):.1f})\nleave({{}}, mae=1.0)\n")
            )
        time.sleep(rng.uniform(0, 8))
        most = max(most, _active_jobs(stage))
        times.append(_kill(stage))
        most = max(most, _active_jobs(stage))
        print(f"kill {number + 1} of {count}: another leader after {times[-1]:.1f} s", flush=True)
        stage.operator("rollout", "status", "deployment/trainyard", f"--timeout={SECONDS}s")
    ended = [stage.wait_for_phase(name, "Succeeded", "Failed", seconds=SECONDS) for name in names]
    retried = [job["metadata"]["name"] for job in ended if len(job["status"]["attempts"]) != 1]
    failed = [job["metadata"]["name"] for job in ended if job["status"]["phase"] != "Succeeded"]
    findings.note("kills of the leader", count)
    findings.note("seconds to the next leader, median and longest", f"{statistics.median(times):.1f}, {max(times):.1f}")
    findings.note("trainings", len(names))
    findings.note("trainings that were retried or failed", retried + failed or 0, well=not retried + failed)
    findings.note(f"Jobs that ran at the same time, of {MAX_JOBS} allowed", most, well=most <= MAX_JOBS)


def _kill(stage: Stage) -> float:
    """Kill the pod that holds the Lease. Return the seconds until another pod holds it."""
    holder = stage.wait_until("a leader", lambda: _holder(stage), SECONDS)
    killed = time.monotonic()
    stage.operator("delete", "pod", holder, "--grace-period=0", "--force", "--wait=false")
    stage.wait_until("another leader", lambda: _holder(stage) not in ("", holder), SECONDS)
    return time.monotonic() - killed


def _holder(stage: Stage) -> str:
    code, lease = stage.api.request("GET", LEASE)
    return str(lease["spec"].get("holderIdentity") or "") if code == 200 else ""


def _active_jobs(stage: Stage) -> int:
    """Return the number of Jobs that have not ended."""
    return sum(not _has_ended(job) for job in stage.items("jobs"))


def _has_ended(job: Json) -> bool:
    conditions = job.get("status", {}).get("conditions") or ()
    return any(each["type"] in ("Complete", "Failed") and each["status"] == "True" for each in conditions)


def _restarts(stage: Stage) -> int:
    code, pods = stage.api.request("GET", OPERATORS)
    assert code == 200, pods
    statuses = [status for pod in pods["items"] for status in pod["status"].get("containerStatuses") or ()]
    return sum(status["restartCount"] for status in statuses)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outage", type=float, default=600.0, help="seconds; 0: no outage")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--name", default="", help="name of a cluster to use and to keep (default: a new one)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
