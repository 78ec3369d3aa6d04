"""The time of a rollback, and its effect on clients: a ModelDeployment compared with a plain Deployment, in one run.

    PYTHONPATH=.:hack .venv/bin/python -m tests.benchmarks.rollback [--rounds 10] [--name CLUSTER]

Two versions of one model run on a real node, with one pod each. Clients send predictions through the Services all the
time, on a new connection for each request and on kept connections. Each round goes back and forth:

- warm: `rollback/previous` while the pods of the version before are kept
- cold: `retry/<n>` to the version before, after its pods are gone, so that a pod must start first
- plain: `kubectl rollout undo` of the same pods in a Deployment without an operator

A time is measured from before the start of kubectl to the first response of the other version. The failed requests are
those of all clients over all switches.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from cluster import lifecycle
from cluster.service_route import service_route
from demo.client import Client
from demo.install import JOBS_NAMESPACE
from tests.e2e.serving import Served
from tests.e2e.stage import Json, Stage
from trainyard_api import meta

ROWS = "x,y\n" + "".join(f"{n},{n * 2 + n % 3}\n" for n in range(200))
MODEL, PLAIN = "rolled", "plain"
SECONDS = 120


def main() -> int:
    """Measure, print a table, and fail if a request failed."""
    options = _options()
    name = options.name or f"bench-{os.getpid()}"
    try:
        stage = Stage.set_up(name, None)
        return _measure(stage, options.rounds)
    finally:
        if not options.name:
            lifecycle.down(name, print)


def _measure(stage: Stage, rounds: int) -> int:
    served = Served(stage, MODEL, {"uri": stage.put("rolled.csv", ROWS), "target": "y"})
    served.deploy()
    older = served.train(f"rolled-{int(time.time())}")
    served.serves(older)
    newer = served.train(f"rolled-{int(time.time())}")
    served.serves(newer)
    _create_plain_deployment(stage, served, older, newer)
    times: dict[str, list[float]] = {"warm": [], "cold": [], "plain": []}
    with _clients(stage, MODEL) as (client, *kept), _clients(stage, PLAIN) as (other, *others):
        for number in range(rounds):
            times["warm"].append(_roll_back(served, client, "rollback/previous", older))
            _pods_are_gone(served, newer)
            times["cold"].append(_roll_back(served, client, f"retry/{newer}", newer))
            times["plain"].append(_undo(stage, other, older))
            _set_version(stage, served, newer)
            other.wait_for_version(newer, SECONDS, since=time.monotonic())
            print(f"round {number + 1} of {rounds}: " + ", ".join(f"{k} {v[-1]:.2f} s" for k, v in times.items()))
    _print(times, {"trainyard": [client, *kept], "plain": [other, *others]})
    return sum(each.tally.failed for each in (client, *kept))


def _roll_back(served: Served, client: Client, verb: str, version: int) -> float:
    started = time.monotonic()
    served.act(verb)
    answered = client.wait_for_version(version, SECONDS, since=started)
    served.serves(version)
    return answered - started


def _undo(stage: Stage, client: Client, version: int) -> float:
    started = time.monotonic()
    stage.kubectl("rollout", "undo", f"deployment/{PLAIN}")
    answered = client.wait_for_version(version, SECONDS, since=started)
    stage.kubectl("rollout", "status", f"deployment/{PLAIN}", f"--timeout={SECONDS}s")
    return answered - started


def _pods_are_gone(served: Served, version: int) -> None:
    served.stage.wait_until(f"the pods of version {version} to go", lambda: not served.pods(version), SECONDS)


def _create_plain_deployment(stage: Stage, served: Served, older: int, newer: int) -> None:
    """Create a Deployment and a Service with the same pods as the ModelDeployment, but without an operator."""
    labels = {"app": PLAIN}
    found = stage.get("deployments", f"{MODEL}-v{older}")["spec"]
    template: Json = {"metadata": {"labels": labels}, "spec": found["template"]["spec"]}
    template["spec"].pop("topologySpreadConstraints")
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "strategy": found["strategy"], "template": template}
    ports = stage.get("services", MODEL)["spec"]["ports"]
    metadata = {"name": PLAIN}
    stage.apply_objects(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": labels, "ports": ports}},
    )
    stage.kubectl("rollout", "status", f"deployment/{PLAIN}", f"--timeout={SECONDS}s")
    _set_version(stage, served, newer)
    stage.kubectl("rollout", "status", f"deployment/{PLAIN}", f"--timeout={SECONDS}s")


def _set_version(stage: Stage, served: Served, version: int) -> None:
    artifact = served.version(version)["spec"]["artifact"]
    values = {
        meta.MODEL_VERSION_ENV: str(version),
        meta.ARTIFACT_URI_ENV: artifact["uri"],
        meta.MANIFEST_SHA256_ENV: artifact["manifestSha256"],
    }
    stage.kubectl("set", "env", f"deployment/{PLAIN}", *(f"{key}={value}" for key, value in values.items()))


@contextmanager
def _clients(stage: Stage, service: str) -> Iterator[tuple[Client, Client]]:
    route = service_route(stage.cluster, JOBS_NAMESPACE, service, 80)
    with Client(route, MODEL) as fresh, Client(route, MODEL, keep_alive=True) as kept:
        yield fresh, kept


def _print(times: dict[str, list[float]], clients: dict[str, list[Client]]) -> None:
    print("\n| rollback | n | p50 s | max s | to plain, p50 |\n|---|---|---|---|---|")
    plain = statistics.median(times["plain"])
    for what, found in times.items():
        p50 = statistics.median(found)
        print(f"| {what} | {len(found)} | {p50:.2f} | {max(found):.2f} | {p50 / plain:.2f} |")
    print("\n| clients of | switches | requests answered | failed |\n|---|---|---|---|")
    for what, members in clients.items():
        answered, failed = (
            sum(values) for values in zip(*((c.tally.answered, c.tally.failed) for c in members), strict=True)
        )
        print(f"| {what} | {len(members[0].tally.switches) - 1} | {answered} | {failed} |")
        for client in members:
            print("".join(f"  {failure}\n" for failure in client.tally.failures), end="")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--name", default="", help="name of a cluster to use and to keep (default: a new one)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
