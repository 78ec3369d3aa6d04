"""A real S3 server for tests: versitygw over a folder, with an administrator and a guest with read access."""

import json
import os
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from trainyard_trainer.credentials import ACCESS_KEY, SECRET_KEY, s3_client

ADMIN = ("administrator", "administrators-secret")
GUEST = ("guest", "secret-of-the-guest")
BUCKET = "models"
DATA_BUCKET = "data-sets"
START_SECONDS = 60


cuts_a_download = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""For tests that stop a download in the middle. s3transfer leaves its socket to the garbage collector.

A pod ends at this point. Such a test collects garbage before it ends, so that the warning does not appear in another
test.
"""


def free_port() -> int:
    """Return a port on which no process listens at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class ObjectStore:
    """The address, and the Secrets as the kubelet would mount them."""

    endpoint: str
    admin_secret: Path
    guest_secret: Path

    def client(self) -> Any:
        """Return the administrator's client."""
        return s3_client(self.endpoint, None, self.admin_secret)


class ObjectStoreServer:
    """Starts and stops the process."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self._binary = binary
        self._folder = folder
        for name in ("data", "accounts"):
            (folder / name).mkdir(parents=True)
        port = free_port()
        self._log = (folder / "versitygw.log").open("wb")
        self._process = subprocess.Popen(
            [binary, "--port", f"127.0.0.1:{port}", "--iam-dir", folder / "accounts", "posix", folder / "data"],
            env={**os.environ, "ROOT_ACCESS_KEY": ADMIN[0], "ROOT_SECRET_KEY": ADMIN[1]},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._await_port(port)
        self.store = ObjectStore(
            f"http://127.0.0.1:{port}", secret(folder / "admin-secret", *ADMIN), secret(folder / "guest-secret", *GUEST)
        )
        self._prepare()

    def stop(self) -> None:
        """Kill the process. After SIGTERM it would wait for idle connections."""
        self._process.kill()
        self._process.wait()
        self._log.close()

    def _await_port(self, port: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            if self._process.poll() is not None or time.monotonic() > deadline:
                log = (self._folder / "versitygw.log").read_text()
                raise RuntimeError(f"versitygw did not listen on port {port} within {START_SECONDS} s:\n{log}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except ConnectionRefusedError:
                time.sleep(0.02)  # between two checks
            else:
                return

    def _prepare(self) -> None:
        admin = [self._binary, "admin", "--access", ADMIN[0], "--secret", ADMIN[1], "--endpoint-url"]
        user = ["create-user", "--access", GUEST[0], "--secret", GUEST[1], "--role", "user"]
        subprocess.run([*admin, self.store.endpoint, *user], check=True, capture_output=True)
        client = self.store.client()
        client.create_bucket(Bucket=BUCKET)
        read_only = {
            "Effect": "Allow",
            "Principal": {"AWS": [GUEST[0]]},
            "Action": ["s3:GetObject", "s3:ListBucket"],
            "Resource": [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"],
        }
        client.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [read_only]}))


def secret(folder: Path, access_key: str, secret_key: str) -> Path:
    """Write a Secret as the kubelet mounts it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ACCESS_KEY).write_text(access_key)
    (folder / SECRET_KEY).write_text(secret_key)
    return folder
