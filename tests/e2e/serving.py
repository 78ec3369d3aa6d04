"""Functions of the serving tests: train a version, deploy a model, wait for its status, and send predictions."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cluster.service_route import service_route
from demo.client import Client
from demo.install import JOBS_NAMESPACE
from tests.e2e.stage import Json, Stage, condition
from trainyard_api import meta

SERVING_SECONDS = 120
REGRESSION: Json = {
    "framework": "LightGBM",
    "task": "Regression",
    "objective": {"metric": "mae"},
    "parameters": {"num_leaves": 7},
}


@dataclass(frozen=True)
class Served:
    """One model with its ModelDeployment. Without ``name`` the ModelDeployment has the name of the model."""

    stage: Stage
    model: str
    data: Json
    name: str = ""

    @property
    def deployment(self) -> str:
        """The name of the ModelDeployment."""
        return self.name or self.model

    def train(self, name: str, **spec: Any) -> int:
        """Train a version. Return its number once it has a verdict."""
        self.stage.apply(name, modelName=self.model, **{**REGRESSION, "data": self.data, **spec})
        job = self.stage.wait_for_phase(name, "Succeeded", "Failed")
        assert job["status"]["phase"] == "Succeeded", condition(job, "Ready")["message"]
        version: Json = job["status"]["modelVersion"]
        what = f"ModelVersion {version['name']} to be judged"
        self.stage.wait_until(what, lambda: self.version(version["version"])["status"].get("phase") != "Pending")
        return int(version["version"])

    def version(self, number: int) -> Json:
        """Return a ModelVersion."""
        return self.stage.get("mv", f"{self.model}-v{number}")

    def deploy(self, **spec: Any) -> None:
        """Apply the ModelDeployment."""
        body = {
            "apiVersion": "trainyard.dev/v1alpha1",
            "kind": "ModelDeployment",
            "metadata": {"name": self.deployment},
            "spec": {"modelName": self.model, **spec},
        }
        self.stage.kubectl("apply", "-f", "-", stdin=json.dumps(body))

    def act(self, verb: str) -> str:
        """Request an action with a new token, and return the annotation."""
        action = f"{verb}/{datetime.now(UTC).strftime('%H.%M.%S.%f')}"
        self.stage.kubectl("annotate", "md", self.deployment, f"{meta.ACTION_ANNOTATION}={action}", "--overwrite")
        return action

    def status(self) -> Json:
        """Return the status of the ModelDeployment."""
        found: Json = self.stage.get("md", self.deployment).get("status", {})
        return found

    def wait(self, what: str, holds: Callable[[Json], Any]) -> Json:
        """Wait until ``holds`` is true for the status, and return the status."""

        def check() -> Json | None:
            status = self.status()
            return status if holds(status) else None

        try:
            found: Json = self.stage.wait_until(f"ModelDeployment {self.deployment} {what}", check, SERVING_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{json.dumps(self.status(), indent=1)}") from error
        return found

    def serves(self, version: int) -> Json:
        """Wait until this version serves and no rollout is in progress."""
        return self.wait(
            f"to serve version {version}",
            lambda status: (
                (status.get("activeVersion"), status.get("candidateVersion")) == (version, None)
                and status["phase"] in ("Serving", "Held")
            ),
        )

    def rejects(self, version: int) -> Json:
        """Wait until this version is rejected and quarantined. Return its entry."""
        status = self.wait(f"to reject version {version}", lambda status: _rejection(status, version))
        what = f"version {version} of {self.model} to be Quarantined"
        self.stage.wait_until(what, lambda: self.version(version)["status"]["phase"] == "Quarantined", SERVING_SECONDS)
        return _rejection(status, version) or {}

    @contextmanager
    def clients(self) -> Iterator[Client]:
        """Send predictions all the time, over new and over kept connections. A failed request fails the test.

        The clients start once the Service sends requests to the active version: kube-proxy follows the status with a
        delay.
        """
        route = service_route(self.stage.cluster, JOBS_NAMESPACE, self.deployment, 80)
        with Client(route, self.model) as first:
            first.wait_for_version(self.status()["activeVersion"], SERVING_SECONDS)
        with Client(route, self.model) as fresh, Client(route, self.model, keep_alive=True) as kept:
            yield fresh
        for client in (fresh, kept):
            assert client.tally.answered > 0
            assert client.tally.failures == [], str(client.tally)

    def pods(self, version: int) -> list[Json]:
        """Return the pods of a version."""
        uid = self.stage.get("md", self.deployment)["metadata"]["uid"]
        return self.stage.items("pods", f"{meta.DEPLOYMENT_UID_LABEL}={uid},{meta.VERSION_LABEL}={version}")


def true_message(status: Json, kind: str) -> str:
    """Return the message of a condition that is True, or an empty text."""
    conditions: list[Json] = status.get("conditions", [])
    return next((each["message"] for each in conditions if each["type"] == kind and each["status"] == "True"), "")


def _rejection(status: Json, version: int) -> Json | None:
    found: list[Json] = status.get("rejectedVersions") or []
    return next((each for each in found if each["version"] == version), None)
