"""The interface for progress reports of a stage."""

from collections.abc import Mapping
from typing import Protocol


class Progress(Protocol):
    """Receives the fraction of the current stage, 0 to 1. It never fails and never blocks for long."""

    def __call__(self, fraction: float, message: str, metrics: Mapping[str, float] | None = None) -> None:
        """Record the fraction, and a short description of the current work."""
        ...
