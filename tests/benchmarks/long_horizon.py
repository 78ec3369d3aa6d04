"""ETTh1 as in long-horizon benchmarks: 12 months for training, 4 for early stopping, 4 for the test, of 30 days each.

The columns are standardised by their training months. The error is the mean over all windows of the last months, all
hours ahead and all columns, on this scale. The training sees only the first 16 months. In the test, the saved network
gets the past of each window, as a server would get the end of a series.
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
_BATCH: Final = 512


@dataclass(frozen=True)
class Errors:
    """The errors over all windows, hours and columns."""

    mse: float
    mae: float


def standardised(path: Path) -> pd.DataFrame:
    """Return the columns in units of their standard deviation in the training months. The index is the hour."""
    raw = pd.read_csv(path, index_col="date", parse_dates=["date"]).iloc[:_END]
    learned = raw.iloc[:_LEARN]
    return (raw - learned.mean()) / learned.std(ddof=0)


def known_rows(columns: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that the training may see: one row per hour and column."""
    return columns.iloc[:_KNOWN].reset_index().melt(id_vars="date", var_name="column", value_name="value")


def judge(folder: Path, columns: pd.DataFrame) -> tuple[Errors, Errors]:
    """Return the errors of the saved model, and those of a repetition of the last day."""
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
    requests = []
    for at in origins:
        past = known.scale.standardised(values[at - length : at]).astype(np.float32)
        covariates = np.zeros((length, 0), dtype=np.float32)
        context = torch_windows.Context(name, times[at - 1], past, covariates, known.scale, known.floor)
        requests.append(torch_windows.Asked(context, steps))
    parts = [
        torch_windows.forecast(requests[at : at + _BATCH], model.description, model.run)
        for at in range(0, len(requests), _BATCH)
    ]
    return np.concatenate([np.stack(part) for part in parts])


def _errors(differences: list[np.ndarray]) -> Errors:
    joined = np.concatenate(differences)
    return Errors(float(np.mean(joined**2)), float(np.mean(np.abs(joined))))
