"""Processes that outlive the command that starts them, and are stopped by id, never by name.

A pid alone can be somebody else's by the time it is used, so the start time of the process is recorded with it.
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
    """A process as it was started: its id, and the clock tick at which the kernel started it."""

    name: str
    pid: int
    started: str

    def alive(self) -> bool:
        """Tell whether this very process still runs."""
        return _start_tick(self.pid) == self.started


_LESS_COLLECTION = {"GOGC": "400"}
"""Go's default collects garbage for a third of the API server's time; a few hundred MB more are cheaper."""


class ProcessTable:
    """The processes of one cluster, recorded as files in its folder.

    ``prefix`` goes before every command, for programs that are to run in namespaces of their own.
    """

    def __init__(self, folder: Path, prefix: Sequence[str] = ()) -> None:
        self._prefix = tuple(prefix)
        self._records = folder / "processes"
        self._logs = folder / "logs"

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Recorded:
        """Start a program in a session of its own, with its output in ``logs/<name>.log``."""
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
        process.returncode = 0  # `alive` reaps it by its id; without this, Popen warns of a child that still runs
        recorded = Recorded(name, process.pid, _start_tick(process.pid) or "")
        (self._records / f"{name}.json").write_text(json.dumps({"pid": recorded.pid, "started": recorded.started}))
        return recorded

    def log(self, name: str) -> Path:
        """Return where a program's output goes."""
        return self._logs / f"{name}.log"

    def tail(self, name: str) -> str:
        """Return the end of a program's output, for an error message."""
        file = self.log(name)
        return file.read_text(errors="replace")[-_TAIL:].strip() if file.exists() else ""

    def find(self, name: str) -> Recorded | None:
        """Return a recorded process, alive or not."""
        file = self._records / f"{name}.json"
        if not file.exists():
            return None
        return Recorded(name=name, **json.loads(file.read_text()))

    def insist(self) -> None:
        """Raise :class:`ClusterError` with the last words of a recorded process that has ended."""
        for process in self.all():
            if not process.alive():
                raise ClusterError(
                    f"{process.name} ended while it was needed; its last words:\n{self.tail(process.name)}"
                )

    def all(self) -> list[Recorded]:
        """Return every recorded process, alive or not."""
        found = [self.find(file.stem) for file in sorted(self._records.glob("*.json"))]
        return [process for process in found if process is not None]

    def stop(self, name: str, grace: float = 10.0) -> None:
        """End a process: SIGTERM, a bounded wait, SIGKILL to its whole session. Not running is fine."""
        process = self.find(name)
        if process is not None and process.alive():
            _signal_group(process.pid, signal.SIGTERM)
            if not eventually(lambda: not process.alive(), grace):
                _signal_group(process.pid, signal.SIGKILL)
                wait_for(f"{name} (process {process.pid}) to end after SIGKILL", lambda: not process.alive(), 60)
        (self._records / f"{name}.json").unlink(missing_ok=True)

    def kill_all(self, first: str = "") -> None:
        """End every recorded process at once, without the chance to say goodbye: for what is thrown away anyway.

        ``first`` names the one that goes before the others.
        """
        processes = sorted((each for each in self.all() if each.alive()), key=lambda each: each.name != first)
        for process in processes:
            _signal_group(process.pid, signal.SIGKILL)
        names = ", ".join(process.name for process in processes)
        wait_for(f"{names} to end after SIGKILL", lambda: not any(each.alive() for each in processes), 60)


def eventually(condition: Callable[[], bool], timeout: float, poll: float = _POLL_SECONDS) -> bool:
    """Look every ``poll`` seconds until a condition holds, at most ``timeout`` seconds; return whether it does."""
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
    """Wait until a condition holds. Raises :class:`ClusterError` that says what was waited for, and ``hint()``."""
    if not eventually(condition, timeout, poll):
        raise ClusterError(f"waited {timeout:.0f} s for {what}, in vain\n{hint()}".strip())


def _start_tick(pid: int) -> str | None:
    """Return field 22 of /proc/PID/stat; ``None`` for a process that is gone or a zombie (and reap our own)."""
    with suppress(ChildProcessError):  # started by an earlier command: not ours to reap
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
        return  # it ended by itself in this moment
