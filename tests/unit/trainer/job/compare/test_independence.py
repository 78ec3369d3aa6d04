"""The judged model is independent of the held-out rows: other values in these rows do not change the model."""

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import job, write
from tests.unit.trainer.data.test_preprocess import prepare
from tests.unit.trainer.job.compare.nights import FORECAST, QUICK, TABLE, Nights, machines, sales
from trainyard_trainer.artifacts.layout import JUDGED
from trainyard_trainer.data.dataset import Origin, Table
from trainyard_trainer.data.preprocessing import preprocess

PARAMETERS = {"LightGBM": QUICK, "Torch": {"epochs": 2}, "Prophet": {}}
WEIGHTS = {"LightGBM": "model.txt", "Torch": "model.safetensors", "Prophet": "models.jsonl.zst"}


def models(nights, framework, frame, **spec):
    result = nights.train(frame, framework=framework, parameters=PARAMETERS[framework], **spec)
    folder = nights.folder_of(result)
    return [(folder / part / WEIGHTS[framework]).read_bytes() for part in (JUDGED, ".")]


@pytest.mark.parametrize("strategy", ["Stratified", "Random", "Group", "Time"])
@pytest.mark.parametrize("framework", ["LightGBM", "Torch"])
def test_tables(tmp_path, framework, strategy):
    nights = Nights(tmp_path)
    frame = machines(400).assign(id=np.arange(400), day=pd.date_range("2026-01-01", periods=400).astype(str))
    role = {"Group": "group", "Time": "time"}.get(strategy, "key")
    column = "day" if role == "time" else "id"
    spec = {**TABLE, "data": {"target": "failed", role: column, "exclude": [{"id": "day", "day": "id"}[column]]}}
    spec["split"] = {"strategy": strategy}
    config = job(write(tmp_path, "id\n"), **{**spec, "data": {**spec["data"]}, "target": "failed"})
    held = preprocess(Table(frame.drop(columns=spec["data"]["exclude"]), Origin("x", "sha256:0", 1)), config).parts.test
    other = frame.copy()
    other.loc[held, ["heat", "load"]] += 5
    other.loc[held, "failed"] = np.where(other.loc[held, "failed"] == "yes", "no", "yes")
    judged, final = models(nights, framework, frame, **spec)
    again, changed = models(nights, framework, other, **spec)
    assert judged == again
    assert final != changed, "the final model was trained on every row"


@pytest.mark.parametrize("framework", ["LightGBM", "Prophet", "Torch"])
def test_forecasts(tmp_path, framework):
    nights = Nights(tmp_path)
    frame = sales(200)
    other = frame.assign(sold=frame["sold"].where(frame["day"] <= frame["day"].max() - pd.Timedelta(days=7), 500))
    judged, final = models(nights, framework, frame, **FORECAST)
    again, changed = models(nights, framework, other, **FORECAST)
    assert judged == again
    assert final != changed


@pytest.mark.parametrize("seed", range(5))
def test_changed_column_types_do_not_move_rows_between_the_parts(tmp_path, seed):
    random = np.random.default_rng(seed)
    judged: set[str] = set()
    rows = pd.DataFrame(
        {"count": random.integers(0, 10**6, 200).astype(str), "flag": random.choice(["true", "false"], 200)}
    )
    for odd in ("", "1.5", "n/a", "many", "2026-01-31"):
        table = rows.assign(y=np.arange(len(rows)) % 7, const="1")
        dataset = prepare(tmp_path, table)
        positions = table["count"].to_numpy()
        judged |= set(positions[dataset.parts.test])
        learned = set(positions[np.concatenate([dataset.parts.train, dataset.parts.validation])])
        assert not judged & learned - {odd}
        more = pd.DataFrame(
            {"count": [odd, str(random.integers(0, 10**6))], "flag": [random.choice(["", "maybe"]), "true"]}
        )
        rows = pd.concat([rows, more], ignore_index=True)
