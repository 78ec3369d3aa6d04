"""Processes that outlive the command which starts them, and can be found, and ended, by a later one."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cluster.model import ClusterError
from cluster.state import ProcessRecord

_POLL_SECONDS = 0.05
_LOG_TAIL_LINES = 15


def start(name: str, command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None) -> ProcessRecord:
    """Start a process in a session of its own, with its output appended to ``log``; ``env`` comes on top of ours."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(env or {})},
        )
    started = _start_time(process.pid)
    if started is None:
        raise ClusterError(f"{name} ended at once:\n{tail(log)}")
    # It is ours to end, not to wait for: whoever is its parent then, a zombie counts as ended below.
    process.returncode = 0
    return ProcessRecord(name, process.pid, started)


def is_running(record: ProcessRecord) -> bool:
    """Tell whether this very process still runs; one that ended, a zombie, or another of the same id does not."""
    return _start_time(record.pid) == record.started


def stop(records: Sequence[ProcessRecord], grace: float = 10) -> None:
    """End processes together: SIGTERM, up to ``grace`` seconds, then SIGKILL. Those that are gone are no error.

    Raises
    ------
    ClusterError
        When one survives SIGKILL.
    """
    _signal(records, signal.SIGTERM)
    if not _all_gone(records, grace):
        _signal(records, signal.SIGKILL)
        if not _all_gone(records, 10):
            left = ", ".join(f"{record.name} ({record.pid})" for record in records if is_running(record))
            raise ClusterError(f"these processes do not end, even by SIGKILL: {left}")


def wait_for(
    what: str,
    condition: Callable[[], bool],
    timeout: float,
    *,
    needs: Sequence[ProcessRecord] = (),
    log: Path | None = None,
) -> None:
    """Return as soon as the condition holds.

    ``needs`` are processes without which it never will; ``log`` is quoted when it does not.

    Raises
    ------
    ClusterError
        After ``timeout`` seconds, or as soon as a needed process has ended.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        dead = [record.name for record in needs if not is_running(record)]
        late = time.monotonic() > deadline
        if dead or late:
            why = f"{' and '.join(dead)} ended" if dead else f"it took more than {timeout:.0f} s"
            raise ClusterError(f"waited for {what}, but {why}" + (f":\n{tail(log)}" if log else ""))
        time.sleep(_POLL_SECONDS)


def tail(log: Path) -> str:
    """Return the last lines of a log and where to read the rest."""
    if not log.exists():
        return f"({log} was not written)"
    lines = log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
    return "\n".join([*(line[:300] for line in lines), f"(all of it: {log})"])


def _start_time(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name in brackets, and may itself hold blanks and brackets.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def _all_gone(records: Sequence[ProcessRecord], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(is_running(record) for record in records):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _signal(records: Sequence[ProcessRecord], number: signal.Signals) -> None:
    for record in records:
        if is_running(record):
            try:
                os.kill(record.pid, number)
            except ProcessLookupError:
                continue
