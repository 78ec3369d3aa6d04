"""ETTh1 as the long-horizon benchmarks use it: 12 months to learn, 4 to stop by, 4 to judge, in months of 30 days.

Columns are standardised by their learning months, and the error is the mean over all windows of the last months, all
hours ahead and all columns, in that scale. The training sees the first 16 months alone; to judge, the saved network is
given each window's own past, as a server would give it the end of a series.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from trainyard_trainer.frameworks.torch import windows as torch_windows
from trainyard_trainer.frameworks.torch.model import ForecastModel, load

HORIZON: Final = 96
_MONTH: Final = 30 * 24
_LEARN, _KNOWN, _END = 12 * _MONTH, 16 * _MONTH, 20 * _MONTH
_AT_ONCE: Final = 512


@dataclass(frozen=True)
class Errors:
    """Over all windows, hours and columns."""

    mse: float
    mae: float


def standardised(path: Path) -> pd.DataFrame:
    """Return the columns in units of their spread in the learning months; the index is the hour."""
    raw = pd.read_csv(path, index_col="date", parse_dates=["date"]).iloc[:_END]
    learned = raw.iloc[:_LEARN]
    return (raw - learned.mean()) / learned.std(ddof=0)


def known_rows(columns: pd.DataFrame) -> pd.DataFrame:
    """Return what the training may see, one row per hour and column."""
    return columns.iloc[:_KNOWN].reset_index().melt(id_vars="date", var_name="column", value_name="value")


def judge(folder: Path, columns: pd.DataFrame) -> tuple[Errors, Errors]:
    """Return the errors of the saved model, and those of repeating the last day."""
    model = load(folder)
    if not isinstance(model, ForecastModel):
        raise TypeError(f"{folder} holds no forecaster")
    origins = np.arange(_KNOWN, _END - HORIZON + 1)
    ours, naive = [], []
    for name in columns.columns:
        values = columns[name].to_numpy()
        actual = np.stack([values[at : at + HORIZON] for at in origins])
        ours.append(_forecasts(model, name, columns.index.to_numpy(), values, origins) - actual)
        naive.append(np.stack([np.tile(values[at - 24 : at], HORIZON // 24) for at in origins]) - actual)
    return _errors(ours), _errors(naive)


def _forecasts(
    model: ForecastModel, name: str, times: np.ndarray, values: np.ndarray, origins: np.ndarray
) -> np.ndarray:
    known, length = model.contexts[name], model.description.length
    steps = np.arange(1, HORIZON + 1)
    asked = []
    for at in origins:
        past = known.scale.standardised(values[at - length : at]).astype(np.float32)
        beside = np.zeros((length, 0), dtype=np.float32)
        context = torch_windows.Context(name, times[at - 1], past, beside, known.scale, known.floor)
        asked.append(torch_windows.Asked(context, steps))
    parts = [
        torch_windows.forecast(asked[at : at + _AT_ONCE], model.description, model.run)
        for at in range(0, len(asked), _AT_ONCE)
    ]
    return np.concatenate([np.stack(part) for part in parts])


def _errors(differences: list[np.ndarray]) -> Errors:
    whole = np.concatenate(differences)
    return Errors(float(np.mean(whole**2)), float(np.mean(np.abs(whole))))
