"""The user's script in a process group of its own: listened to, bounded, stopped when it is time, gone afterwards."""

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
"""How often the request to stop and the process itself are checked."""
_PIECE: Final = 1 << 16
_LAUNCH: Final = """
import ctypes, os, resource, sys
ctypes.CDLL(None).prctl(1, 9)
for which, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, int(sys.argv[1]))):
    resource.setrlimit(which, (most, most))
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Becomes the command after it has bounded itself, and asked for SIGKILL should the trainer die before it.

A process of its own for that: between fork and exec no code is safe beside the threads of the trainer.
"""
_DRAIN_SECONDS: Final = 1.0
"""What is still in the pipes is read for so long: a child that left the group could hold them open for ever."""


@dataclass(frozen=True)
class Limits:
    """What a script may use beside the pod's limits.

    Attributes
    ----------
    seconds
        How long it may run; ``None`` for no end.
    grace_seconds
        From SIGTERM to SIGKILL; the pod has twice that, and needs the rest to tell how it ended.
    file_bytes
        The largest file it may write: a loop must not fill the node's disk.
    """

    seconds: float | None = None
    grace_seconds: float = 30.0
    file_bytes: int = 16 << 30


@dataclass(frozen=True)
class Ended:
    """How it ended: ``code`` as in :class:`subprocess.Popen`, negative for a signal."""

    code: int
    was_stopped: bool = False
    was_late: bool = False


class Hears(Protocol):
    """Takes what the process prints."""

    def __call__(self, piece: bytes, *, is_error: bool) -> None:
        """Take some bytes of one stream."""
        ...


def run_group(
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    limits: Limits,
    stop: Callable[[], bool],
    hear: Hears,
) -> Ended:
    """Run a command until it ends, is stopped or is late; whatever it started in its group ends with it.

    Parameters
    ----------
    command
        A program by its path, and its arguments.
    stop
        Asked some ten times in a second whether the process has to end.
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
            return _watch(process, limits, stop, hear)
        finally:
            _signal(process.pid, signal.SIGKILL)


class _Patience:
    """Sends SIGTERM when it is time, and SIGKILL after the grace."""

    def __init__(self, group: int, limits: Limits, stop: Callable[[], bool]) -> None:
        self._group, self._limits, self._stop = group, limits, stop
        self._started = time.monotonic()
        self._asked: float | None = None
        self.was_stopped = self.was_late = False

    def check(self) -> None:
        now = time.monotonic()
        if self._asked is None:
            self.was_stopped = self._stop()
            self.was_late = self._limits.seconds is not None and now - self._started >= self._limits.seconds
            if self.was_stopped or self.was_late:
                self._asked = now
                _signal(self._group, signal.SIGTERM)
        elif now - self._asked >= self._limits.grace_seconds:
            _signal(self._group, signal.SIGKILL)


def _watch(process: "subprocess.Popen[bytes]", limits: Limits, stop: Callable[[], bool], hear: Hears) -> Ended:
    patience = _Patience(process.pid, limits, stop)
    with selectors.DefaultSelector() as selector:
        for stream, is_error in ((process.stdout, False), (process.stderr, True)):
            if stream is None:
                raise AssertionError("both streams are pipes")
            os.set_blocking(stream.fileno(), False)
            selector.register(stream.fileno(), selectors.EVENT_READ, is_error)
        while not _has_ended(process.pid):
            patience.check()
            _listen(selector, hear, _POLL_SECONDS)
        _signal(process.pid, signal.SIGKILL)  # before it is reaped: until then nobody else can have its number
        code = process.wait()
        until = time.monotonic() + _DRAIN_SECONDS
        while selector.get_map() and time.monotonic() < until and _listen(selector, hear, 0):
            pass
    return Ended(code, patience.was_stopped, patience.was_late)


def _listen(selector: selectors.BaseSelector, hear: Hears, seconds: float) -> bool:
    """Read once what there is; tell whether there was anything."""
    ready = selector.select(seconds)
    for key, _ in ready:
        piece = os.read(key.fd, _PIECE)
        if piece:
            hear(piece, is_error=key.data)
        else:
            selector.unregister(key.fd)
    return bool(ready)


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _signal(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return  # nobody is left
