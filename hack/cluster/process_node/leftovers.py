"""Ends processes that an earlier run of a node left behind.

Every process of a pod carries its pod's folder in its environment, and so do all its descendants. That finds them
without a record that could be missing or stale; a handle taken before the look rules out that a reused id is hit.
"""

import os
import signal
from pathlib import Path

MARK = "TRAINYARD_PROCESS_POD"
"""Environment variable of every process of a pod: the pod's folder."""


def end_leftovers(pods: Path) -> list[int]:
    """Kill every process that belongs to a pod below the folder `pods`; returns their ids."""
    prefix = f"{MARK}={pods}/".encode()
    running = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in running if _end(pid, prefix)]


def _end(pid: int, prefix: bytes) -> bool:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        if not any(each.startswith(prefix) for each in variables):
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except (ProcessLookupError, PermissionError, FileNotFoundError):
        return False
    else:
        return True
    finally:
        os.close(handle)
