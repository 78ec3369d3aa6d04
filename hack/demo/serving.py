"""The second half of the demo: a model serves while versions take over, are rejected and are rolled back.

A client sends predictions through the Service during the whole demo. Its counts show that no prediction fails.
"""

import json
from collections.abc import Callable
from typing import Any

import yaml

from cluster.model import Cluster, ClusterError
from cluster.object_store import ObjectStore
from cluster.service_route import service_route
from demo.client import Client
from demo.data import diabetes
from demo.images import ROOT
from demo.install import BUCKET, DATA_BUCKET, JOBS_NAMESPACE
from demo.objects import Objects
from trainyard_api import meta
from trainyard_api.batch import TERMINAL_PHASES

Json = dict[str, Any]

FOLDER = ROOT / "examples/serving"
DEPLOYMENT, SCHEDULE, HASTY, AGAIN = "diabetes", "diabetes-every-minute", "diabetes-hasty", "diabetes-again"
_TRAINED = ROOT / "examples/diabetes-regression.yaml"
_PORT = 80
_TRAINING_SECONDS = 180
_FIRING_SECONDS = 90
_SERVING_SECONDS = 120

Say = Callable[[str], None]


class ServingDemo:
    """Each method is one part of the demo, and prints what happens."""

    def __init__(self, cluster: Cluster, store: ObjectStore, say: Say) -> None:
        self._objects = Objects(cluster)
        self._cluster = cluster
        self._store = store
        self._say = say

    def clear(self) -> None:
        """Delete the objects of an earlier run. Its models are kept."""
        files = [f"--filename={FOLDER / name}.yaml" for name in (DEPLOYMENT, SCHEDULE, HASTY)]
        self._objects.kubectl("delete", *files, "--ignore-not-found", "--cascade=foreground")
        self._objects.kubectl("delete", "tj", AGAIN, "--ignore-not-found")
        # A job whose name and spec match an existing version would train nothing.
        self._objects.kubectl("delete", "mv", f"--selector={meta.JOB_LABEL} in ({AGAIN}, {HASTY})")

    def start_schedule(self) -> None:
        """Add rows to the table and create the schedule. Its first run starts within a minute."""
        address = self._store.upload(diabetes().encode(), DATA_BUCKET, "diabetes.csv")
        self._say(f"{address} has more rows now: the schedule trains on more patients than version 1")
        self._objects.apply(FOLDER / f"{SCHEDULE}.yaml")

    def serve(self) -> Client:
        """Deploy the newest version, and return a client that is not started yet."""
        self._objects.apply(FOLDER / f"{DEPLOYMENT}.yaml")
        md = self._serving(lambda version: version > 0)
        model, version = md["spec"]["modelName"], md["status"]["activeVersion"]
        self._say(f"version {version} of {model} serves at {md['status'].get('url')}")
        return Client(service_route(self._cluster, JOBS_NAMESPACE, DEPLOYMENT, _PORT), model)

    def follow_schedule(self, client: Client) -> None:
        """Wait for one run of the schedule and for its version to take over. Then suspend the schedule."""
        self._say("waiting for the next full minute")
        schedule = self._objects.wait(
            "tsched", SCHEDULE, "to start a run", lambda it: bool(it.get("status", {}).get("lastRun")), _FIRING_SECONDS
        )
        self._objects.kubectl("patch", "tsched", SCHEDULE, "--type=merge", "-p", '{"spec": {"suspend": true}}')
        job = self._trained(schedule["status"]["lastRun"])
        self._say(f"the run {job['metadata']['name']} created {_version_name(job)}")
        md = self._serving(lambda version: version >= _version(job))
        client.wait_for_version(md["status"]["activeVersion"], _SERVING_SECONDS)
        self._say(f"version {md['status']['activeVersion']} met its gates and took over")

    def refuse(self) -> None:
        """Train a bad version. Its gates reject it, and the active version does not change."""
        self._objects.apply(FOLDER / f"{HASTY}.yaml")
        version = self._judged(self._trained(HASTY), "Rejected")
        self._say(f"{version['metadata']['name']} is Rejected:")
        for gate in version["status"]["gates"]:
            self._say(f"  {'passed' if gate['passed'] else 'FAILED'}: {gate['message']}")

    def survive_a_bad_artifact(self) -> None:
        """Change one byte of a good version before its rollout. Its pods refuse to load it, so it is rejected."""
        self._objects.act(DEPLOYMENT, "hold")
        job: Json = yaml.safe_load(_TRAINED.read_text())
        job["metadata"]["name"], job["spec"]["modelName"] = AGAIN, _TRAINED.stem
        self._objects.apply(job)
        version = self._judged(self._trained(AGAIN), "Validated")
        number = version["spec"]["version"]
        key = corrupt(self._store, version["spec"]["artifact"]["uri"])
        self._say(f"changed one byte of s3://{BUCKET}/{key}")
        self._objects.act(DEPLOYMENT, "release")
        md = self._objects.wait(
            *("md", DEPLOYMENT, f"to reject version {number}"),
            lambda it: _rejection(it, number) is not None and it["status"]["phase"] in ("Serving", "Held"),
            _SERVING_SECONDS,
        )
        self._objects.wait(
            *("mv", version["metadata"]["name"], "to be Quarantined"),
            lambda it: bool(it["status"].get("phase") == "Quarantined"),
            _SERVING_SECONDS,
        )
        rejection = _rejection(md, number) or {}
        self._say(f"version {number} is rejected and quarantined: {rejection.get('message')}")
        self._say(f"version {md['status']['activeVersion']} served the whole time")

    def go_back(self, client: Client) -> None:
        """Roll back to the previous version with a verb, and print how long the rollback took."""
        previous = self._objects.get("md", DEPLOYMENT)["status"]["previousVersion"]
        asked = self._objects.act(DEPLOYMENT, "rollback/previous")
        answered = client.wait_for_version(previous, _SERVING_SECONDS, since=asked)
        self._say(f"kubectl annotate md {DEPLOYMENT} {meta.ACTION_ANNOTATION}=rollback/previous/<any new word>")
        self._say(f"the first prediction of version {previous} came {answered - asked:.1f} s later")
        self._serving(lambda version: version == previous)

    def _serving(self, wanted: Callable[[int], bool]) -> Json:
        def holds(md: Json) -> bool:
            status = md.get("status", {})
            settled = status.get("phase") in ("Serving", "Held") and not status.get("candidateVersion")
            return settled and wanted(status.get("activeVersion") or 0)

        return self._objects.wait("md", DEPLOYMENT, "to serve", holds, _SERVING_SECONDS)

    def _trained(self, name: str) -> Json:
        """Return a TrainingJob once it has succeeded."""
        job = self._objects.wait(
            *("tj", name, "to end"), lambda it: it.get("status", {}).get("phase") in TERMINAL_PHASES, _TRAINING_SECONDS
        )
        if job["status"]["phase"] != "Succeeded":
            raise ClusterError(f"TrainingJob {name} is {job['status']['phase']}: {json.dumps(job['status'])}")
        return job

    def _judged(self, job: Json, phase: str) -> Json:
        return self._objects.wait(
            *("mv", _version_name(job), f"to be {phase}"),
            lambda it: bool(it.get("status", {}).get("phase") == phase),
            _SERVING_SECONDS,
        )


def corrupt(store: ObjectStore, artifact: str) -> str:
    """Change one byte in the middle of a version's model, and return its key."""
    client, prefix = store.client(), artifact.removeprefix(f"s3://{BUCKET}/").rstrip("/") + "/"
    manifest = json.loads(client.get_object(Bucket=BUCKET, Key=f"{prefix}manifest.json")["Body"].read())
    models = [file for file in manifest["files"] if file["path"].startswith("model")]
    key: str = prefix + max(models, key=lambda file: file["size"])["path"]
    content = bytearray(client.get_object(Bucket=BUCKET, Key=key)["Body"].read())
    content[len(content) // 2] ^= 1
    client.put_object(Bucket=BUCKET, Key=key, Body=bytes(content))
    return key


def _version_name(job: Json) -> str:
    return str(job["status"]["modelVersion"]["name"])


def _version(job: Json) -> int:
    return int(job["status"]["modelVersion"]["version"])


def _rejection(md: Json, number: int) -> Json | None:
    rejected: list[Json] = md.get("status", {}).get("rejectedVersions") or []
    return next((each for each in rejected if each["version"] == number), None)
