"""Convert the end of a script to success or an error."""

import signal
from typing import Final

from trainyard_api.exit_codes import ExitCode
from trainyard_trainer.errors import Interrupted, ScriptFailed
from trainyard_trainer.job.script.process import Ended

CRASHED: Final = 1
_LAST_LINE_LENGTH: Final = 512
_KNOWN_CODES: Final = frozenset(int(code) for code in ExitCode)


def check_exit(ended: Ended, last_line: str, seconds: float | None) -> None:
    """Return if the script succeeded.

    Raises
    ------
    Interrupted
        It ended on request, or it exceeded its time limit.
    ScriptFailed
        It ended with an error; the message ends with its last line of output.
    """
    if ended.timed_out:
        raise Interrupted(
            f"the script still ran after {seconds:g} s (spec.activeDeadlineSeconds) and was stopped; raise "
            "the limit or shorten the script"
        )
    if ended.code == 0:
        return
    if ended.was_stopped:
        raise Interrupted("the script was stopped by a signal; nothing was registered, the next attempt starts again")
    if ended.code == -signal.SIGKILL:
        raise ScriptFailed(
            "the script was killed (SIGKILL), most likely because there was no memory left; raise "
            "spec.resources.limits.memory or use less memory",
            ExitCode.KILLED,
        )
    detail = f": {last_line[:_LAST_LINE_LENGTH]}" if last_line else " and printed nothing; print the cause of an error"
    if ended.code < 0:
        raise ScriptFailed(f"the script was ended by {_name(-ended.code)}{detail}", CRASHED)
    code = ended.code if ended.code in _KNOWN_CODES else CRASHED
    raise ScriptFailed(f"the script ended with exit code {ended.code}{detail}", code)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
