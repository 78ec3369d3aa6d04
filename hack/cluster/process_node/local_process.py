"""One local process in its own session, ended with everything it started. Exits come by pidfd: no thread waits."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class LocalProcess:
    """A running program whose output goes to a file.

    As with a container, the end of the first process is the end of all that it started, and SIGTERM goes to it alone.
    """

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], folder: Path, log: Path) -> None:
        """Start the program in `folder`; output is added to `log`.

        Raises
        ------
        OSError
            The program cannot be started.
        """
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                argv,
                env=dict(env),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._ended = asyncio.get_running_loop().create_future()
        self._handle = os.pidfd_open(self._process.pid)
        asyncio.get_running_loop().add_reader(self._handle, self._reap)

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its session and group."""
        return self._process.pid

    async def wait(self) -> int:
        """Wait for the end; returns the exit code, 128 + number for a signal."""
        return int(await asyncio.shield(self._ended))

    def terminate(self) -> None:
        """Ask the first process to end (SIGTERM)."""
        if not self._ended.done():
            signal.pidfd_send_signal(self._handle, signal.SIGTERM)

    def kill(self) -> None:
        """End the first process and its group at once (SIGKILL)."""
        if not self._ended.done():
            os.killpg(self._process.pid, signal.SIGKILL)

    def _reap(self) -> None:
        """Take the exit status. The group is ended first: until it is reaped, the leader's id cannot be given away."""
        asyncio.get_running_loop().remove_reader(self._handle)
        os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        os.close(self._handle)
        self._ended.set_result(code if code >= 0 else 128 - code)
