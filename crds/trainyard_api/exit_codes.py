"""The exit codes of the trainer (from BSD's sysexits.h), and what each code means for the next attempt."""

from enum import IntEnum


class ExitCode(IntEnum):
    """How a trainer process ends. A code that is not listed here (1, 134, 139, ...) is a crash, which is retried."""

    OK = 0
    BAD_CONFIG = 64
    BAD_DATA = 65
    INPUT_MISSING = 66
    UPSTREAM_UNAVAILABLE = 69
    INTERRUPTED = 75
    NOT_PERMITTED = 77
    UNSUPPORTED = 78
    KILLED = 137
    """SIGKILL. If the reason is ``OOMKilled``, the next attempt gets more memory."""

    @property
    def reason(self) -> str:
        """The reason in conditions, Events and attempts, as one CamelCase word."""
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
"""Exit codes that are not retried, because another attempt would end in the same way."""


def reason_of(code: int) -> str:
    """Return the reason for any exit code. The reason for a code that is not listed is ``Crashed``."""
    try:
        return ExitCode(code).reason
    except ValueError:
        return "Crashed"
