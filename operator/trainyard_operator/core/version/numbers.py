"""Metrics as decimals. The status contains text, and 0.1 with a tolerance of 0.02 is exactly 0.102."""

import math
from collections.abc import Mapping
from decimal import Decimal


def number_of(metrics: Mapping[str, str], name: str) -> Decimal | str:
    """Return a metric, or the reason why there is none."""
    text = metrics.get(name)
    if text is None:
        return f"{name} was not reported"
    number = finite(text)
    return f"{name} is {text}, which is not a finite number" if number is None else number


def finite(text: str | None) -> Decimal | None:
    """Return a finite number, ``None`` for everything else."""
    try:
        number = math.nan if text is None else float(text)
    except ValueError:
        return None
    # Use the shortest text of a double: a Decimal of arbitrary text could be too large to compute with.
    return Decimal(repr(number)) if math.isfinite(number) else None


def text_of(number: Decimal) -> str:
    """Return a number in the format of metrics in a status: 0.102, 30, 2E-7."""
    digits, e, exponent = str(number).partition("E")
    return (digits.rstrip("0").rstrip(".") if "." in digits else digits) + e + exponent
