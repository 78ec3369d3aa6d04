"""Why a report is not taken, as the ``metav1.Status`` that clients of Kubernetes and of KEP-2779 know."""

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
"""Bounds the answer: what a stranger sends must not come back to him in full."""


class RefusedError(Exception):
    """A report is not taken.

    Attributes
    ----------
    code
        The HTTP status.
    retry_after
        Seconds after which another try makes sense; ``None`` where it does not.
    """

    def __init__(self, code: int, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message[:MESSAGE_CHARS]
        self.retry_after = retry_after

    def status(self) -> dict[str, Any]:
        """Return the body of the answer."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": REASONS.get(self.code, "Unknown"),
            "code": self.code,
        }
