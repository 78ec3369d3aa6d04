"""Errors of requests to the API server, as types that a caller can match."""

import logging
from typing import Final

_DENIALS: Final = ("denied the request", "denied request", " is forbidden: ")


class ApiError(Exception):
    """The API server refused a request or did not respond.

    Attributes
    ----------
    status
        HTTP status; 0 without a response.
    reason
        The ``reason`` of the returned ``metav1.Status`` (``AlreadyExists``, ``Conflict``, ...).
    retry_after
        Seconds that the server asks to wait, if any.
    """

    def __init__(self, status: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}" if status else f"{reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after

    @property
    def by_admission(self) -> bool:
        """Whether a rule of the cluster refused the request (a policy, a webhook, a quota). Only the message shows it.

        A webhook refuses with 400 and a ValidatingAdmissionPolicy with 422, as for an invalid body. For an invalid
        body, the message contains "is invalid" before any text of the user.
        """
        before, found, _ = self.message.partition(" is invalid: ")
        return any(words in (before if found else self.message) for words in _DENIALS)


class NotFoundError(ApiError):
    """404: the object, or its namespace, does not exist."""


class AlreadyExistsError(ApiError):
    """409 on create: the name is taken."""


class ConflictError(ApiError):
    """409 on a write with a precondition: another client has written since the read."""


class InvalidError(ApiError):
    """400 or 422: the body is invalid. A retry does not help, unless it was refused ``by_admission``."""


class ForbiddenError(ApiError):
    """403: RBAC, a quota or an admission rule refused the request."""


class UnauthorizedError(ApiError):
    """401: the credentials are not accepted, or not any more."""


class ThrottledError(ApiError):
    """429 after all retries of the client."""


class UnavailableError(ApiError):
    """5xx, a time-out or a broken connection: it is not known whether the write happened."""


class NotHeldError(ApiError):
    """It is not certain that this process holds the Lease that allows writes. The request was not sent."""

    def __init__(self, message: str) -> None:
        super().__init__(0, "NotHeld", message)


class AwayError(UnavailableError):
    """No request gets a response. The client has logged this once for all failures."""


def log_level(error: ApiError) -> int:
    """Return the log level of a failed request.

    While the API server is unreachable, failures are logged at debug level.
    """
    return logging.DEBUG if isinstance(error, AwayError) else logging.WARNING
