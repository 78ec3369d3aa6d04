"""Source of the planners' ``now``."""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """A source of time. Tests use their own."""

    def __call__(self) -> datetime:
        """Return the time with a time zone."""
        ...


def utc_now() -> datetime:
    """Return the system time."""
    return datetime.now(UTC)
