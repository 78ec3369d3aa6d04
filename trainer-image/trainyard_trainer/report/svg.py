"""Charts as SVG text: lines, dots and bars on two axes, in the colors of the page, light or dark.

A chart takes about 1 ms and some kilobytes. docs/decisions/0018 explains why no plotting library is used.
"""

import math
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from markupsafe import Markup, escape

Floats = npt.NDArray[np.float64]

WIDTH, HEIGHT = 360, 190
"""Size in the units of the chart, about the pixels of a phone, where it must be readable."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 8, 8, 22
_TITLE: Final = 16
"""Additional height above and below a chart if its axes have titles."""

_TICKS: Final = 4
_MAX_POINTS: Final = 300
_TIME_FORMATS: Final = ((3 * 365, "%Y"), (90, "%Y-%m"), (4, "%d %b"), (0, "%d %b %H:%M"))
"""Format of times by the minimum span in days."""


@dataclass(frozen=True)
class Axis:
    """An axis from ``low`` to ``high``, with labels at some positions."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]

    @classmethod
    def over(cls, *values: Floats, zero: bool = False) -> Self:
        """Return an axis with round labels that contains all finite values, and 0 if requested."""
        known = np.concatenate([one[np.isfinite(one)] for one in values] + [np.zeros(1 if zero else 0)])
        low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
        if not high - low > 1e-12 * max(abs(low), abs(high)):
            low, high = low - max(0.5, abs(low) / 10), high + max(0.5, abs(high) / 10)
        step = _round_step((high - low) / _TICKS)
        first, last = int(np.floor(low / step + 1e-9)), int(np.ceil(high / step - 1e-9))
        ticks = tuple((number * step, short_number(number * step)) for number in range(first, last + 1))
        return cls(first * step, last * step, ticks)

    @classmethod
    def of_times(cls, times: npt.NDArray[np.datetime64]) -> Self:
        """Return an axis of times. Its positions are nanoseconds since 1970."""
        low, high = (float(one) for one in positions_of(np.array([times.min(), times.max()])))
        span_days = (high - low) / 86_400e9
        form = next(form for days, form in _TIME_FORMATS if span_days >= days)
        at = [low + part * (high - low) for part in (1 / 6, 1 / 2, 5 / 6)]
        ticks = tuple((position, pd.Timestamp(int(position)).strftime(form)) for position in at)
        return cls(low, high if span_days > 0 else low + 1e9, ticks)


def positions_of(times: npt.NDArray[np.datetime64]) -> Floats:
    """Return times as positions on an axis."""
    return times.astype("datetime64[ns]").astype(np.int64).astype(np.float64)


def short_number(value: float) -> str:
    """Return a number in the format of an axis: ``1.5k``, ``0.25``, ``2M``."""
    size = abs(value)
    for unit, name in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= unit:
            return f"{value / unit:.4g}{name}" if size < 1e15 else f"{value:.0e}"
    return "0" if size == 0 else f"{value:.4g}" if size >= 1e-4 else f"{value:.0e}"


def readable(value: float) -> str:
    """Return a number in the format of a table: four digits, or all digits before the decimal point of large
    numbers.
    """
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e12 else f"{value:.4g}"


class Plot:
    """One chart, built step by step. ``kind`` is a CSS class of the page, which sets the color."""

    def __init__(self, label: str, x: Axis, y: Axis, *, titles: tuple[str, str] | None = None) -> None:
        """Create a chart.

        Parameters
        ----------
        label
            Description for screen readers.
        titles
            Titles of the x and y axes, if no caption describes them.
        """
        self._label, self._x, self._y, self._titles = label, x, y, titles
        self._parts: list[str] = []

    def line(self, x: Floats, y: Floats, kind: str) -> Self:
        """Draw a line through the points in their order. A point that is not finite interrupts the line."""
        pieces, pen = [], "M"
        for across, up in zip(*self._points(x, y), strict=True):
            if math.isfinite(across) and math.isfinite(up):
                pieces.append(f"{pen}{across:.1f} {up:.1f}")
                pen = "L"
            else:
                pen = "M"
        return self._path(pieces, f"line {kind}")

    def band(self, x: Floats, low: Floats, high: Floats, kind: str) -> Self:
        """Fill the area between two lines. Points are left out if one of the values is not finite."""
        there = np.isfinite(low) & np.isfinite(high)
        across, below = self._points(x[there], low[there])
        _, above = self._points(x[there], high[there])
        way = [*zip(across, above, strict=True), *zip(across[::-1], below[::-1], strict=True)]
        pieces = [f"{'L' if position else 'M'}{a:.1f} {b:.1f}" for position, (a, b) in enumerate(way)]
        return self._path([*pieces, "z"] if pieces else [], f"area {kind}")

    def dots(self, x: Floats, y: Floats, kind: str) -> Self:
        """Draw points, at most a few hundred of them, evenly spread in their order."""
        some = thinned(len(x))
        pairs = zip(*self._points(x[some], y[some]), strict=True)
        drawn = [f"M{a:.1f} {b:.1f}h0" for a, b in pairs if math.isfinite(a) and math.isfinite(b)]
        return self._path(drawn, f"dots {kind}")

    def bars(self, edges: Floats, heights: Floats, kind: str) -> Self:
        """Draw a bar from 0 between each two edges. ``edges`` has one more value than ``heights``."""
        across, _ = self._points(edges, np.zeros(len(edges)))
        _, up = self._points(np.zeros(len(heights)), heights)
        ground = HEIGHT - _BOTTOM
        pieces = [
            f"M{left + 0.5:.1f} {ground}V{top:.1f}H{right - 0.5:.1f}V{ground}z"
            for left, right, top in zip(across[:-1], across[1:], up, strict=True)
            if top < ground
        ]
        return self._path(pieces, f"bars {kind}")

    def svg(self) -> Markup:
        """Return the chart."""
        above, below = (0, 0) if self._titles is None else (_TITLE, _TITLE)
        box = f"0 {-above} {WIDTH} {HEIGHT + above + below}"
        head = f'<svg viewBox="{box}" role="img" aria-label="{escape(self._label)}">'
        drawn = "".join([*self._parts, self._named_axes()])
        return Markup(f"{head}{self._grid()}{drawn}</svg>")  # noqa: S704 - numbers, and text that was escaped

    def _named_axes(self) -> str:
        if self._titles is None:
            return ""
        across, up = self._titles
        return (
            f'<text x="{WIDTH - 2}" y="{HEIGHT + _TITLE - 4}" text-anchor="end">{escape(across)}</text>'
            f'<text x="2" y="{4 - _TITLE + 8}">{escape(up)}</text>'
        )

    def _path(self, pieces: list[str], kinds: str) -> Self:
        if pieces:
            self._parts.append(f'<path class="{kinds}" d="{"".join(pieces)}"/>')
        return self

    def _points(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        across = (x - self._x.low) / (self._x.high - self._x.low)
        up = (y - self._y.low) / (self._y.high - self._y.low)
        return _LEFT + across * (WIDTH - _LEFT - _RIGHT), HEIGHT - _BOTTOM - up * (HEIGHT - _TOP - _BOTTOM)

    def _grid(self) -> str:
        ground = HEIGHT - _BOTTOM
        parts = []
        positions, rows = self._points(
            np.array([position for position, _ in self._x.ticks]), np.zeros(len(self._x.ticks))
        )
        for position, (_, text) in zip(positions, self._x.ticks, strict=True):
            anchor = "end" if position > WIDTH - 26 else "middle"
            shown = WIDTH - 2 if anchor == "end" else position
            parts.append(f'<text x="{shown:.1f}" y="{HEIGHT - 5}" text-anchor="{anchor}">{escape(text)}</text>')
        _, rows = self._points(np.zeros(len(self._y.ticks)), np.array([position for position, _ in self._y.ticks]))
        for row, (_, text) in zip(rows, self._y.ticks, strict=True):
            parts.append(f'<text x="{_LEFT - 5}" y="{row + 4.5:.1f}" text-anchor="end">{escape(text)}</text>')
            if row < ground - 0.5:
                parts.append(f'<path class="grid" d="M{_LEFT} {row:.1f}H{WIDTH - _RIGHT}"/>')
        return "".join([*parts, f'<path class="axis" d="M{_LEFT} {ground}H{WIDTH - _RIGHT}"/>'])


def thinned(count: int, most: int = _MAX_POINTS) -> npt.NDArray[np.intp]:
    """Return at most so many positions, evenly spread from the first to the last."""
    if count <= most:
        return np.arange(count)
    return np.linspace(0, count - 1, most).astype(np.intp)


def _round_step(rough: float) -> float:
    unit = 10.0 ** np.floor(np.log10(rough))
    return float(unit * next(step for step in (1, 2, 2.5, 5, 10) if step * unit >= rough * 0.999))
