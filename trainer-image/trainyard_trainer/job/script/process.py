"""Run the user's script in its own process group: read its output, limit it, stop it in time, and end all its
processes.
"""

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

_POLL_SECONDS: Final = 0.1
"""How often the request to stop and the process are checked."""
_PIECE: Final = 1 << 16
_LAUNCH: Final = """
import ctypes, os, resource, sys
ctypes.CDLL(None).prctl(1, 9)
for which, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, int(sys.argv[1]))):
    resource.setrlimit(which, (most, most))
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Sets resource limits, requests SIGKILL if the trainer dies first, and then replaces itself with the command.

This is a separate process, because code between fork and exec is not safe if the trainer has threads.
"""
_DRAIN_SECONDS: Final = 1.0
"""How long the rest of the pipes is read. A child that left the group could keep them open without end."""


@dataclass(frozen=True)
class Limits:
    """Limits of a script in addition to those of the pod.

    Attributes
    ----------
    seconds
        Maximum running time; ``None`` for no limit.
    grace_seconds
        Time from SIGTERM to SIGKILL. The pod has twice that, and needs the rest to report the result.
    file_bytes
        Maximum size of a file that it writes, so that a loop cannot fill the disk of the node.
    """

    seconds: float | None = None
    grace_seconds: float = 30.0
    file_bytes: int = 16 << 30


@dataclass(frozen=True)
class Ended:
    """How the process ended. ``code`` is as in :class:`subprocess.Popen`, negative for a signal."""

    code: int
    was_stopped: bool = False
    timed_out: bool = False


class Receive(Protocol):
    """A callback for the output of the process."""

    def __call__(self, piece: bytes, *, is_error: bool) -> None:
        """Process some bytes of one stream."""
        ...


def run_group(
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    limits: Limits,
    stop: Callable[[], bool],
    receive: Receive,
) -> Ended:
    """Run a command until it ends, is stopped or exceeds its time limit. All processes of its group end with it.

    Parameters
    ----------
    command
        The path of a program, and its arguments.
    stop
        Called about ten times per second. It returns whether the process must end.
    """
    with subprocess.Popen(
        [sys.executable, "-I", "-c", _LAUNCH, str(limits.file_bytes), *command],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            return _watch(process, limits, stop, receive)
        finally:
            _signal(process.pid, signal.SIGKILL)


class _Terminator:
    """Sends SIGTERM on a stop or at the time limit, and SIGKILL after the grace period."""

    def __init__(self, group: int, limits: Limits, stop: Callable[[], bool]) -> None:
        self._group, self._limits, self._stop = group, limits, stop
        self._started = time.monotonic()
        self._terminated_at: float | None = None
        self.was_stopped = self.timed_out = False

    def check(self) -> None:
        now = time.monotonic()
        if self._terminated_at is None:
            self.was_stopped = self._stop()
            self.timed_out = self._limits.seconds is not None and now - self._started >= self._limits.seconds
            if self.was_stopped or self.timed_out:
                self._terminated_at = now
                _signal(self._group, signal.SIGTERM)
        elif now - self._terminated_at >= self._limits.grace_seconds:
            _signal(self._group, signal.SIGKILL)


def _watch(process: "subprocess.Popen[bytes]", limits: Limits, stop: Callable[[], bool], receive: Receive) -> Ended:
    terminator = _Terminator(process.pid, limits, stop)
    with selectors.DefaultSelector() as selector:
        for stream, is_error in ((process.stdout, False), (process.stderr, True)):
            if stream is None:
                raise AssertionError("both streams are pipes")
            os.set_blocking(stream.fileno(), False)
            selector.register(stream.fileno(), selectors.EVENT_READ, is_error)
        while not _has_ended(process.pid):
            terminator.check()
            _read_ready(selector, receive, _POLL_SECONDS)
        _signal(process.pid, signal.SIGKILL)  # before ``wait``: until then, no other process can get this number
        code = process.wait()
        until = time.monotonic() + _DRAIN_SECONDS
        while selector.get_map() and time.monotonic() < until and _read_ready(selector, receive, 0):
            pass
    return Ended(code, terminator.was_stopped, terminator.timed_out)


def _read_ready(selector: selectors.BaseSelector, receive: Receive, seconds: float) -> bool:
    """Read the available data once. Return whether a stream was ready."""
    ready = selector.select(seconds)
    for key, _ in ready:
        piece = os.read(key.fd, _PIECE)
        if piece:
            receive(piece, is_error=key.data)
        else:
            selector.unregister(key.fd)
    return bool(ready)


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _signal(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return  # the group has no processes
