"""A real Prometheus with the rules of the chart, and the operator as a process. A test starts and stops them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests
import yaml

START_SECONDS = 120
ANSWER_SECONDS = 30
POLL_SECONDS = 0.1

Json = dict[str, Any]


class Program:
    """A process with a port of its own, as a context manager. It runs until the block ends."""

    def __init__(self, port: int, command: list[str], log: Path, probe: str, **environment: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.session = requests.Session()
        self.session.trust_env = False
        self._command = command
        self._log = log
        self._probe = probe
        self._environment = {**os.environ, **environment}

    def __enter__(self) -> Self:
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            wait_until(self._responds, f"{self._command[0]} to respond", START_SECONDS, self.log)
        except AssertionError:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def log(self) -> str:
        """Return the end of its log."""
        return self._log.read_text(errors="replace")[-3000:]

    def _responds(self) -> bool:
        if self._process.poll() is not None:
            raise AssertionError(f"{self._command[0]} has ended:\n{self.log()}")
        with suppress(requests.ConnectionError, requests.Timeout):
            return self.session.get(f"{self.url}{self._probe}", timeout=ANSWER_SECONDS).status_code == 200
        return False

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.session.close()


def operator(folder: Path, kubeconfig: Path, port: int, **config: Any) -> Program:
    """Return ``trainyard-operator`` as users start it."""
    file = folder / "operator.yaml"
    file.write_text(yaml.safe_dump({**config, "health": {"bind": "127.0.0.1", "port": port}}))
    command = [str(Path(sys.executable).with_name("trainyard-operator"))]
    environment = {"KUBECONFIG": str(kubeconfig), "TRAINYARD_CONFIG_FILE": str(file)}
    return Program(port, command, folder / "operator.log", "/readyz", **environment)


class Prometheus(Program):
    """Scrapes each second, with the configuration that the monitors of the chart would create."""

    def __init__(self, binary: Path, folder: Path, port: int, rules: Path, jobs: list[Json]) -> None:
        file = folder / "prometheus.yaml"
        intervals = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        file.write_text(yaml.safe_dump({"global": intervals, "rule_files": [str(rules)], "scrape_configs": jobs}))
        command = [
            str(binary),
            f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ]
        super().__init__(port, command, folder / "prometheus.log", "/-/ready")

    def get(self, path: str, **parameters: str) -> Any:
        """Return the data of a response.

        Raises :class:`AssertionError` with the error or the warnings of Prometheus.
        """
        response = self.session.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=ANSWER_SECONDS).json()
        assert response["status"] == "success", f"{parameters}: {response.get('error')}"
        assert not response.get("warnings"), f"{parameters}: {response['warnings']}"
        return response["data"]

    def series(self, expr: str) -> list[Json]:
        """Return the present result of an expression."""
        found: list[Json] = self.get("query", query=expr)["result"]
        return found


def wait_until(
    holds: Callable[[], bool], what: str, seconds: float, details: Callable[[], object] = lambda: ""
) -> None:
    """Wait until ``holds()`` is true.

    After ``seconds`` raise :class:`AssertionError` with the result of ``details``.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s for {what}: {details()}")
        time.sleep(POLL_SECONDS)  # between two checks
