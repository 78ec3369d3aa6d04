"""Refusal of a report as a ``metav1.Status``, which clients of Kubernetes and KEP-2779 understand."""

from typing import Any

REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    408: "Timeout",
    409: "Conflict",
    413: "RequestEntityTooLarge",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}

MESSAGE_CHARS = 300
"""Limit of the message, so that a response does not return the whole input of an unknown client."""


class RefusedError(Exception):
    """A report is refused.

    Attributes
    ----------
    code
        The HTTP status.
    retry_after
        Seconds after which a retry may succeed; ``None`` if it cannot.
    """

    def __init__(self, code: int, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message[:MESSAGE_CHARS]
        self.retry_after = retry_after

    def status(self) -> dict[str, Any]:
        """Return the body of the response."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": REASONS.get(self.code, "Unknown"),
            "code": self.code,
        }
