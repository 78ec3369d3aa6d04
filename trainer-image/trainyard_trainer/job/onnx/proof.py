"""The rows on which the ONNX model must reproduce the predictions of the model: all held-out rows and extreme
values.
"""

from typing import Final

import numpy as np
import pandas as pd

from trainyard_trainer.data.dataset import Dataset

_NAMED: Final = 3


def proof_rows(dataset: Dataset) -> pd.DataFrame | None:
    """Return the held-out rows of a table in raw form, and rows with the extremes of each numeric column.

    Return ``None`` for forecasts. There, the golden rows are sufficient.
    """
    if dataset.parts is None:
        return None
    raw = dataset.frame[list(dataset.features)]
    held = raw.iloc[dataset.parts.test]
    numbers = [name for name in dataset.features if name not in dataset.categories]
    edges = pd.concat([held.iloc[:1]] * (2 * len(numbers)) or [held.iloc[:0]], ignore_index=True)
    edges = edges.astype(dict.fromkeys(numbers, np.float64))
    for index, name in enumerate(numbers):
        column = raw[name].to_numpy(dtype=np.float64, na_value=np.nan)
        edges.loc[[2 * index, 2 * index + 1], name] = [np.nanmin(column), np.nanmax(column)]
    rows = pd.concat([held, edges], ignore_index=True)
    return rows.astype(dict.fromkeys(dataset.categories, object))


def too_fine(rows: pd.DataFrame) -> str:
    """Return text that names columns whose values are equal in single precision, which ONNX uses.

    Empty if there are none.
    """
    names = []
    for name in rows.columns:
        if pd.api.types.is_numeric_dtype(rows[name]):
            values = rows[name].dropna().to_numpy(dtype=np.float64)
            if len(np.unique(values)) > len(np.unique(values.astype(np.float32))):
                names.append(f"{name!r} (around {np.median(values):.6g})")
    if not names:
        return ""
    return (
        f"; values of {', '.join(names[:_NAMED])} need a higher precision than the single precision of "
        "ONNX: instead of a time in seconds, use the hour or the day"
    )
