"""The memory that a process and all its children use together. Each shared page counts once (PSS)."""

import threading
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_SECONDS: Final = 0.2


class PeakMemory:
    """Measures five times a second until its block ends.

    ``mib`` is the largest sum of memory, ``processes`` the largest number of processes.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.mib = 0.0
        self.processes = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._done.wait(_SECONDS):
            tree = descendants(self._pid)
            self.mib = max(self.mib, sum(pss_kib(pid) for pid in tree) / 1024)
            self.processes = max(self.processes, len(tree))


def descendants(pid: int) -> list[int]:
    """Return the process and all its descendants."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended in the meantime
        parents.setdefault(int(fields[1]), []).append(int(folder.name))
    found, pending = [], [pid]
    while pending:
        one = pending.pop()
        found.append(one)
        pending += parents.get(one, [])
    return found


def pss_kib(pid: int) -> int:
    """Return the memory share of a process, or 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
