"""Times as the API server writes them."""

from datetime import UTC, datetime


def to_rfc3339(moment: datetime) -> str:
    """Return a moment in UTC with whole seconds, the resolution of ``metav1.Time``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def from_rfc3339(text: str) -> datetime:
    """Read a time of the API server (with or without fractions). Raises :class:`ValueError`."""
    return datetime.fromisoformat(text)
