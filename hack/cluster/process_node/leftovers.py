"""Ends the processes of pods whose node has been killed.

Every process of a pod has the node's folder in its environment, and passes it on to the processes that it starts.
"""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

FOLDER_ENV = "TRAINYARD_PROCESS_NODE"
"""Environment variable of every process of a pod: the folder of its node."""
_EXEC_SECONDS = 0.1
"""A process that has just been started has no environment in /proc for a moment."""


def processes_of(folder: Path) -> list[int]:
    """Return the ids of all processes of pods of the node with this folder."""
    wanted = f"{FOLDER_ENV}={folder}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or belongs to another user
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def end_processes_of(folder: Path) -> None:
    """Kill all processes of pods of a node that does not run any more, until there are none."""
    while True:
        time.sleep(_EXEC_SECONDS)
        running = processes_of(folder)
        if not running:
            return
        for pid in running:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
