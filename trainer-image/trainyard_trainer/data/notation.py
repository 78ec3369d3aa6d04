"""How numbers are written. Light to import."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Decimal = Literal[".", ","]

_GROUP: Final = 3


@dataclass(frozen=True)
class Notation:
    """How numbers are written: the sign before the fraction, and what stands between groups of three digits.

    ``None`` is not known; a ``thousands`` of ``""`` says that digits are not grouped. ``is_given``: the user says so;
    else it is only what the rest of the file looks like.
    """

    decimal: Decimal | None = None
    thousands: str | None = None
    is_given: bool = False

    def describe(self) -> str:
        """Return it in words."""
        grouped = {" ": "a blank", "": None}.get(self.thousands or "", repr(self.thousands))
        return f"decimal sign {self.decimal!r}" + (f", thousands separator {grouped}" if grouped else "")


def groups_of_three(texts: Sequence[str], sign: str) -> bool:
    """Tell whether a sign in numbers is certain to stand between thousands.

    It is where each number with it has whole groups of three, one of them ends with a zero, and each number without it
    is a whole one below a thousand: a program that writes 1.230 for 1.23 writes 987.000 for 987.
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
"""Nothing is known: the values of a column must tell."""
