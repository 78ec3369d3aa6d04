"""A real MLflow server on loopback, and a proxy in front of it that requires a password."""

import base64
import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.integration.trainer.object_store import free_port

START_SECONDS = 180
"""The imports of its libraries take long on a busy machine."""
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # eight processes that evaluate language models
}
USER, PASSWORD = "tracker", "secret-of-the-tracker"


class MlflowServer:
    """Starts and stops the processes: metadata in SQLite, artifacts in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.log = folder / "log"
        options = ["--host=127.0.0.1", f"--port={self.port}", "--workers=1", f"--artifacts-destination={folder}/kept"]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", f"--backend-store-uri=sqlite:///{folder}/runs.db", *options],
                env={**os.environ, **_SETTINGS},
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                start_new_session=True,
            )
        self._await_start()

    def stop(self) -> None:
        """End the server with its workers. They run in a session of their own."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _await_start(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._responds():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"MLflow did not answer on {self.uri} in {START_SECONDS} s:\n{self.log.read_text()}")
            time.sleep(0.1)

    def _responds(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            # Not /health: the first response from the database takes much longer than the later ones.
            connection.request("GET", "/api/2.0/mlflow/experiments/search?max_results=1")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


@contextmanager
def password_proxy(port: int) -> Iterator[str]:
    """Yield the address of a proxy that requires the password."""
    wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def _forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Authorization") != wanted:
                self._respond(401, b"You are not authenticated", "text/plain")
                return
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            headers = {"Content-Type": self.headers.get("Content-Type") or "application/json"}
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            self._respond(response.status, response.read(), response.getheader("Content-Type") or "application/json")
            connection.close()

        def _respond(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

        do_GET = do_POST = do_PUT = do_PATCH = _forward  # noqa: N815 - the names that http.server calls

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
