"""Where the planners' ``now`` comes from."""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """A source of time; tests have their own."""

    def __call__(self) -> datetime:
        """Return the time, with a time zone."""
        ...


def utc_now() -> datetime:
    """Return the machine's time."""
    return datetime.now(UTC)
