"""A small table with numbers, booleans, missing values and text, for three classes, and requests of the inference
protocol.
"""

from typing import Any

import numpy as np
import pandas as pd


def shops(rows: int = 300) -> pd.DataFrame:
    """Return columns x, open, ``shop [name]`` and size (small, middle, large)."""
    random = np.random.default_rng(11)
    x, shop = random.random(rows), random.choice(["north", "south", "east"], rows)
    score = 3 * x + (shop == "north") + 0.1 * random.standard_normal(rows)
    frame = pd.DataFrame({"x": x.round(4), "open": random.random(rows) < 0.5, "shop [name]": shop})
    frame["size"] = pd.cut(score, 3, labels=["small", "middle", "large"]).astype(str)
    frame.loc[frame.index % 17 == 3, "x"] = np.nan
    return frame


def classification_csv() -> bytes:
    return shops().to_csv(index=False).encode()


def classification(uri: str) -> dict[str, Any]:
    return {"framework": "LightGBM", "task": "Classification", "data": {"uri": uri, "target": "size"}}


def request_of(frame: pd.DataFrame, **more: Any) -> dict[str, Any]:
    """Return a request with one tensor per column. Missing values are null."""
    datatypes = {"b": "BOOL", "f": "FP64", "i": "INT64", "O": "BYTES"}
    return {
        "inputs": [
            {
                "name": str(name),
                "shape": [len(frame)],
                "datatype": datatypes[column.dtype.kind],
                "data": [None if pd.isna(value) else value for value in column.tolist()],
            }
            for name, column in frame.items()
        ],
        **more,
    }


def predictions_of(response: dict[str, Any]) -> pd.DataFrame:
    """Return the outputs of a response as a table."""
    return pd.DataFrame({output["name"]: output["data"] for output in response["outputs"]})
