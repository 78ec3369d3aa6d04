"""Times in the format of the API server."""

from datetime import UTC, datetime


def to_rfc3339(moment: datetime) -> str:
    """Return a time in UTC with whole seconds, the resolution of ``metav1.Time``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def from_rfc3339(text: str) -> datetime:
    """Return the parsed time of the API server, with or without fractions.

    Raises
    ------
    ValueError
        If the text is not a time.
    """
    return datetime.fromisoformat(text)
