"""Parse one date or time from text in common notations.

The order of a date such as 3/4/2026 stays open. :mod:`trainyard_trainer.data.values.times` decides it for a whole
column.
"""

import re
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

Order = Literal["DMY", "MDY"]

_MONTHS: Final = (
    "january jan januar janvier janv enero ene gennaio gen januari janeiro",
    "february feb februar février fevrier févr fev febrero febbraio febbr februari fevereiro",
    "march mar märz maerz mrz mär mars marzo maart mrt março marco",
    "april apr avril avr abril abr aprile",
    "may mai mayo maggio mag mei maio",
    "june jun juni juin junio giugno giu junho",
    "july jul juli juillet juil julio luglio lug julho",
    "august aug août aout agosto ago augustus",
    "september sep sept septembre septiembre settembre set setembro",
    "october oct oktober okt octobre octubre ottobre ott outubro out",
    "november nov novembre noviembre novembro",
    "december dec dezember dez décembre decembre déc diciembre dic dicembre dezembro",
)
"""Names of months in English, German, French, Spanish, Italian, Dutch and Portuguese, full and abbreviated."""

MONTHS: Final = {name: number for number, names in enumerate(_MONTHS, start=1) for name in names.split()}
_WEEKDAYS: Final = frozenset(
    word
    for words in (
        "monday mon tuesday tue tues wednesday wed thursday thu thur thurs friday fri saturday sat sunday sun",
        "montag mo dienstag di mittwoch mi donnerstag do freitag fr samstag sonnabend sa sonntag so",
        "lundi lun mardi mercredi mer jeudi jeu vendredi ven samedi sam dimanche dim",
    )
    for word in words.split()
)
_FILLERS: Final = frozenset({"of", "de", "del", "the", "at", "um", "à", "t", "st", "nd", "rd", "th"})

ZONES: Final = {
    **dict.fromkeys(("z", "utc", "gmt", "wet"), 0),
    "cet": 60,
    "mez": 60,
    "cest": 120,
    "mesz": 120,
    "west": 60,
    "bst": 60,
    "eet": 120,
    "eest": 180,
    "msk": 180,
    "est": -300,
    "edt": -240,
    "cdt": -300,
    "mst": -420,
    "mdt": -360,
    "pst": -480,
    "pdt": -420,
    "jst": 540,
    "kst": 540,
    "aest": 600,
    "aedt": 660,
    "nzst": 720,
    "nzdt": 780,
}
"""Offsets in minutes east of UTC for unambiguous zone names. IST and CST are ambiguous."""

_CLOCK: Final = re.compile(
    r"(?:(?<=[\sT,])|^)(\d{1,2})(?:[:h](\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)?\s*(?:([apAP])\.?\s?[mM]\.?)?"
    r"(?:\s*(Z|[+-]\d{2}(?::?\d{2})?|[A-Za-z]{2,5}|[A-Z][A-Za-z_]+/[A-Za-z_/+-]+))?\s*\Z"
)
_WEEK: Final = re.compile(r"(\d{4})-?W(\d{2})(?:-?([1-7]))?")
_QUARTER: Final = re.compile(r"(?:(\d{4})[\s\-/]?Q([1-4])|Q([1-4])[\s\-/]*(\d{4}))", re.IGNORECASE)
_PIVOT: Final = 69
"""Two-digit years from here on are in the 20th century, as in POSIX."""

_YEAR_DIGITS: Final = 4
_DAY_DIGITS: Final = 8
_DIGITS: Final = {4: (4,), 6: (4, 2), 8: (4, 2, 2), 10: (4, 2, 2, 2), 12: (4, 2, 2, 2, 2), 14: (4, 2, 2, 2, 2, 2)}


@dataclass(frozen=True)
class Parts:
    """The parts of a parsed time.

    Attributes
    ----------
    day, month
        If ``open``, their order is not known, and they may have to be swapped.
    seconds
        Second of the day, up to 86400, which is midnight of the next day.
    offset_minutes
        Offset east of UTC, or ``None``.
    zone
        The IANA name of a zone, or empty.
    dotted
        Whether the date is written with points.
    """

    year: int
    month: int
    day: int
    open: bool = False
    seconds: int = 0
    nanoseconds: int = 0
    offset_minutes: int | None = None
    zone: str = ""
    dotted: bool = False


def parts_of(text: str) -> Parts | None:
    """Parse a text. Return ``None`` if it is not a time."""
    text = text.strip().replace("\u00a0", " ").replace("\u202f", " ")
    if text.isdigit():
        return digits(text)
    found = _CLOCK.search(text)
    clock = _clock(found) if found is not None and found.start() > 0 and (found[2] or found[5]) else None
    if clock is None:
        return _date(text, 0, 0, None, "")
    return _date(text[: found.start()] if found is not None else text, *clock)


def digits(text: str) -> Parts | None:
    """Parse digits that are a year, optionally followed by month, day, hour, minute and second."""
    widths = _DIGITS.get(len(text))
    if widths is None or not (text.isascii() and text.isdigit()):
        return None
    values, start = [], 0
    for width in widths:
        values.append(int(text[start : start + width]))
        start += width
    year, month, day, hour, minute, second = [*values, *[1, 1, 0, 0, 0][len(values) - 1 :]][:6]
    seconds = hour * 3600 + minute * 60 + second
    if not (1 <= month <= 12 and 1 <= day <= 31 and minute < 60 and second < 60 and seconds <= 86400):
        return None
    return Parts(year, month, day, seconds=seconds)


def _clock(found: "re.Match[str]") -> tuple[int, int, int | None, str] | None:
    """Return second of the day, nanoseconds, minutes east of UTC, and the name of a zone."""
    hour, minute, second = (int(found[group] or 0) for group in (1, 2, 3))
    half, tail = (found[5] or "").lower(), found[6] or ""
    if half:
        hour = hour % 12 + (12 if half == "p" else 0) if 1 <= hour <= 12 else 99
    seconds = hour * 3600 + minute * 60 + second
    if minute > 59 or second > 59 or seconds > 86400:
        return None
    nanoseconds = int((found[4] or "").ljust(9, "0"))
    if "/" in tail:
        return seconds, nanoseconds, None, tail
    east = _east(tail)
    return None if tail and east is None else (seconds, nanoseconds, east, "")


def _east(tail: str) -> int | None:
    if tail[:1] in {"+", "-"}:
        minutes = int(tail[1:3]) * 60 + int(tail[3:].lstrip(":") or 0)
        return -minutes if tail[0] == "-" else minutes
    return ZONES.get(tail.lower())


def _date(text: str, seconds: int, nanoseconds: int, offset: int | None, zone: str) -> Parts | None:
    text = text.strip().strip(",").rstrip("T").strip()
    named = _week_or_quarter(text)
    if named is None:
        tokens = [word for word in re.findall(r"\d+|[^\W\d_]+", text) if word.lower() not in _FILLERS]
        if tokens and tokens[0].lower() in _WEEKDAYS:
            tokens = tokens[1:]
        named = _of_tokens(tokens)
    if named is None or re.search(r"[^\w\s.,/\-'’]", text):
        return None
    year, month, day, is_open = named
    if not (1 <= month <= 31 and 1 <= day <= 31) or (not is_open and month > 12):
        return None
    dotted = text.count(".") >= 2
    return Parts(year, month, day, is_open, seconds, nanoseconds, offset, zone, dotted)


def _week_or_quarter(text: str) -> tuple[int, int, int, bool] | None:
    if (quarter := _QUARTER.fullmatch(text)) is not None:
        year, number = int(quarter[1] or quarter[4]), int(quarter[2] or quarter[3])
        return year, 3 * number - 2, 1, False
    if (week := _WEEK.fullmatch(text)) is not None:
        try:
            day = date.fromisocalendar(int(week[1]), int(week[2]), int(week[3] or 1))
        except ValueError:
            return None
        return day.year, day.month, day.day, False
    return None


def _of_tokens(tokens: list[str]) -> tuple[int, int, int, bool] | None:
    """Return year, month, day, and whether month and day may have to be swapped."""
    months = [MONTHS[word.lower()] for word in tokens if word.lower() in MONTHS]
    rest = [word for word in tokens if word.lower() not in MONTHS]
    if len(months) > 1 or not all(word.isdigit() for word in rest):
        return None
    if months:
        return _with_name(months[0], rest)
    match len(rest):
        case 1:
            found = digits(rest[0]) if len(rest[0]) <= _DAY_DIGITS else None
            return None if found is None else (found.year, found.month, found.day, False)
        case 2:
            year, month = (rest[0], rest[1]) if len(rest[0]) == _YEAR_DIGITS else (rest[1], rest[0])
            return (int(year), int(month), 1, False) if (len(year), len(month) > 2) == (_YEAR_DIGITS, False) else None
        case 3:
            return _of_numbers(*rest)
        case _:
            return None


def _with_name(month: int, rest: list[str]) -> tuple[int, int, int, bool] | None:
    if len(rest) == 1 and len(rest[0]) == _YEAR_DIGITS:
        return int(rest[0]), month, 1, False
    if len(rest) != 2:
        return None
    day, year = (rest[1], rest[0]) if len(rest[0]) == _YEAR_DIGITS else (rest[0], rest[1])
    return _year(year), month, int(day), False


def _of_numbers(first: str, second: str, third: str) -> tuple[int, int, int, bool] | None:
    if len(first) == _YEAR_DIGITS and len(second) <= 2 and len(third) <= 2:
        return int(first), int(second), int(third), False
    if len(first) <= 2 and len(second) <= 2 and len(third) in {2, _YEAR_DIGITS}:
        return _year(third), int(second), int(first), True
    return None


def _year(text: str) -> int:
    number = int(text)
    return number if len(text) == _YEAR_DIGITS else number + (1900 if number >= _PIVOT else 2000)
