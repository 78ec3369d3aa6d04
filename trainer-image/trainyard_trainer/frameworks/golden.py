"""Golden rows: check that the saved files reproduce the predictions of the trained model, and infer the signature."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from trainyard_api.modelversion import Signature, SignatureColumn
from trainyard_trainer.artifacts.manifest import Frame, GoldenRows
from trainyard_trainer.frameworks.base import Framework, Golden

TOLERANCE: Final = 1e-4
"""Largest difference, relative to values above 1 and absolute below."""

_MAX_INPUTS: Final = 256
_MAX_OUTPUTS: Final = 64
_MAX_NAME: Final = 256


def verify_saved_model(framework: Framework, folder: Path, golden: Golden) -> GoldenRows:
    """Load the saved files of a training and compare their predictions with those of the trained model: see
    ``verify``.
    """
    return verify(framework, framework.load(folder), golden)


def verify(framework: Framework, model: Any, golden: Golden) -> GoldenRows:
    """Compare the predictions of a loaded model with those of the trained one.

    Raises
    ------
    RuntimeError
        If they differ, so the files are not the trained model. This is a bug of the trainer, not an input error.
    """
    found = framework.predict(model, golden.inputs)
    difference = max_difference(golden.outputs, found)
    if not difference <= TOLERANCE:
        raise RuntimeError(
            f"the saved {framework.name} model does not reproduce its own predictions: they differ by {difference:.3g}"
        )
    return GoldenRows(
        inputs=as_json(golden.inputs),
        outputs=as_json(golden.outputs),
        tolerance=TOLERANCE,
        max_difference=difference,
    )


def max_difference(expected: pd.DataFrame, found: pd.DataFrame) -> float:
    """Return the largest difference of two tables. Infinite if their shape, names, texts or missing values differ."""
    if list(expected.columns) != list(found.columns) or len(expected) != len(found):
        return float("inf")
    return max((_column_difference(expected[name], found[name]) for name in expected.columns), default=0.0)


def _column_difference(expected: "pd.Series[Any]", found: "pd.Series[Any]") -> float:
    if not (pd.api.types.is_numeric_dtype(expected) and pd.api.types.is_numeric_dtype(found)):
        same = expected.astype(str).to_numpy() == found.astype(str).to_numpy()
        return 0.0 if bool(same.all()) else float("inf")
    left, right = expected.to_numpy(float), found.to_numpy(float)
    if not np.array_equal(np.isfinite(left), np.isfinite(right)):
        return float("inf")
    known = np.isfinite(left)
    if not known.any():
        return 0.0
    scale = np.maximum(1.0, np.abs(left[known]))
    return float((np.abs(left[known] - right[known]) / scale).max())


def as_json(frame: pd.DataFrame) -> Frame:
    """Return a small table in the form of the manifest."""
    return Frame(
        columns=[str(name) for name in frame.columns],
        rows=[[_plain(value) for value in row] for row in frame.itertuples(index=False, name=None)],
    )


def signature_of(golden: Golden) -> Signature | None:
    """Return names and types of the columns. ``None`` if there are no columns, or too many for a Kubernetes object."""
    names = [str(name) for frame in (golden.inputs, golden.outputs) for name in frame.columns]
    if len(golden.inputs.columns) > _MAX_INPUTS or len(golden.outputs.columns) > _MAX_OUTPUTS:
        return None
    if not names or any(not 0 < len(name) <= _MAX_NAME for name in names):
        return None
    return Signature(inputs=_columns(golden.inputs), outputs=_columns(golden.outputs))


def _columns(frame: pd.DataFrame) -> list[SignatureColumn]:
    return [SignatureColumn(name=str(name), type=_type_name(frame[name].dtype)) for name in frame.columns]


def _type_name(dtype: Any) -> str:
    if pd.api.types.is_bool_dtype(dtype):
        return "boolean"
    if pd.api.types.is_integer_dtype(dtype):
        return "long"
    if pd.api.types.is_float_dtype(dtype):
        return "double"
    return "datetime" if pd.api.types.is_datetime64_any_dtype(dtype) else "string"


def _plain(value: Any) -> Any:
    if value is None or value is pd.NaT or (isinstance(value, float) and not np.isfinite(value)):
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return value.item() if isinstance(value, np.generic) else value
