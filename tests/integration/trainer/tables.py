"""Small tables and the matching specifications."""

from typing import Any

import numpy as np
import pandas as pd


def regression_csv(rows: int = 200) -> bytes:
    """Return columns a, b and y, which lies on a plane over a and b with little noise."""
    random = np.random.default_rng(7)
    frame = pd.DataFrame({"a": random.normal(size=rows), "b": random.normal(size=rows)})
    frame["y"] = 3 * frame["a"] - frame["b"] + random.normal(scale=0.1, size=rows)
    return frame.to_csv(index=False).encode()


def sales_csv(**series: float) -> bytes:
    """Return daily sales per product over 200 days: a level, a weekly pattern and noise."""
    random = np.random.default_rng(7)
    days = pd.date_range("2026-01-01", periods=200)
    week = 1 + 0.3 * np.sin(2 * np.pi * days.dayofweek / 7)
    frames = [
        pd.DataFrame({"date": days, "product": name, "sold": (level * week * random.uniform(0.9, 1.1, 200)).round(2)})
        for name, level in series.items()
    ]
    return pd.concat(frames).to_csv(index=False).encode()


def regression(uri: str, **changes: Any) -> dict[str, Any]:
    """Return a specification for ``regression_csv``."""
    return {"framework": "LightGBM", "task": "Regression", "data": {"uri": uri, "target": "y"}, **changes}


def forecast(uri: str, **changes: Any) -> dict[str, Any]:
    """Return a specification for ``sales_csv``."""
    return {
        "framework": "Prophet",
        "task": "Forecast",
        "data": {"uri": uri, "time": "date", "series": "product", "target": "sold"},
        "forecast": {"horizon": 14},
        **changes,
    }
