"""A server as the kubelet would start it: a process with the variables of a pod and a port of its own."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from tests.integration.trainer.object_store import ObjectStore, free_port
from trainyard_api import meta
from trainyard_api.trainingjob import Artifact

START_SECONDS = 180
STOP_SECONDS = 40
RESPONSE_SECONDS = 30


@dataclass(frozen=True)
class Stored:
    """A registered version in the object store."""

    model: str
    version: int
    artifact: Artifact
    store: ObjectStore

    def variables(self) -> dict[str, str]:
        """Return the variables that the operator sets."""
        return {
            meta.MODEL_NAME_ENV: self.model,
            meta.MODEL_VERSION_ENV: str(self.version),
            meta.ARTIFACT_URI_ENV: self.artifact.uri,
            meta.MANIFEST_SHA256_ENV: self.artifact.manifest_sha256,
            meta.STORAGE_ENDPOINT_ENV: self.store.endpoint,
            meta.STORAGE_SECRET_DIR_ENV: str(self.store.admin_secret),
        }

    @property
    def bucket_and_key(self) -> tuple[str, str]:
        bucket, _, key = self.artifact.uri.removeprefix("s3://").partition("/")
        return bucket, key


class ServerProcess:
    """A server process as a context manager. If it still runs at the end, it is killed."""

    def __init__(self, stored: Stored, folder: Path, **variables: str) -> None:
        self.model = stored.model
        self.termination_log = folder / "termination-log"
        self.termination_log.touch()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / "server.log"
        self._environment = {
            **os.environ,
            **stored.variables(),
            meta.WORK_DIR_ENV: str(folder / "work"),
            meta.TERMINATION_LOG_ENV: str(self.termination_log),
            meta.SERVER_PORT_ENV: str(self.port),
            meta.SERVER_THREADS_ENV: "2",
            meta.SERVER_DRAIN_SECONDS_ENV: "2",
            **variables,
        }

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "trainyard_server"],
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def path(self) -> str:
        return f"{self.url}/v2/models/{self.model}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def await_ready(self) -> None:
        """Wait until the readiness endpoint responds with 200."""
        deadline = time.monotonic() + START_SECONDS
        while not self.ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the server was not ready within {START_SECONDS} s:\n{self.log}")
            time.sleep(0.05)  # between two checks

    def ready(self) -> bool:
        try:
            return requests.get(f"{self.url}{meta.model_ready_path(self.model)}", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False

    def infer(self, body: Any, path: str = "") -> requests.Response:
        return requests.post(f"{self.path}{path}/infer", json=body, timeout=RESPONSE_SECONDS)

    def terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def await_end(self) -> int:
        return self._process.wait(START_SECONDS + STOP_SECONDS)
