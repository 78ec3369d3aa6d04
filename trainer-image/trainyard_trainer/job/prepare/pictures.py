"""Plots of the profile report, as SVG in a data URL: a violin plot per numeric column, and the rows over time."""

import base64
import io
from collections.abc import Callable
from typing import Any, Final, Literal

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

MAX_VIOLINS: Final = 30
"""Maximum number of violin plots, so that a browser can open the page.

The target comes first, then the first columns.
"""

_SAMPLE: Final = 5000
_SEED: Final = 1
_BINS: Final = 60
_TICKS: Final = 4
_DAYS_FROM: Final = 10 * 86400
"""From this span in seconds, the axis shows days. For a shorter span, it shows hours and minutes."""
_INCHES: Final = (4.2, 1.3)
_FRAME: Final = (0.08, 0.24, 0.84, 0.72)
"""Left, bottom, width and height as fractions of the figure. An automatic layout takes longer than the plot."""
_COLOUR: Final = "#3b82f6"
_LINES: Final = "#888888"
"""A color that is readable on a light and on a dark page."""

_STYLE: Final[dict[str, Any]] = {
    "svg.hashsalt": "trainyard",  # equal data gives equal bytes
    "svg.fonttype": "none",
    "savefig.facecolor": "none",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.size": 8,
    "axes.edgecolor": _LINES,
    "xtick.color": _LINES,
    "ytick.color": _LINES,
}


def violin(column: pd.Series) -> str | None:
    """Plot the distribution of a numeric column. Return ``None`` if all values are equal or too large for a plot.

    Of a long column, a sample is plotted, which is the same each time.
    """
    values = column.dropna().to_numpy(dtype=np.float64)
    if len(values) > _SAMPLE:
        values = np.random.default_rng(_SEED).choice(values, _SAMPLE, replace=False)
    with np.errstate(all="ignore"):
        spread = float(np.var(values)) if len(values) > 1 else 0.0
    if not np.isfinite(spread) or spread <= np.finfo(np.float64).tiny:
        return None

    def draw(axes: Axes) -> None:
        parts: dict[str, Any] = axes.violinplot(
            values, orientation="horizontal", widths=0.9, showmedians=True, showextrema=True
        )
        for body in parts["bodies"]:
            body.set(facecolor=_COLOUR, edgecolor=_COLOUR, alpha=0.45)
        for name in ("cmedians", "cmins", "cmaxes", "cbars"):
            parts[name].set(color=_COLOUR, linewidth=1)
        axes.set_yticks([])

    return _picture(draw)


def over_time(times: pd.Series) -> str | None:
    """Plot the number of rows per interval of time. Return ``None`` if there are fewer than two distinct times."""
    values = times.dropna()
    if values.nunique() < 2:
        return None
    plain = values.dt.tz_localize(None) if values.dt.tz is not None else values
    instants: npt.NDArray[Any] = plain.to_numpy(dtype="datetime64[s]")
    counts, edges = np.histogram(instants.astype("int64"), bins=_BINS)

    def draw(axes: Axes) -> None:
        axes.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=_COLOUR)
        ticks = np.linspace(edges[0], edges[-1], _TICKS)
        unit: Literal["D", "m"] = "D" if edges[-1] - edges[0] > _DAYS_FROM else "m"
        dates = ticks.astype("int64").astype("datetime64[s]")
        axes.set_xticks(ticks, [text.replace("T", " ") for text in np.datetime_as_string(dates, unit=unit)])

    return _picture(draw)


def _picture(draw: Callable[[Axes], None]) -> str:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=_INCHES)
        axes = figure.add_axes(_FRAME)
        axes.spines[["top", "left", "right"]].set_visible(False)
        draw(axes)
        file = io.BytesIO()
        FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None, "Creator": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(file.getvalue()).decode()}"
