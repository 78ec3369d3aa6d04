"""An operator in its own process, which a test can kill, pause and query."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import yaml

WAIT_SECONDS = 120.0
POLL_SECONDS = 0.1
PROGRAM = "from trainyard_operator.shell.main import main; main()"
WRITES = frozenset({"create", "apply", "patch", "delete"})


class Replica:
    """One replica of a release: its process, its log and its probes."""

    def __init__(self, name: str, kubeconfig: Path, folder: Path, config: dict[str, Any]) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        file = folder / f"{name}.yaml"
        local = {"progress": {"bind": "127.0.0.1", "port": 0}, "health": {"bind": "127.0.0.1", "port": 0}}
        file.write_text(yaml.safe_dump({**local, "workers": 4, **config}), encoding="utf-8")
        own = {"KUBECONFIG": str(kubeconfig), "TRAINYARD_CONFIG_FILE": str(file), "POD_NAME": name}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM], env={**os.environ, **own}, stdout=log, stderr=log
            )

    # ---- control -----------------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """Kill the process at any point, as a failed node does."""
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        """Stop the process, as a suspended machine does."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    async def terminate(self) -> int:
        """Terminate the process as a kubelet does, and return its exit code."""
        self._process.terminate()
        await self._until("its end", lambda: self._process.poll() is not None)
        return int(self._process.returncode)

    def clean_up(self) -> None:
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                self.go_on()
            self.kill()

    # ---- observation -------------------------------------------------------------------------------------------------

    def lines(self) -> Iterator[str]:
        """Iterate over the messages of the log."""
        for line in self._log.read_text("utf-8", "replace").splitlines():
            with suppress(ValueError):
                yield str(json.loads(line)["message"])

    async def says(self, words: str) -> str:
        """Wait for a log message with these words."""
        await self._until(f"'{words}'", lambda: any(words in line for line in self.lines()))
        return next(line for line in self.lines() if words in line)

    async def get(self, path: str) -> tuple[int, str]:
        """Request a path from the probes."""
        port = (await self.says("probes on port")).rpartition(" ")[2]
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
            return response.status, await response.text()

    async def is_ready(self, words: str = "ok") -> str:
        """Wait until the replica is ready and its readiness contains these words."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                with suppress(aiohttp.ClientError):
                    code, text = await self.get("/readyz")
                    if code == 200 and words in text:
                        return text
                await asyncio.sleep(POLL_SECONDS)

    async def writes(self) -> Counter[str]:
        """Return how many writes it has sent to the API server, by verb and resource.

        Writes of Leases and of its own certificate do not count.
        """
        found: Counter[str] = Counter()
        for line in (await self.get("/metrics"))[1].splitlines():
            if line.startswith("trainyard_api_requests_total{"):
                labels = dict(part.split("=") for part in line[line.index("{") + 1 : line.index("}")].split(","))
                verb, resource, code = (labels[key].strip('"') for key in ("verb", "resource", "code"))
                if verb in WRITES and code != "0" and resource not in ("leases", "secrets", "tokenreviews"):
                    found[f"{verb} {resource}"] += int(float(line.rpartition(" ")[2]))
        return found

    async def _until(self, what: str, holds: Any) -> None:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while not holds():  # noqa: ASYNC110 - a process wakes nobody
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            tail = "\n".join(self._log.read_text("utf-8", "replace").splitlines()[-20:])
            raise AssertionError(f"waited {WAIT_SECONDS:.0f} s for {what} of {self.name}; it says:\n{tail}") from None
