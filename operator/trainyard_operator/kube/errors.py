"""What can go wrong between us and the API server, as types a caller can match."""

import logging
from typing import Final

_DENIALS: Final = ("denied the request", "denied request", " is forbidden: ")


class ApiError(Exception):
    """The API server refused or did not answer.

    Attributes
    ----------
    status
        HTTP status; 0 where no answer came.
    reason
        The ``reason`` of the returned ``metav1.Status`` (``AlreadyExists``, ``Conflict``, ...).
    retry_after
        Seconds the server asked to wait, where it did.
    """

    def __init__(self, status: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}" if status else f"{reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after

    @property
    def by_admission(self) -> bool:
        """A rule of the cluster says no (a policy, a webhook, a quota): it says so by its own sentence alone.

        A webhook's denial is 400, that of a ValidatingAdmissionPolicy 422, like a body that is wrong. For such a body
        the API server writes "is invalid" before anything that the user wrote.
        """
        before, found, _ = self.message.partition(" is invalid: ")
        return any(words in (before if found else self.message) for words in _DENIALS)


class NotFoundError(ApiError):
    """404: the object, or its namespace, is not there."""


class AlreadyExistsError(ApiError):
    """409 on create: the name is taken."""


class ConflictError(ApiError):
    """409 on a write with a precondition: somebody wrote since we read."""


class InvalidError(ApiError):
    """400 or 422: the body is wrong, and sending it again would not help, unless it was refused ``by_admission``."""


class ForbiddenError(ApiError):
    """403: RBAC, quota or an admission rule says no."""


class UnauthorizedError(ApiError):
    """401: our credentials are not accepted (any more)."""


class ThrottledError(ApiError):
    """429 that outlasted the client's own retries."""


class UnavailableError(ApiError):
    """5xx, a time-out or a broken connection: nothing is known about whether the write happened."""


class NotHeldError(ApiError):
    """The Lease that lets us write is not certainly ours: the request was not sent."""

    def __init__(self, message: str) -> None:
        super().__init__(0, "NotHeld", message)


class AwayError(UnavailableError):
    """Nobody gets an answer. The client has told so, once for all that fails meanwhile."""


def log_level(error: ApiError) -> int:
    """Return how loud a failed request is told: not at all, by default, while the API server is away."""
    return logging.DEBUG if isinstance(error, AwayError) else logging.WARNING
