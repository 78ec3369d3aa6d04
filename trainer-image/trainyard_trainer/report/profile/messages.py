"""Messages about changes that several measures share. Pure functions."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from trainyard_trainer.report.profile.changes import Change
from trainyard_trainer.report.profile.model import ColumnProfile

_REPORTED: Final = 5
"""Maximum number of columns that are named per measure. The others are counted."""


def shown(changes: Sequence[Change]) -> list[Change]:
    """Return the largest change of a measure, or those with a message, largest first, with a limit."""
    order = sorted(changes, key=lambda one: -one.value)
    reported = [one for one in order if one.message]
    if len(reported) <= _REPORTED:
        return reported or order[:1]
    last = reported[_REPORTED - 1]
    others = f"{last.message}; and {len(reported) - _REPORTED} more changes of this kind"
    return [*reported[: _REPORTED - 1], replace(last, message=others)]


def about_missing(then: ColumnProfile, now: ColumnProfile, name: str) -> str:
    """Return the message that a column has more missing values."""
    return (
        f"column {then.name!r}: {now.missing:.0%} of the values are missing, {then.missing:.0%} when {name} was "
        "trained: check the source"
    )


def about_scale(then: ColumnProfile, now: ColumnProfile, factor: float, name: str) -> str:
    """Return the message that the scale of a column has changed. ``factor`` is at least 1."""
    times = f"{factor:,.0f}" if factor >= 9.95 else f"{factor:.1f}"
    larger = now.magnitudes[-1] > then.magnitudes[-1]
    middle = now.magnitudes[1] / then.magnitudes[1]
    some = "" if max(middle, 1 / middle) > factor / 2 else "up to "
    if larger:
        return f"column {then.name!r}: its values are {some}{times} times those of {name}: check its unit"
    return f"column {then.name!r}: the values of {name} are {some}{times} times the present ones: check its unit"
