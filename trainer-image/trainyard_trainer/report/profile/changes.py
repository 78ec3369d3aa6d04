"""The results of a comparison of the data. Pure."""

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
        The compared column or property.
    then, now
        Old and new state as text.
    message
        The message for the user; empty if there is none.
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
    """The comparison with the data of a version.

    ``changes`` has the largest change of each measure, and all with a message.
    """

    version: int
    metrics: Mapping[str, float]
    changes: tuple[Change, ...]
