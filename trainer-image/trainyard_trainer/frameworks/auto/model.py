"""The frameworks that answer together, and with which weight in which series: kept and read back.

Each framework has a folder of its own name, as it writes it itself. ``auto.json`` says which there are, and
``series.parquet`` where each series ends and what weighs in it. Quantiles have a third file, ``quantiles.json``.
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

DESCRIPTION_FILE: Final = "auto.json"
SERIES_FILE: Final = "series.parquet"
PREDICTION: Final = "prediction"


@dataclass(frozen=True)
class Member:
    """A framework, and the model of it."""

    framework: ForecastFramework
    model: Any


@dataclass(frozen=True)
class AutoModel:
    """What answers together.

    Attributes
    ----------
    members
        By the name of the framework; each has a weight in some series.
    weights
        Shape (series, members); each row adds up to 1.
    floors
        The least that is ever forecast, quantiles too; minus infinity is none; shape (series,).
    """

    ends: Ends
    members: Mapping[str, Member]
    weights: Floats
    floors: Floats
    quantiles: ErrorQuantiles = field(default_factory=ErrorQuantiles)

    def predict(self, inputs: pd.DataFrame) -> pd.DataFrame:
        """Answer a table of questions: the weighted mean of what the members say, and the quantiles around it.

        Raises
        ------
        DataError
            If a column is missing, a series is not known, or a time is outside the horizon.
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
                said = member.framework.predict(member.model, inputs.iloc[asked].reset_index(drop=True))
                forecast[asked] += weights[asked, index] * said[PREDICTION].to_numpy(dtype=np.float64)
        scales = np.array([self.quantiles.scale(self.ends.names[number]) for number in numbers])
        around = self.quantiles.around(forecast, steps, scales, self.floors[numbers])
        return pd.DataFrame(np.column_stack([forecast, around]), columns=columns)

    def forecast_holdouts(self, dataset: Dataset) -> Floats:
        """Forecast held-out rows from what lies before them: see ``ForecastFramework``; NaN for series not known."""
        weight_of = dict(zip(self.ends.names, self.weights, strict=True))
        nothing = np.full(len(self.members), np.nan)
        weights = np.stack([weight_of.get(one.name, nothing) for one in dataset.series])
        rows = np.repeat(weights, [one.holdout for one in dataset.series], axis=0)
        forecast = np.where(np.isnan(rows).any(axis=1), np.nan, 0.0)
        for index, member in enumerate(self.members.values()):
            said = member.framework.forecast_holdouts(member.model, dataset)
            used = rows[:, index] > 0
            forecast[used] += rows[used, index] * said[used]
        return forecast

    def save(self, folder: Path) -> tuple[str, ...]:
        """Write what the members do not, and return the names of the files."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        folder.mkdir(parents=True, exist_ok=True)
        fields = {
            "columns": asdict(self.ends.columns),
            "frequency": self.ends.frequency.alias,
            "horizon": self.ends.horizon,
            "members": list(self.members),
        }
        (folder / DESCRIPTION_FILE).write_text(json.dumps(fields, indent=1, ensure_ascii=False) + "\n")
        weights = pa.FixedSizeListArray.from_arrays(pa.array(self.weights.ravel()), len(self.members))
        table = pa.table(
            {"series": list(self.ends.names), "end": self.ends.times, "floor": self.floors, "weights": weights}
        )
        pq.write_table(table, folder / SERIES_FILE, compression="zstd")
        return (DESCRIPTION_FILE, SERIES_FILE, *self.quantiles.save(folder))


def load_auto_model(folder: Path, framework_named: Callable[[str], ForecastFramework]) -> AutoModel:
    """Read what :meth:`AutoModel.save` and the members wrote."""
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
    )


def load_members(
    folder: Path, names: Sequence[str], framework_named: Callable[[str], ForecastFramework]
) -> dict[str, Member]:
    """Read what each member wrote into its own folder."""
    frameworks = {name: framework_named(name) for name in names}
    return {name: Member(framework, framework.load(folder / name)) for name, framework in frameworks.items()}
