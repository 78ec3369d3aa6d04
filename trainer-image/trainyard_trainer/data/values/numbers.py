"""Parse numbers from text. One notation is chosen for a whole column, by all of its values.

``1,234`` is 1234 in English and 1.234 in German. A single value is ambiguous, but a column often is not, because
``12,5`` has only one reading. The notation that can read most values is used. If two notations read equally many values
but give different numbers, the column is ambiguous, and the caller decides.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_trainer.data.notation import Notation, groups_of_three

BLANK: Final = frozenset(
    {"", "na", "n/a", "n.a.", "#n/a", "#n/a n/a", "#na", "nan", "-nan", "null", "(null)", "<na>", "none", "nil", "\\n"}
    | {"-", "--", "---", "–", "—", ".", "..", "?", "*", "missing", "1.#qnan", "-1.#ind", "1.#ind"}
    | {"#div/0!", "#value!", "#ref!", "#name?", "#num!", "#null!"}
)
"""Spellings of a missing value among numbers, in lower case: words, dashes, and spreadsheet errors."""

PERCENT: Final = "%"
_CURRENCIES: Final = frozenset(
    [
        "aud",
        "brl",
        "cad",
        "chf",
        "cny",
        "czk",
        "dkk",
        "eur",
        "fr",
        "fr.",
        "gbp",
        "hkd",
        "huf",
        "inr",
        "jpy",
        "kc",
        "kč",
        "kr",
        "krw",
        "mxn",
        "nok",
        "nzd",
        "pln",
        "rs",
        "rs.",
        "rub",
        "sek",
        "sgd",
        "try",
        "usd",
        "us$",
        "zar",
        "zł",
        "r$",
        "a$",
        "c$",
        "ft",
        "rm",
    ]
)
_BLANKS: Final = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2212": "-", "’": "'", "\ufeff": None})
_UNIT: Final = re.compile(r"([^\d.,'+\-()]*)(.*?)([^\d.,'+\-()]*)", re.DOTALL)
_EXPONENT: Final = re.compile(r"[eE][+-]?\d+\Z")
_MARKS_SHOWN: Final = 4


@dataclass(frozen=True)
class Numbers:
    """A text column, parsed as numbers.

    Attributes
    ----------
    values
        The numbers, NaN for other values; shape (rows,).
    bad
        Mask of values that are neither numbers nor marks of a missing value; shape (rows,).
    notation
        The notation. ``None`` if all are plain numbers.
    unit
        ``%`` or a currency next to the numbers. It does not scale the values: 12.5 for ``12.5%``.
    doubt
        Text about one value that two equally good notations read as different numbers. Empty if there is none.
    marks
        The words for a missing value, and how often each occurs. Empty text is not counted.
    """

    values: npt.NDArray[np.float64]
    bad: npt.NDArray[np.bool_]
    notation: Notation | None = None
    unit: str = ""
    doubt: str = ""
    marks: Counter[str] = field(default_factory=Counter)

    def describe(self) -> str:
        """Return text about the notation. Empty for plain numbers."""
        parts = [self.notation.describe()] if self.notation is not None else []
        if self.unit:
            parts.append("percent (12.5% is read as 12.5)" if self.unit == PERCENT else f"in {self.unit}")
        return ", ".join(parts)

    def describe_marks(self) -> str:
        """Return text about the words for a missing value. Empty if there are none."""
        return ", ".join(f"{mark!r} {count} times" for mark, count in self.marks.most_common(_MARKS_SHOWN))


def read_numbers(column: pd.Series, known: Notation | None = None) -> Numbers:
    """Parse a text column as numbers.

    Parameters
    ----------
    known
        The known notation, set by the user or inferred from the rest of the file.
    """
    known = known or Notation()
    codes, distinct = pd.factorize(column, use_na_sentinel=True)
    texts = [str(value).strip() for value in distinct]
    counts = np.bincount(codes[codes >= 0], minlength=len(texts))
    marks = Counter({t: int(n) for t, n in zip(texts, counts, strict=True) if t and t.lower() in BLANK})
    read = _plain(texts) if known.decimal != "," and not known.thousands else None
    if read is None:
        read = _written(texts, counts, known)
    values = np.append(read.values, np.nan)  # the last value is for code -1, a missing value
    return Numbers(values[codes], np.append(read.bad, False)[codes], read.notation, read.unit, read.doubt, marks)


def _plain(texts: Sequence[str]) -> Numbers | None:
    """Parse plain numbers. Return ``None`` if any other value may be a number in another notation."""
    values = np.full(len(texts), np.nan)
    # A text that fails to parse takes longer than one that succeeds. The first character excludes most of them.
    maybe = [index for index, text in enumerate(texts) if text[:1] in "+-.0123456789iInN" and text]
    values[maybe] = pd.to_numeric(pd.Series([texts[index] for index in maybe], dtype=object), errors="coerce")
    if groups_of_three(texts, "."):
        return None
    unread = np.isnan(values)
    bad = np.zeros(len(texts), dtype=np.bool_)
    for index in np.flatnonzero(unread).tolist():
        if texts[index].lower() not in BLANK:
            if _split(texts[index]) is not None:
                return None
            bad[index] = True
    return Numbers(values, bad)


# ---- a notation for all ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Text:
    """A value without sign and unit: only digits and separators."""

    body: str
    negative: bool
    unit: str


_ALL: Final = tuple(
    Notation(decimal, thousands)  # type: ignore[arg-type] # the two signs
    for decimal, grouped in ((".", ("", ",", " ", "'")), (",", ("", ".", " ", "'")))
    for thousands in grouped
)


def _pattern(notation: Notation) -> re.Pattern[str]:
    sign, group = re.escape(notation.decimal or "."), re.escape(notation.thousands or "")
    whole = r"\d+"
    if group:  # groups of three digits, or of two before the last three, as in India
        whole = rf"[1-9]\d{{0,2}}(?:{group}\d{{3}})+|[1-9]\d?(?:{group}\d{{2}})+{group}\d{{3}}|\d+"
    return re.compile(rf"(?:{whole})(?:{sign}\d*)?(?:[eE][+-]?\d+)?|{sign}\d+(?:[eE][+-]?\d+)?")


_PATTERNS: Final = {notation: _pattern(notation) for notation in _ALL}


def _written(texts: Sequence[str], counts: npt.NDArray[np.intp], known: Notation) -> Numbers:
    split = [None if text.lower() in BLANK else _split(text) for text in texts]
    unit, split = _of_one_unit(split, counts)
    weight = [int(counts[index]) if one is not None else 0 for index, one in enumerate(split)]
    likely = [one for one in _ALL if _agrees(one, known)]
    candidates = likely if known.is_given else _ALL
    read = {one: _readable(one, split) for one in candidates}
    scores = {one: sum(weight[index] for index in positions) for one, positions in read.items()}
    most = max(scores.values())
    equal = [one for one in candidates if scores[one] == most]
    bodies = [one.body for one in split if one is not None]
    sure = [one for one in equal if one.thousands and groups_of_three(bodies, one.thousands)]
    equal = sure or [one for one in equal if one in likely] or equal
    best = equal[0]
    values = np.full(len(texts), np.nan)
    for index in read[best]:
        values[index] = _value(split[index], best)
    bad = np.array([split[p] is None and t.lower() not in BLANK for p, t in enumerate(texts)], dtype=np.bool_)
    bad |= np.array([split[p] is not None and p not in read[best] for p in range(len(texts))], dtype=np.bool_)
    doubt = "" if sure else _doubt(split, [read[one] for one in equal], equal, best)
    used = _used(split, read[best], best)
    return Numbers(values, bad, used, unit, doubt)


def _agrees(one: Notation, known: Notation) -> bool:
    if known.decimal is not None and one.decimal != known.decimal:
        return False
    return known.thousands is None or one.thousands == known.thousands or (one.thousands == "" and not known.thousands)


def _readable(notation: Notation, split: Sequence[_Text | None]) -> frozenset[int]:
    matches = _PATTERNS[notation].fullmatch
    return frozenset(index for index, one in enumerate(split) if one is not None and matches(one.body))


def _value(one: _Text | None, notation: Notation) -> float:
    if one is None:
        return np.nan
    body = one.body.replace(notation.thousands, "") if notation.thousands else one.body
    number = float(body.replace(notation.decimal or ".", "."))
    return -number if one.negative else number


def _doubt(
    split: Sequence[_Text | None], read: Sequence[frozenset[int]], equal: Sequence[Notation], best: Notation
) -> str:
    """Return text about a value that another, equally good notation reads as a different number.

    Empty if there is none.
    """
    by_best = read[equal.index(best)]
    for other, positions in zip(equal, read, strict=True):
        for index in sorted(by_best & positions):
            one = split[index]
            first, second = _value(one, best), _value(one, other)
            if first != second and one is not None:
                return f"{one.body!r} can be {first:g} or {second:g}"
    return ""


def _used(split: Sequence[_Text | None], positions: frozenset[int], best: Notation) -> Notation | None:
    """Return the part of a notation that the values show. Return ``None`` if they are plain numbers."""
    bodies = [one.body for index in positions if (one := split[index]) is not None]
    grouped = bool(best.thousands) and any(best.thousands in body for body in bodies if best.thousands)
    if best.decimal == "." and not grouped:
        return None
    return Notation(best.decimal, best.thousands if grouped else "")


def _of_one_unit(split: list[_Text | None], counts: npt.NDArray[np.intp]) -> tuple[str, list[_Text | None]]:
    """Keep only values with the most frequent unit. Zeros need no unit, and a currency can be left out."""
    units: Counter[str] = Counter()
    for index, one in enumerate(split):
        if one is not None:
            units[one.unit] += int(counts[index])
    named = [(unit, count) for unit, count in units.most_common() if unit]
    if not named:
        return "", split
    unit = named[0][0]
    if unit == PERCENT and units[""] > units[PERCENT]:
        unit = ""  # most are plain numbers and some are percentages, so they are not of one kind
    free = {unit} if unit in {PERCENT, ""} else {unit, ""}
    return unit, [one if one is None or one.unit in free or not one.body.strip("0.,") else None for one in split]


def _split(text: str) -> _Text | None:
    """Split a value into sign, digits and unit. Return ``None`` if it is not a number in any notation."""
    if not any(character.isdigit() for character in text):
        return None
    tidy = text.translate(_BLANKS).strip()
    negative = False
    if tidy.startswith("(") and tidy.endswith(")"):  # accounting notation of a negative number
        negative, tidy = True, tidy[1:-1].strip()
    tidy, sign = _without_sign(tidy)
    found = _UNIT.fullmatch(tidy)
    if found is None:
        return None
    before, body, after = (part.strip() for part in found.groups())
    if before and after:
        return None
    body, inner = _without_sign(body)
    if sign and inner:
        return None
    unit = _unit(before or after, behind=bool(after))
    tail = _EXPONENT.search(body)
    digits = body[: tail.start()] if tail else body
    if unit is None or not digits or not all((c.isdigit() and c.isascii()) or c in ".,' " for c in digits):
        return None
    return _Text(body, negative or "-" in (sign, inner), unit)


def _without_sign(text: str) -> tuple[str, str]:
    if text[:1] in {"-", "+"}:
        return text[1:].strip(), text[0]
    if text.endswith("-") and text[:-1].strip()[-1:].isdigit():  # SAP notation of a negative number
        return text[:-1].strip(), "-"
    return text, ""


def _unit(text: str, *, behind: bool) -> str | None:
    """Return ``%``, a currency, or an empty text. Return ``None`` for other words, because their meaning is unknown."""
    if not text or (text == PERCENT and behind):
        return text
    is_sign = len(text) == 1 and unicodedata.category(text) == "Sc"
    return text if is_sign or text.lower() in _CURRENCIES else None
