"""Saved models of Torch: load them and predict with onnxruntime, without Torch.

``model.onnx`` is the network. ``model.json`` has its metadata (columns, scales, codes, threshold).
``model.safetensors`` has the weights again, to continue the training. A forecast model also has ``history.parquet``,
the end of each series, from which its forecasts start. With quantiles, it has ``quantiles.json`` with the error
quantiles.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainyard_trainer.data.dataset import Dataset, Series
from trainyard_trainer.data.values.frequency import frequency_of
from trainyard_trainer.errors import DataError
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.frameworks.base import OnnxModel
from trainyard_trainer.frameworks.forecast.columns import Questions, as_asked, read_questions, unknown_series
from trainyard_trainer.frameworks.forecast.quantiles import ErrorQuantiles, load_quantiles
from trainyard_trainer.frameworks.forecast.refresh import Learned, learned_fields, read_learned
from trainyard_trainer.frameworks.torch import rows as torch_rows
from trainyard_trainer.frameworks.torch import windows as torch_windows
from trainyard_trainer.frameworks.torch.rows import PREDICTION, Scale

FORMATS: Final = ("safetensors", "onnx")
ONNX_FILE: Final = "model.onnx"
DESCRIPTION_FILE: Final = "model.json"
WEIGHTS_FILE: Final = "model.safetensors"
HISTORY_FILE: Final = "history.parquet"

_MOST_STEPS: Final = 10_000
"""Limit of steps ahead. Each horizon takes one run of the network."""

Run = torch_windows.Run


@dataclass(frozen=True)
class TabularModel:
    """A network for rows of a table. ``run`` calls Torch during training, and onnxruntime after loading."""

    description: torch_rows.Description
    run: Run
    onnx: bytes

    def predict(self, inputs: pd.DataFrame) -> pd.DataFrame:
        """Return predictions for raw rows. Raises DataError."""
        return torch_rows.predictions(self.description, self.run(torch_rows.tensors_of(self.description, inputs)))

    def as_onnx(self) -> OnnxModel:
        """Return the network with the conversion of its inputs and outputs."""
        return OnnxModel(
            self.onnx,
            feed=lambda rows: torch_rows.tensors_of(self.description, rows),
            decode=lambda outputs: torch_rows.predictions(self.description, outputs[0]),
        )


@dataclass(frozen=True)
class ForecastModel:
    """A global network for all series, the ends of the series, and the error quantiles.

    Attributes
    ----------
    learned
        The end of each series in the training if the model was refreshed. Otherwise these are in ``contexts``.
    """

    description: torch_windows.Description
    contexts: Mapping[str, torch_windows.Context]
    run: Run
    onnx: bytes
    quantiles: ErrorQuantiles = field(default_factory=ErrorQuantiles)
    learned: Learned | None = None

    @property
    def learned_until(self) -> Learned:
        """The end of each series in the training."""
        return {name: one.last for name, one in self.contexts.items()} if self.learned is None else self.learned

    def predict(self, inputs: pd.DataFrame) -> pd.DataFrame:
        """Forecast times of series. Raises DataError."""
        positions, asked = self._asked(read_questions(inputs, self.description.columns))
        return self._predictions(positions, asked, self.run)

    def as_onnx(self) -> OnnxModel:
        """Return the network with the conversion of its inputs and outputs, for requests within one horizon.

        The outputs are decoded with the last encoded request, which has the series and the step of each row.
        """
        latest: list[torch_windows.Asked] = []
        positions: list[npt.NDArray[np.intp]] = []

        def feed(inputs: pd.DataFrame) -> dict[str, npt.NDArray[Any]]:
            positions[:], latest[:] = self._asked(read_questions(inputs, self.description.columns))
            fed: list[dict[str, npt.NDArray[Any]]] = []
            torch_windows.forecast(latest, self.description, lambda tensors: self._noted(fed, tensors))
            if len(fed) > 1:
                raise DataError(f"the network forecasts at most {self.description.horizon} steps; request fewer")
            return fed[0]

        def decode(outputs: list[Any]) -> pd.DataFrame:
            return self._predictions(positions, latest, lambda _: outputs[0])

        return OnnxModel(self.onnx, feed, decode)

    def _predictions(
        self, positions: Sequence[npt.NDArray[np.intp]], asked: Sequence[torch_windows.Asked], run: Run
    ) -> pd.DataFrame:
        """Return the forecasts and their quantiles. ``positions`` are the rows of each requested series."""
        columns = [PREDICTION, *self.quantiles.columns]
        table = np.empty((sum(len(rows) for rows in positions), len(columns)))
        forecasts = torch_windows.forecast(asked, self.description, run) if asked else []
        for rows, one, values in zip(positions, asked, forecasts, strict=True):
            floor = -np.inf if one.context.floor is None else one.context.floor
            scale = self.quantiles.scale(one.context.name)
            table[rows, 0] = values
            table[rows, 1:] = self.quantiles.around(values, one.steps, scale, floor)
        return pd.DataFrame(table, columns=columns)

    def _noted(self, fed: list[dict[str, Any]], tensors: dict[str, npt.NDArray[Any]]) -> torch_windows.Floats32:
        fed.append(tensors)
        return np.zeros((len(tensors[torch_windows.WINDOW]), self.description.horizon), dtype=np.float32)

    def _asked(self, questions: Questions) -> tuple[list[npt.NDArray[np.intp]], list[torch_windows.Asked]]:
        """Return the rows of each requested series, and its requested steps."""
        positions, asked = [], []
        columns = self.description.columns
        for name, rows in questions.by_series():
            context = self.contexts.get(name) if name is not None else next(iter(self.contexts.values()))
            if context is None:
                raise unknown_series(columns, str(name), len(self.contexts))
            regressors = None if questions.regressors is None else questions.regressors[rows]
            positions.append(rows)
            asked.append(torch_windows.Asked(context, self._steps(context, questions.times[rows]), regressors))
        return positions, asked

    def _steps(self, context: torch_windows.Context, times: npt.NDArray[np.datetime64]) -> npt.NDArray[np.int64]:
        steps = steps_after(context.last, times, self.description.frequency)
        outside = (steps < 1) | (steps > _MOST_STEPS)
        if outside.any():
            columns = self.description.columns
            last, wrong = (
                as_asked(np.array([time]), columns.clock).iloc[0].isoformat()
                for time in (context.last, times[int(outside.argmax())])
            )
            raise DataError(
                f"column {columns.time!r}: {wrong} cannot be forecast: series {context.name!r} of the model ends at "
                f"{last}; request one of the {_MOST_STEPS} steps after that"
            )
        return steps


def steps_after(last: np.datetime64, times: npt.NDArray[np.datetime64], alias: str) -> npt.NDArray[np.int64]:
    """Return the number of steps from a time to others. It is 0 or negative for times that are not after it."""
    ordinals = frequency_of(alias).ordinals(np.concatenate([[last], times]).astype("datetime64[ns]"))
    return np.asarray(ordinals[1:] - ordinals[0])


@dataclass(frozen=True)
class KnownRows:
    """The rows of a dataset in the form of a model. ``regressors`` has the shape (rows, regressors)."""

    model: ForecastModel
    times: npt.NDArray[np.datetime64]
    values: Floats
    regressors: Floats | None

    @classmethod
    def of(cls, model: ForecastModel, dataset: Dataset) -> "KnownRows":
        """Return the rows of a dataset that has the covariates of a model."""
        regressors = list(model.description.columns.regressors)
        return cls(
            model,
            dataset.frame["ds"].to_numpy(dtype="datetime64[ns]"),
            dataset.frame["y"].to_numpy(dtype=np.float64),
            dataset.frame[regressors].to_numpy(dtype=np.float64) if regressors else None,
        )

    def context(self, one: Series, stop: int) -> torch_windows.Context:
        """Return the start of a forecast that knows the rows of a series before ``stop``.

        The series keeps the scale of the training. A series that the network does not know gets its own scale.
        """
        known, description = slice(one.start, stop), self.model.description
        learned = self.model.contexts.get(one.name)
        scale = Scale.of(self.values[known]) if learned is None else learned.scale
        beside = None if self.regressors is None else self.regressors[known]
        grid = torch_windows.grid_of(self.times[known], self.values[known], beside, scale, description)
        floor = 0.0 if self.values[known].min() >= 0 else None
        window = torch_windows.last_of(grid, description.length)
        return torch_windows.Context(one.name, self.times[stop - 1], *window, scale, floor)

    def holdout(self, one: Series) -> torch_windows.Asked:
        """Return the request for the held-out rows of a series, which starts from its rows before them."""
        held = slice(one.split, one.stop)
        steps = steps_after(self.times[one.split - 1], self.times[held], self.model.description.frequency)
        return torch_windows.Asked(
            self.context(one, one.split), steps, None if self.regressors is None else self.regressors[held]
        )


def load(folder: Path) -> TabularModel | ForecastModel:
    """Load a saved model."""
    fields = json.loads((folder / DESCRIPTION_FILE).read_text())
    onnx = (folder / ONNX_FILE).read_bytes()
    run = session_of(onnx)
    match fields.pop("kind"):
        case "table":
            return TabularModel(torch_rows.Description.from_json(fields), run, onnx)
        case _:
            contexts = _contexts(folder, fields["series"], fields["length"])
            description = torch_windows.Description.from_json(fields)
            return ForecastModel(description, contexts, run, onnx, load_quantiles(folder), read_learned(fields))


def write_description(model: TabularModel | ForecastModel, output: Path) -> tuple[str, ...]:
    """Write all files except the weights. Return their names."""
    output.mkdir(parents=True, exist_ok=True)
    (output / ONNX_FILE).write_bytes(model.onnx)
    fields = dataclasses.asdict(model.description)
    files: tuple[str, ...] = (ONNX_FILE, DESCRIPTION_FILE)
    match model:
        case TabularModel():
            fields["kind"] = "table"
        case ForecastModel():
            fields["kind"] = "series"
            fields["series"] = [
                {
                    "name": name,
                    "last": str(context.last),
                    "scale": dataclasses.asdict(context.scale),
                    "floor": context.floor,
                }
                for name, context in model.contexts.items()
            ]
            fields |= learned_fields(model.learned)
            _write_history(model, output / HISTORY_FILE)
            files = (*files, HISTORY_FILE, *model.quantiles.save(output))
    (output / DESCRIPTION_FILE).write_text(json.dumps(fields, indent=1, ensure_ascii=False) + "\n")
    return files


def session_of(onnx: bytes) -> Run:
    """Return a network as an onnxruntime session with one thread, because requests are small and a server runs
    several.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])

    def run(tensors: dict[str, npt.NDArray[Any]]) -> torch_windows.Floats32:
        found: torch_windows.Floats32 = session.run(None, tensors)[0]
        return found

    return run


def _write_history(model: ForecastModel, file: Path) -> None:
    """Write a row per series and step, in order: the standardized values, and the regressors."""
    contexts = list(model.contexts.values())
    table = pd.DataFrame({"value": np.concatenate([one.values for one in contexts])})
    regressors = np.concatenate([one.regressors for one in contexts])
    for number, name in enumerate(model.description.columns.regressors):
        table[f"regressor:{name}"] = regressors[:, number]
    table.to_parquet(file, index=False)


def _contexts(folder: Path, series: list[Mapping[str, Any]], length: int) -> dict[str, torch_windows.Context]:
    table = pd.read_parquet(folder / HISTORY_FILE)
    values = table["value"].to_numpy(dtype=np.float32).reshape(len(series), length)
    regressor_values: Floats | torch_windows.Floats32 = table.drop(columns="value").to_numpy(dtype=np.float32)
    regressors = regressor_values.reshape(len(series), length, table.shape[1] - 1)
    return {
        one["name"]: torch_windows.Context(
            one["name"],
            np.datetime64(one["last"], "ns"),
            values[position],
            regressors[position],
            Scale(**one["scale"]),
            one["floor"],
        )
        for position, one in enumerate(series)
    }
