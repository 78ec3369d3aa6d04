"""One local process in a session of its own."""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self


class LocalProcess:
    """A running program whose output goes to a file.

    As in a container, SIGTERM goes to the first process alone, and its end is the end of all processes that it started.
    """

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, argv: Sequence[str], env: Mapping[str, str], folder: Path, log: Path) -> Self:
        """Start the program in ``folder``. Raises OSError if it cannot be started."""
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *argv, env=env, cwd=folder, stdin=DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        return cls(process)

    async def wait(self) -> int:
        """Wait for the end and kill what is left of the process group. Returns the exit code, 128 + N for signal N."""
        code = await self._process.wait()
        self._kill_group()
        return code if code >= 0 else 128 - code

    async def end(self, grace: float) -> None:
        """Send SIGTERM, and after ``grace`` seconds SIGKILL. Returns when the process has ended."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), grace)
        except TimeoutError:
            self._kill_group()
            await self._process.wait()

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
