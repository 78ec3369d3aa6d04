"""Kubernetes memory quantities, as far as memory growth needs them."""

from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Final

MAX_DIGITS: Final = 30
"""Limit of the digits. A short exponent can describe a number that is too large to hold."""

_UNITS: Final = {
    "": Decimal(1), "m": Decimal("0.001"),
    "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9),
    "T": Decimal(10**12), "P": Decimal(10**15), "E": Decimal(10**18),
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30),
    "Ti": Decimal(2**40), "Pi": Decimal(2**50), "Ei": Decimal(2**60),
}  # fmt: skip


def to_bytes(quantity: int | str) -> int:
    """Return a quantity in bytes, rounded up.

    Raises
    ------
    ValueError
        If the text is not a quantity, or is too large.
    """
    text = str(quantity)
    number = text.rstrip("kKmMGTPEi")
    unit = text[len(number) :]
    if unit not in _UNITS:
        raise ValueError(f"{text!r} is not a quantity")
    try:
        exact = Decimal(number) * _UNITS[unit]
    except ArithmeticError as error:
        raise ValueError(f"{text!r} is not a quantity") from error
    if exact.adjusted() > MAX_DIGITS:
        raise ValueError(f"{text!r} is too large for an amount of memory")
    return int(exact.to_integral_value(rounding="ROUND_CEILING"))


def grown(quantity: int | str, factor: float) -> str:
    """Return the product of a memory quantity and a factor, in whole mebibytes."""
    exact = Fraction(to_bytes(quantity)) * Fraction(factor) / 2**20
    return f"{ceil(exact)}Mi"
