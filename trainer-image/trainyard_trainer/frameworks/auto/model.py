"""The members of an Auto model and their weights for each series: save and load.

Each framework has a folder with its name, which it writes itself. ``auto.json`` lists them. ``series.parquet`` has the
end of each series and the weights for it. With quantiles there is a third file, ``quantiles.json``.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.data.values.frequency import frequency_by
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.frameworks.base import ForecastFramework
from trainyard_trainer.frameworks.forecast.columns import Columns, read_questions
from trainyard_trainer.frameworks.forecast.ends import Ends
from trainyard_trainer.frameworks.forecast.quantiles import ErrorQuantiles, load_quantiles
from trainyard_trainer.frameworks.forecast.refresh import Learned, learned_fields, read_learned

DESCRIPTION_FILE: Final = "auto.json"
SERIES_FILE: Final = "series.parquet"
PREDICTION: Final = "prediction"


@dataclass(frozen=True)
class Member:
    """A framework and its model."""

    framework: ForecastFramework
    model: Any


@dataclass(frozen=True)
class AutoModel:
    """Several models whose forecasts are combined.

    Attributes
    ----------
    members
        Members by the name of the framework. Each has a weight for some series.
    weights
        Shape (series, members); the sum of each row is 1.
    floors
        Lower bounds of forecasts and quantiles; minus infinity means no bound; shape (series,).
    learned
        The end of each series in the training if the model was refreshed. Otherwise these are ``ends``.
    """

    ends: Ends
    members: Mapping[str, Member]
    weights: Floats
    floors: Floats
    quantiles: ErrorQuantiles = field(default_factory=ErrorQuantiles)
    learned: Learned | None = None

    @property
    def learned_until(self) -> Learned:
        """The end of each series in the training."""
        return dict(zip(self.ends.names, self.ends.times, strict=True)) if self.learned is None else self.learned

    def predict(self, inputs: pd.DataFrame) -> pd.DataFrame:
        """Return the weighted mean of the members' forecasts, and its quantiles, for the rows of a request.

        Raises
        ------
        DataError
            If a column is missing, a series is unknown, or a time is outside the horizon.
        """
        columns = [PREDICTION, *self.quantiles.columns]
        if inputs.empty:
            return pd.DataFrame(np.empty((0, len(columns))), columns=columns)
        numbers, steps = self.ends.positions(read_questions(inputs, self.ends.columns))
        weights = self.weights[numbers]
        forecast = np.zeros(len(inputs))
        for index, member in enumerate(self.members.values()):
            asked = np.flatnonzero(weights[:, index])
            if len(asked):
                predicted = member.framework.predict(member.model, inputs.iloc[asked].reset_index(drop=True))
                forecast[asked] += weights[asked, index] * predicted[PREDICTION].to_numpy(dtype=np.float64)
        scales = np.array([self.quantiles.scale(self.ends.names[number]) for number in numbers])
        around = self.quantiles.around(forecast, steps, scales, self.floors[numbers])
        return pd.DataFrame(np.column_stack([forecast, around]), columns=columns)

    def forecast_holdouts(self, dataset: Dataset) -> Floats:
        """Forecast held-out rows from the rows before them: see ``ForecastFramework``. NaN for unknown series."""
        weight_of = dict(zip(self.ends.names, self.weights, strict=True))
        nothing = np.full(len(self.members), np.nan)
        weights = np.stack([weight_of.get(one.name, nothing) for one in dataset.series])
        rows = np.repeat(weights, [one.holdout for one in dataset.series], axis=0)
        forecast = np.where(np.isnan(rows).any(axis=1), np.nan, 0.0)
        for index, member in enumerate(self.members.values()):
            predicted = member.framework.forecast_holdouts(member.model, dataset)
            used = rows[:, index] > 0
            forecast[used] += rows[used, index] * predicted[used]
        return forecast

    def save(self, folder: Path) -> tuple[str, ...]:
        """Write the files that the members do not write. Return their names."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        folder.mkdir(parents=True, exist_ok=True)
        fields = {
            "columns": asdict(self.ends.columns),
            "frequency": self.ends.frequency.alias,
            "horizon": self.ends.horizon,
            "members": list(self.members),
            **learned_fields(self.learned),
        }
        (folder / DESCRIPTION_FILE).write_text(json.dumps(fields, indent=1, ensure_ascii=False) + "\n")
        weights = pa.FixedSizeListArray.from_arrays(pa.array(self.weights.ravel()), len(self.members))
        table = pa.table(
            {"series": list(self.ends.names), "end": self.ends.times, "floor": self.floors, "weights": weights}
        )
        pq.write_table(table, folder / SERIES_FILE, compression="zstd")
        return (DESCRIPTION_FILE, SERIES_FILE, *self.quantiles.save(folder))


def load_auto_model(folder: Path, framework_named: Callable[[str], ForecastFramework]) -> AutoModel:
    """Read the files that :meth:`AutoModel.save` and the members wrote."""
    import pyarrow.parquet as pq

    fields = json.loads((folder / DESCRIPTION_FILE).read_text())
    columns = Columns.from_json(fields["columns"])
    table = pq.read_table(folder / SERIES_FILE)
    frequency = frequency_by(fields["frequency"], columns.clock)
    return AutoModel(
        ends=Ends(tuple(table["series"].to_pylist()), table["end"].to_numpy(), frequency, columns, fields["horizon"]),
        members=load_members(folder, fields["members"], framework_named),
        weights=table["weights"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(table.num_rows, -1),
        floors=table["floor"].to_numpy(),
        quantiles=load_quantiles(folder),
        learned=read_learned(fields),
    )


def load_members(
    folder: Path, names: Sequence[str], framework_named: Callable[[str], ForecastFramework]
) -> dict[str, Member]:
    """Read the folder of each member."""
    frameworks = {name: framework_named(name) for name in names}
    return {name: Member(framework, framework.load(folder / name)) for name, framework in frameworks.items()}
