"""The notation of numbers. This module is fast to import."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Decimal = Literal[".", ","]

_GROUP: Final = 3


@dataclass(frozen=True)
class Notation:
    """The notation of numbers: the decimal sign, and the thousands separator.

    ``None`` means unknown. ``thousands=""`` means that digits are not grouped. ``is_given`` is true if the user has set
    it; otherwise the notation is inferred from the file.
    """

    decimal: Decimal | None = None
    thousands: str | None = None
    is_given: bool = False

    def describe(self) -> str:
        """Return the notation as text."""
        grouped = {" ": "a space", "": None}.get(self.thousands or "", repr(self.thousands))
        return f"decimal sign {self.decimal!r}" + (f", thousands separator {grouped}" if grouped else "")


def groups_of_three(texts: Sequence[str], sign: str) -> bool:
    """Return whether a sign in numbers is certainly a thousands separator.

    It is if each number with the sign has complete groups of three digits and one of them ends with a zero, and if each
    number without it is an integer below 1000, and there is one. A program that writes 1.230 for 1.23 also writes
    987.000 for 987.
    """
    grouped = re.compile(rf"[+-]?[1-9]\d{{0,2}}(?:{re.escape(sign)}\d{{3}})+")
    signed = [text for text in texts if sign in text and text[-1:].isdigit()]
    plain = [text for text in texts if text.lstrip("+-").isdecimal()]
    return (
        any(text.endswith("0") for text in signed)
        and bool(plain)
        and all(grouped.fullmatch(text) for text in signed)
        and all(len(text.lstrip("+-")) <= _GROUP for text in plain)
    )


UNKNOWN: Final = Notation()
"""Nothing is known. The values of a column decide."""
