"""Processes that continue to run after the command that started them has ended.

The kernel may give the id of an ended process to another one. So the record has the start time, too.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cluster.model import ClusterError

_POLL_SECONDS = 0.05
_TAIL = 2000


@dataclass(frozen=True)
class Recorded:
    """A started process: its id, and the clock tick of its start."""

    name: str
    pid: int
    started: str

    def alive(self) -> bool:
        """Return whether this process still runs."""
        return _start_tick(self.pid) == self.started


_LESS_COLLECTION = {"GOGC": "400"}
"""With Go's default, the API server spends a third of its time on garbage collection. This needs more memory."""


class ProcessTable:
    """The processes of one cluster, recorded as files in its folder.

    ``prefix`` is put before each command, to run the program in other namespaces.
    """

    def __init__(self, folder: Path, prefix: Sequence[str] = ()) -> None:
        self._prefix = tuple(prefix)
        self._records = folder / "processes"
        self._logs = folder / "logs"

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Recorded:
        """Start a program in its own session, with its output in ``logs/<name>.log``."""
        self._records.mkdir(parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        with self.log(name).open("ab") as output:
            process = subprocess.Popen(
                [*self._prefix, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**_LESS_COLLECTION, **os.environ, **(environment or {})},
            )
        process.returncode = 0  # Popen must not warn of a running child: `alive` reaps it by its id
        recorded = Recorded(name, process.pid, _start_tick(process.pid) or "")
        (self._records / f"{name}.json").write_text(json.dumps({"pid": recorded.pid, "started": recorded.started}))
        return recorded

    def log(self, name: str) -> Path:
        """Return the file with a program's output."""
        return self._logs / f"{name}.log"

    def tail(self, name: str) -> str:
        """Return the end of a program's output, for an error message."""
        file = self.log(name)
        return file.read_text(errors="replace")[-_TAIL:].strip() if file.exists() else ""

    def find(self, name: str) -> Recorded | None:
        """Return a recorded process, which may have ended."""
        file = self._records / f"{name}.json"
        if not file.exists():
            return None
        return Recorded(name=name, **json.loads(file.read_text()))

    def check_running(self) -> None:
        """Raise :class:`ClusterError` if a recorded process has ended, with the end of its output."""
        for process in self.all():
            if not process.alive():
                raise ClusterError(
                    f"{process.name} has ended unexpectedly. The end of its output:\n{self.tail(process.name)}"
                )

    def all(self) -> list[Recorded]:
        """Return all recorded processes, which may have ended."""
        found = [self.find(file.stem) for file in sorted(self._records.glob("*.json"))]
        return [process for process in found if process is not None]

    def stop(self, name: str, grace: float = 10.0) -> None:
        """End a process with SIGTERM, and after ``grace`` seconds with SIGKILL. It may have ended already."""
        process = self.find(name)
        if process is not None and process.alive():
            _signal_group(process.pid, signal.SIGTERM)
            if not eventually(lambda: not process.alive(), grace):
                _signal_group(process.pid, signal.SIGKILL)
                wait_for(f"{name} (process {process.pid}) to end after SIGKILL", lambda: not process.alive(), 60)
        (self._records / f"{name}.json").unlink(missing_ok=True)

    def kill_all(self, first: str = "") -> None:
        """End all recorded processes with SIGKILL, the process ``first`` before the others."""
        processes = sorted((each for each in self.all() if each.alive()), key=lambda each: each.name != first)
        for process in processes:
            _signal_group(process.pid, signal.SIGKILL)
        names = ", ".join(process.name for process in processes)
        wait_for(f"{names} to end after SIGKILL", lambda: not any(each.alive() for each in processes), 60)


def eventually(condition: Callable[[], bool], timeout: float, poll: float = _POLL_SECONDS) -> bool:
    """Check a condition every ``poll`` seconds, for at most ``timeout`` seconds. Return whether it holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(poll)
    return True


def wait_for(
    what: str,
    condition: Callable[[], bool],
    timeout: float,
    hint: Callable[[], str] = str,
    poll: float = _POLL_SECONDS,
) -> None:
    """Wait until a condition holds. Raises :class:`ClusterError` with ``what`` and ``hint()``."""
    if not eventually(condition, timeout, poll):
        raise ClusterError(f"waited {timeout:.0f} s for {what}, without success\n{hint()}".strip())


def _start_tick(pid: int) -> str | None:
    """Return field 22 of /proc/PID/stat, ``None`` if the process has ended. Reaps the process if it is a child."""
    with suppress(ChildProcessError):  # an earlier command started it
        os.waitpid(pid, os.WNOHANG)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return  # it has just ended
