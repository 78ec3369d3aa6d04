"""The model of framework StatsForecast: the forecasts of the methods for each series. Save and load.

A method only forecasts the steps after the end of its series. So the forecasts themselves are the model: a server does
not need statsforecast and predicts immediately. There are two files. ``model.json`` has the common data of all series,
``forecasts.parquet`` the steps of each series. With quantiles there is a third, ``quantiles.json``.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from trainyard_trainer.data.values.frequency import frequency_by
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.frameworks.forecast.columns import Columns, Questions
from trainyard_trainer.frameworks.forecast.ends import Ends
from trainyard_trainer.frameworks.forecast.quantiles import ErrorQuantiles, load_quantiles
from trainyard_trainer.frameworks.forecast.refresh import Learned, learned_fields, read_learned

DESCRIPTION_FILE: Final = "model.json"
FORECASTS_FILE: Final = "forecasts.parquet"


@dataclass(frozen=True)
class StatsModel:
    """The forecast of each series, and the weights of the methods.

    Attributes
    ----------
    methods
        The methods in the form of ``spec.parameters.models``.
    weights
        Weight of each method for each series; shape (series, methods).
    forecasts
        Forecast steps of all series, one after the other; shape (steps,).
    begins
        Start of the steps of each series, and the end of the last; shape (series + 1,).
    floors
        Lower bounds of forecasts and quantiles; minus infinity means no bound; shape (series,).
    learned
        The end of each series in the training if the model was refreshed. Otherwise these are ``ends``.
    """

    ends: Ends
    methods: tuple[object, ...]
    weights: Floats
    forecasts: Floats
    begins: npt.NDArray[np.int64]
    floors: Floats
    input_size: int
    quantiles: ErrorQuantiles = field(default_factory=ErrorQuantiles)
    learned: Learned | None = None

    @property
    def learned_until(self) -> Learned:
        """The end of each series in the training."""
        return dict(zip(self.ends.names, self.ends.times, strict=True)) if self.learned is None else self.learned

    def predict(self, asked: Questions) -> Floats:
        """Return the forecast and the quantiles of each requested row; shape (rows, 1 + levels).

        Raises
        ------
        DataError
            If a series is unknown, or a time is before the first step or after the horizon.
        """
        numbers, steps = self.ends.positions(asked)
        forecast = self.forecasts[self.begins[numbers] + steps - 1]
        scales = np.array([self.quantiles.scale(self.ends.names[number]) for number in numbers])
        return np.column_stack([forecast, self.quantiles.around(forecast, steps, scales, self.floors[numbers])])

    def weights_of(self) -> Mapping[str, Floats]:
        """Return the weights of each series by its name."""
        return dict(zip(self.ends.names, self.weights, strict=True))

    def save(self, folder: Path) -> tuple[str, ...]:
        """Write the files, and return their names."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        folder.mkdir(parents=True, exist_ok=True)
        fields = {
            "columns": asdict(self.ends.columns),
            "frequency": self.ends.frequency.alias,
            "horizon": self.ends.horizon,
            "input_size": self.input_size,
            "methods": self.methods,
            **learned_fields(self.learned),
        }
        (folder / DESCRIPTION_FILE).write_text(json.dumps(fields, indent=1, ensure_ascii=False) + "\n")
        table = pa.table(
            {
                "series": list(self.ends.names),
                "end": self.ends.times,
                "floor": self.floors,
                "weights": pa.FixedSizeListArray.from_arrays(pa.array(self.weights.ravel()), self.weights.shape[1]),
                "forecast": pa.ListArray.from_arrays(pa.array(self.begins, pa.int32()), pa.array(self.forecasts)),
            }
        )
        pq.write_table(table, folder / FORECASTS_FILE, compression="zstd")
        return (DESCRIPTION_FILE, FORECASTS_FILE, *self.quantiles.save(folder))


def load_stats_model(folder: Path) -> StatsModel:
    """Read the files that :meth:`StatsModel.save` wrote."""
    import pyarrow.parquet as pq

    fields = json.loads((folder / DESCRIPTION_FILE).read_text())
    columns = Columns.from_json(fields["columns"])
    table = pq.read_table(folder / FORECASTS_FILE)
    forecast = table["forecast"].combine_chunks()
    weights = table["weights"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    ends = Ends(
        tuple(table["series"].to_pylist()),
        table["end"].to_numpy(),
        frequency_by(fields["frequency"], columns.clock),
        columns,
        fields["horizon"],
    )
    return StatsModel(
        ends=ends,
        methods=tuple(fields["methods"]),
        weights=weights.reshape(table.num_rows, -1),
        forecasts=forecast.flatten().to_numpy(zero_copy_only=False),
        begins=np.concatenate([[0], np.cumsum(forecast.value_lengths().to_numpy())]).astype(np.int64),
        floors=table["floor"].to_numpy(),
        input_size=fields["input_size"],
        quantiles=load_quantiles(folder),
        learned=read_learned(fields),
    )
