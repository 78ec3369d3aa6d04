"""The origin of a model for its manifest: its data, its split, and the versions of the libraries."""

import importlib.metadata
import platform
import sys
from typing import Final

import numpy as np

from trainyard_api.training import Split
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_trainer.artifacts.manifest import DataInfo, SplitInfo
from trainyard_trainer.data.dataset import Dataset, Series
from trainyard_trainer.data.tables.splits import Sides
from trainyard_trainer.progress.redact import redact

_DISTRIBUTIONS: Final = {
    "lightgbm": "lightgbm",
    "numpy": "numpy",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "pandas": "pandas",
    "prophet": "prophet",
    "pyarrow": "pyarrow",
    "safetensors": "safetensors",
    "sklearn": "scikit-learn",
    "torch": "torch",
    "trainyard_trainer": "trainyard",
}
"""Modules whose version matters when the model is loaded, and the distributions that provide them."""


def data_info(dataset: Dataset) -> DataInfo:
    """Return the data section of a manifest, without credentials."""
    return DataInfo(
        uri=redact(dataset.origin.uri),
        rows=dataset.rows,
        size_bytes=dataset.origin.size_bytes,
        digest=dataset.origin.digest,
        holdout_digest=dataset.holdout_digest,
    )


def split_info(dataset: Dataset, spec: TrainingJobSpec) -> SplitInfo | None:
    """Return the data that shows which rows the two models were trained on. ``None`` for the user's own code."""
    split = spec.split or Split()
    if dataset.series:
        times = dataset.frame["ds"].to_numpy("datetime64[ns]")
        judged, final = (max(times[end(one) - 1] for one in dataset.series) for end in (_split_of, _stop_of))
        columns = (spec.data.time or "ds",)
        sides = Sides.of("Time", split, columns)
        return _info(sides, str(judged), str(final))
    if dataset.sides is None:
        return None
    if dataset.times is None or dataset.parts is None:
        return _info(dataset.sides)
    test = np.zeros(len(dataset.times), dtype=np.bool_)
    test[dataset.parts.test] = True
    return _info(dataset.sides, str(dataset.times[~test].max()), str(dataset.times.max()))


def _info(sides: Sides, judged: str | None = None, final: str | None = None) -> SplitInfo:
    return SplitInfo(**{**vars(sides), "columns": list(sides.columns)}, judged_until=judged, final_until=final)


def _split_of(series: Series) -> int:
    return series.split


def _stop_of(series: Series) -> int:
    return series.stop


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that this process has imported."""
    found = {"python": platform.python_version()}
    for module, distribution in _DISTRIBUTIONS.items():
        if module in sys.modules:
            found[distribution] = importlib.metadata.version(distribution)
    return found
