"""Errors that end a training: one message for the user, and the exit code that decides about a retry.

Any other exception is a crash (exit code 1), after which the operator retries.
"""

from trainyard_api.exit_codes import ExitCode


class TrainerError(Exception):
    """A failure with a known cause. ``str(error)`` states the error, its location, and a solution."""

    code: int


class ConfigError(TrainerError):
    """The specification requests something impossible: an unknown parameter, a wrong value."""

    code = ExitCode.BAD_CONFIG


class DataError(TrainerError):
    """The data was read, but no model can be trained on it.

    ``row`` is the data row with the error, if there is one: 1 is the first row of the first file.
    """

    code = ExitCode.BAD_DATA

    def __init__(self, message: str, *, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row


class InputMissing(TrainerError):  # noqa: N818 - named after the exit code
    """A bucket, an object, a file or a page that the specification names does not exist."""

    code = ExitCode.INPUT_MISSING


class UpstreamUnavailable(TrainerError):  # noqa: N818 - named after the exit code
    """A server did not respond, or responded with a server error, after all retries."""

    code = ExitCode.UPSTREAM_UNAVAILABLE


class Interrupted(TrainerError):  # noqa: N818 - named after the exit code
    """Stopped from outside before the model was complete; the next attempt starts again."""

    code = ExitCode.INTERRUPTED


class NotPermitted(TrainerError):  # noqa: N818 - named after the exit code
    """The credentials were rejected, or do not have the permission."""

    code = ExitCode.NOT_PERMITTED


class ScriptFailed(TrainerError):  # noqa: N818 - named after the exit code
    """A script of the user ended with an error. The exit code is that of the script if the API defines it."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Unsupported(TrainerError):  # noqa: N818 - named after the exit code
    """A valid request that this release does not support."""

    code = ExitCode.UNSUPPORTED
