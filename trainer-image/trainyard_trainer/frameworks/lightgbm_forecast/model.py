"""The global model of all series: recursive forecasts, save and load. This module does not use mlforecast.

There are three files. ``model.txt`` has the trees in LightGBM's format. ``model.json`` has the meaning of their
columns. ``state.parquet`` has the end of each series, from which a forecast starts. With quantiles there is a fourth,
``quantiles.json``: their distance from the forecasts.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import lightgbm
import numpy as np

from trainyard_trainer.data.dataset import Clock
from trainyard_trainer.data.values.frequency import Frequency, frequency_by, frequency_of
from trainyard_trainer.evaluate.baselines import seasonal_naive
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.frameworks.forecast.columns import Columns, Questions
from trainyard_trainer.frameworks.forecast.ends import Ends, times_after
from trainyard_trainer.frameworks.forecast.panel import filled
from trainyard_trainer.frameworks.forecast.quantiles import ErrorQuantiles, load_quantiles
from trainyard_trainer.frameworks.forecast.refresh import Learned, learned_fields, read_learned
from trainyard_trainer.frameworks.lightgbm_forecast.features import FeatureSpec, calendar, next_features
from trainyard_trainer.frameworks.lightgbm_forecast.state import State

MODEL_FILE: Final = "model.txt"
DESCRIPTION_FILE: Final = "model.json"
STATE_FILE: Final = "state.parquet"

_SERIES_PER_THREAD: Final = 500


@dataclass(frozen=True)
class Trees:
    """A booster, and the meaning of its columns. Only its first ``rounds`` rounds are used; -1 means all."""

    booster: lightgbm.Booster
    feature_spec: FeatureSpec
    frequency: Frequency
    clock: Clock
    rounds: int = -1

    def forecast(self, state: State, steps: int, regressors: Floats | None, threads: int = 1) -> Floats:
        """Forecast the steps after the end of each series.

        If a lag is after the end, the forecast is used as its value.

        Parameters
        ----------
        regressors
            Shape (series, steps, regressors); NaN if unknown. ``None`` without any.

        Returns
        -------
        Shape (series, steps), in the unit of the target.
        """
        result = np.empty((len(state.names), steps))
        for number in np.flatnonzero(~state.fitted):
            result[number] = _naive(state.values[number], steps, self.frequency.season)
        rows = np.flatnonzero(state.fitted)
        if len(rows):
            block_regressors = None if regressors is None else regressors[rows]
            result[rows] = self._walk(
                state.take(rows), steps, block_regressors, max(1, min(threads, len(rows) // _SERIES_PER_THREAD))
            )
        return result

    def _walk(self, state: State, steps: int, regressors: Floats | None, threads: int) -> Floats:
        known = np.stack([filled(values, self.frequency.season) for values in state.values]) / state.scales[:, None]
        history = np.concatenate([known, np.empty((len(known), steps))], axis=1)
        ends, index = np.unique(state.ends, return_inverse=True)
        dates = calendar(times_after(ends, steps, self.frequency), self.feature_spec.calendar, self.clock)
        floors = state.floors / state.scales
        for first in range(0, steps, self.feature_spec.nearest):
            block = range(first, min(first + self.feature_spec.nearest, steps))  # no step uses another one
            now = known.shape[1] + first
            past = np.concatenate(
                [next_features(history[:, : known.shape[1] + step], self.feature_spec) for step in block]
            )
            base = self.feature_spec.bases(past)
            columns = [past - base[:, None], np.concatenate([dates[index, step] for step in block])]
            if regressors is not None:
                columns.append(np.concatenate([regressors[:, step] for step in block]))
            columns += [_lagged_at(state.lagged, block), np.tile(state.static, (len(block), 1))]
            table = np.concatenate(columns, axis=1)
            predicted = self.booster.predict(table, num_threads=threads, num_iteration=self.rounds) + base
            history[:, now : now + len(block)] = np.maximum(predicted.reshape(len(block), -1).T, floors[:, None])
        return np.asarray(history[:, known.shape[1] :] * state.scales[:, None])


@dataclass(frozen=True)
class ForecastModel:
    """The trees, the ends of the series, the maximum horizon after the newest end, and the error quantiles.

    Attributes
    ----------
    learned
        The end of each series in the training if the model was refreshed. Otherwise these are the ends of ``state``.
    """

    trees: Trees
    state: State
    columns: Columns
    horizon: int
    quantiles: ErrorQuantiles = field(default_factory=ErrorQuantiles)
    learned: Learned | None = None

    @property
    def learned_until(self) -> Learned:
        """The end of each series in the training."""
        return dict(zip(self.state.names, self.state.ends, strict=True)) if self.learned is None else self.learned

    @property
    def ends(self) -> Ends:
        """The ends of the series."""
        return Ends(self.state.names, self.state.ends, self.trees.frequency, self.columns, self.horizon)

    def predict(self, asked: Questions) -> Floats:
        """Return the forecast and the quantiles of each requested row; shape (rows, 1 + levels).

        Raises
        ------
        DataError
            If a series is unknown, or a time is before the first step or after the horizon.
        """
        numbers, steps = self.ends.positions(asked)
        series, index = np.unique(numbers, return_inverse=True)
        regressors = None
        if asked.regressors is not None:
            regressors = np.full((len(series), int(steps.max()), asked.regressors.shape[1]), np.nan)
            regressors[index, steps - 1] = asked.regressors
        state = self.state.take(series)
        forecast = self.trees.forecast(state, int(steps.max()), regressors)[index, steps - 1]
        scales = np.array([self.quantiles.scale(name) for name in state.names])
        return np.column_stack([forecast, self.quantiles.around(forecast, steps, scales[index], state.floors[index])])

    def save(self, folder: Path) -> tuple[str, ...]:
        """Write the files, and return their names."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        folder.mkdir(parents=True, exist_ok=True)
        self.trees.booster.save_model(folder / MODEL_FILE)
        fields = {
            "columns": asdict(self.columns),
            "frequency": self.trees.frequency.alias,
            "horizon": self.horizon,
            "by_wall": bool(self.trees.frequency.zone),
            "features": self.trees.feature_spec.as_json(),
            **learned_fields(self.learned),
        }
        (folder / DESCRIPTION_FILE).write_text(json.dumps(fields, indent=1, ensure_ascii=False) + "\n")
        state = self.state
        keep = state.values.shape[1]
        table = pa.table(
            {
                "series": list(state.names),
                "end": state.ends,
                "scale": state.scales,
                "floor": state.floors,
                "fitted": state.fitted,
                "values": pa.FixedSizeListArray.from_arrays(pa.array(state.values.ravel()), keep),
                **{f"static:{name}": state.static[:, at] for at, name in enumerate(self.trees.feature_spec.static)},
            }
        )
        if self.trees.feature_spec.lagged:
            size = state.lagged[0].size
            lagged = pa.FixedSizeListArray.from_arrays(pa.array(state.lagged.ravel()), size)
            table = table.append_column("lagged", lagged)
        pq.write_table(table, folder / STATE_FILE, compression="zstd")
        return (MODEL_FILE, DESCRIPTION_FILE, STATE_FILE, *self.quantiles.save(folder))


def load_forecast_model(folder: Path) -> ForecastModel:
    """Read the files that :meth:`ForecastModel.save` wrote."""
    import pyarrow.parquet as pq

    fields = json.loads((folder / DESCRIPTION_FILE).read_text())
    columns = Columns.from_json(fields["columns"])
    clock = columns.clock
    table = pq.read_table(folder / STATE_FILE)
    values = table["values"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    feature_spec = FeatureSpec.from_json(fields["features"])
    static = [table[f"static:{name}"].to_numpy() for name in feature_spec.static]
    lagged = np.empty(0)
    if feature_spec.lagged:
        lagged = table["lagged"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    state = State(
        names=tuple(table["series"].to_pylist()),
        ends=table["end"].to_numpy(),
        values=values.reshape(table.num_rows, -1),
        scales=table["scale"].to_numpy(),
        floors=table["floor"].to_numpy(),
        fitted=table["fitted"].to_numpy(),
        static=np.column_stack(static) if static else np.empty((table.num_rows, 0)),
        lagged=lagged.reshape(table.num_rows, feature_spec.lagged_by, len(feature_spec.lagged)),
    )
    booster = lightgbm.Booster(model_file=folder / MODEL_FILE)
    # Older releases counted the steps of a zone in UTC.
    frequency = frequency_by(fields["frequency"], clock) if fields.get("by_wall") else frequency_of(fields["frequency"])
    trees = Trees(booster, feature_spec, frequency, clock)
    return ForecastModel(trees, state, columns, fields["horizon"], load_quantiles(folder), read_learned(fields))


def _naive(values: Floats, steps: int, season: int) -> Floats:
    known = np.flatnonzero(~np.isnan(values))
    wanted = np.arange(len(values), len(values) + steps)
    return seasonal_naive(known, values[known], wanted, season)


def _lagged_at(lagged: Floats, block: range) -> Floats:
    """Return the lagged covariates of some steps ahead, one step after the other. NaN after the last available one."""
    series, reach, count = lagged.shape
    found = np.full((len(block), series, count), np.nan)
    for index, step in enumerate(block):
        if step < reach:
            found[index] = lagged[:, step]
    return found.reshape(len(block) * series, count)
