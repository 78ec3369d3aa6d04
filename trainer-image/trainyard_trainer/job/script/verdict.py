"""Convert the end of a script to success or an error."""

import signal
from typing import Final

from trainyard_api.exit_codes import ExitCode
from trainyard_trainer.errors import Interrupted, ScriptFailed
from trainyard_trainer.job.script.process import Ended

CRASHED: Final = 1
_WORDS: Final = 512
_KNOWN: Final = frozenset(int(code) for code in ExitCode)


def judge(ended: Ended, last_words: str, seconds: float | None) -> None:
    """Return if the script succeeded.

    Raises
    ------
    Interrupted
        It ended on request, or it exceeded its time limit.
    ScriptFailed
        It ended with an error; the message ends with its last line of output.
    """
    if ended.was_late:
        raise Interrupted(
            f"the script was still running after {seconds:g} s (spec.activeDeadlineSeconds) and was stopped; give it "
            "more time or less to do"
        )
    if ended.code == 0:
        return
    if ended.was_stopped:
        raise Interrupted("the script was stopped by a signal; nothing was registered, the next attempt starts again")
    if ended.code == -signal.SIGKILL:
        raise ScriptFailed(
            "the script was killed (SIGKILL), most likely because the memory was used up; raise "
            "spec.resources.limits.memory or let it use less",
            ExitCode.KILLED,
        )
    said = f": {last_words[:_WORDS]}" if last_words else " and printed nothing; let it say why it fails"
    if ended.code < 0:
        raise ScriptFailed(f"the script was ended by {_name(-ended.code)}{said}", CRASHED)
    code = ended.code if ended.code in _KNOWN else CRASHED
    raise ScriptFailed(f"the script ended with exit code {ended.code}{said}", code)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
