"""How a training ends when it cannot go on: one message for the user, and the exit code that says whether to retry.

Anything else that escapes is a crash (exit code 1), which the operator tries again.
"""

from trainyard_api.exit_codes import ExitCode


class TrainerError(Exception):
    """A failure with a known cause. ``str(error)`` says what is wrong, where, and what to do."""

    code: int


class ConfigError(TrainerError):
    """The specification asks for something that cannot be: an unknown parameter, a wrong value."""

    code = ExitCode.BAD_CONFIG


class DataError(TrainerError):
    """The data was read, but nothing can be trained on it as it is.

    ``row`` is the data row that is at fault, where it is one: 1 is the first of the first file.
    """

    code = ExitCode.BAD_DATA

    def __init__(self, message: str, *, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row


class InputMissing(TrainerError):  # noqa: N818 - the words of the exit codes
    """A bucket, an object, a file or a page that the specification names does not exist."""

    code = ExitCode.INPUT_MISSING


class UpstreamUnavailable(TrainerError):  # noqa: N818 - the words of the exit codes
    """A server did not answer, or answered with a fault of its own, after all retries."""

    code = ExitCode.UPSTREAM_UNAVAILABLE


class Interrupted(TrainerError):  # noqa: N818 - the words of the exit codes
    """Stopped from outside before the model was complete; the next attempt starts again."""

    code = ExitCode.INTERRUPTED


class NotPermitted(TrainerError):  # noqa: N818 - the words of the exit codes
    """The credentials were refused, or do not reach this far."""

    code = ExitCode.NOT_PERMITTED


class ScriptFailed(TrainerError):  # noqa: N818 - the words of the exit codes
    """A script of the user's own ended with an error; the exit code is its own where the contract knows it."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Unsupported(TrainerError):  # noqa: N818 - the words of the exit codes
    """The contract knows what is requested, this release does not do it."""

    code = ExitCode.UNSUPPORTED
