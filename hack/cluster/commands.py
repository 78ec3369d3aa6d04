"""Short commands, with readable errors."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from cluster.model import ClusterError

_TAIL = 2000


def run(
    command: Sequence[str | Path],
    *,
    timeout: float = 60,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Return a command's output. Raises :class:`ClusterError` with the end of the output."""
    words = [str(word) for word in command]
    shown = " ".join(words)[:300]
    try:
        done = subprocess.run(words, input=stdin, capture_output=True, text=True, check=False, timeout=timeout, env=env)
    except FileNotFoundError as error:
        raise ClusterError(f"there is no program {words[0]} on this machine") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"`{shown}` did not end within {timeout:.0f} s") from error
    if done.returncode != 0:
        output = (done.stderr.strip() or done.stdout.strip())[-_TAIL:]
        raise ClusterError(f"`{shown}` failed with status {done.returncode}: {output}")
    return done.stdout


def succeeds(command: Sequence[str | Path], *, timeout: float = 30) -> bool:
    """Return whether a command exists and ends with status 0."""
    try:
        run(command, timeout=timeout)
    except ClusterError:
        return False
    return True
