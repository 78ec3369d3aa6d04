"""The trainer's exit codes (after BSD's sysexits.h) and what each means for the next attempt."""

from enum import IntEnum


class ExitCode(IntEnum):
    """How a trainer process ends. A code that is not listed here (1, 134, 139, ...) is a crash and is tried again."""

    OK = 0
    BAD_CONFIG = 64
    BAD_DATA = 65
    INPUT_MISSING = 66
    UPSTREAM_UNAVAILABLE = 69
    INTERRUPTED = 75
    NOT_PERMITTED = 77
    UNSUPPORTED = 78
    KILLED = 137
    """SIGKILL; together with the reason ``OOMKilled`` the next attempt gets more memory."""

    @property
    def reason(self) -> str:
        """The CamelCase word that stands in conditions, events and attempts."""
        return _REASONS[self]


_REASONS = {
    ExitCode.OK: "Completed",
    ExitCode.BAD_CONFIG: "BadConfig",
    ExitCode.BAD_DATA: "BadData",
    ExitCode.INPUT_MISSING: "InputMissing",
    ExitCode.UPSTREAM_UNAVAILABLE: "UpstreamUnavailable",
    ExitCode.INTERRUPTED: "Interrupted",
    ExitCode.NOT_PERMITTED: "NotPermitted",
    ExitCode.UNSUPPORTED: "Unsupported",
    ExitCode.KILLED: "Killed",
}

NON_RETRYABLE = (
    ExitCode.BAD_CONFIG,
    ExitCode.BAD_DATA,
    ExitCode.INPUT_MISSING,
    ExitCode.NOT_PERMITTED,
    ExitCode.UNSUPPORTED,
)
"""Trying again would end the same way."""


def reason_of(code: int) -> str:
    """Return the reason for any exit code; a crash without a name of its own is ``Crashed``."""
    try:
        return ExitCode(code).reason
    except ValueError:
        return "Crashed"
