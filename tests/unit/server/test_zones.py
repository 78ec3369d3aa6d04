"""A model with a time zone predicts correctly through the JSON parser of the server."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import context_of, dataset_of, job, write
from trainyard_trainer.frameworks.golden import as_json, max_difference
from trainyard_trainer.frameworks.registry import framework_for
from trainyard_trainer.frameworks.signature import Column, frame_of

COLUMNS = [Column("ds", "datetime")]


@pytest.mark.parametrize(
    ("step", "requested"),
    [
        ("D", ["2026-06-01", "2026-06-01T00:00:00+02:00", "2026-05-31T22:00:00Z"]),
        ("h", ["2026-06-01T08:00:00+02:00", "2026-06-01T08:00", "2026-06-01T06:00Z"]),
    ],
)
def test_times_have_the_same_meaning_as_in_training(tmp_path: Path, step: str, requested: list[str]) -> None:
    times = pd.date_range("2026-03-01", periods=200, freq=step, tz="Europe/Paris")
    frame = pd.DataFrame({"ds": [time.isoformat() for time in times], "y": np.arange(200) % 7 + times.hour})
    config = job(write(tmp_path, frame.to_csv(index=False)), task="Forecast", data={"timeZone": "Europe/Paris"})
    framework = framework_for(config)
    dataset, context = dataset_of(config, tmp_path), context_of(config, tmp_path)
    golden = framework.evaluate(dataset, framework.train(dataset, context), context).golden
    model = framework.load(context.output)

    rows = as_json(golden.inputs).rows
    found = framework.predict(model, frame_of({"ds": [row[0] for row in rows]}, COLUMNS))
    assert max_difference(golden.outputs, found) < 1e-4
    assert framework.predict(model, frame_of({"ds": requested}, COLUMNS))["prediction"].nunique() == 1
