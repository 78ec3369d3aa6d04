"""What a comparison of the data finds. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Severity = Literal["warning", "info"]


@dataclass(frozen=True)
class Change:
    """One line of the comparison.

    Attributes
    ----------
    subject
        The column, or what else was compared.
    then, now
        In words.
    message
        What to tell; empty where nothing is to be told.
    """

    measure: str
    subject: str
    then: str
    now: str
    value: float
    message: str = ""
    severity: Severity = "info"


@dataclass(frozen=True)
class DataComparison:
    """The data beside that of a version; ``changes`` has the largest of each measure, and all that is to be told."""

    version: int
    metrics: Mapping[str, float]
    changes: tuple[Change, ...]
