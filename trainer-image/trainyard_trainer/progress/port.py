"""What every stage may tell while it works."""

from collections.abc import Mapping
from typing import Protocol


class Progress(Protocol):
    """Told how far the current stage is, 0 to 1. Never fails and never blocks for long."""

    def __call__(self, fraction: float, message: str, metrics: Mapping[str, float] | None = None) -> None:
        """Note the fraction, and what is being done in a few words."""
        ...
