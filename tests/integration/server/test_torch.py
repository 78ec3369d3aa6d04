"""Networks behind the inference protocol: onnxruntime predicts, and the server's process never loads Torch."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.integration.server.conftest import Train
from tests.integration.server.process import ServerProcess
from tests.integration.server.tables import classification, classification_csv, predictions_of, request_of, shops
from tests.integration.trainer.conftest import Upload
from tests.integration.trainer.tables import forecast, sales_csv

QUICK = {"epochs": 20, "hidden": [16], "learning_rate": 0.02}


def loads_torch(server: ServerProcess) -> bool:
    return "libtorch" in Path(f"/proc/{server.pid}/maps").read_text()


def test_a_classifier_is_served_without_torch(train: Train, upload: Upload, tmp_path: Path) -> None:
    spec = classification(upload("torch-shops.csv", classification_csv()))
    stored = train({**spec, "framework": "Torch", "parameters": QUICK})
    rows = shops().drop(columns="size").head(40)
    with ServerProcess(stored, tmp_path) as server:
        server.await_ready()
        predictions = predictions_of(server.infer(request_of(rows)).json())
        assert not loads_torch(server)
    names = [f"probability:{name}" for name in ("large", "middle", "small")]
    assert np.allclose(predictions[names].sum(axis=1), 1)
    assert (predictions["prediction"] == predictions[names].idxmax(axis=1).str.removeprefix("probability:")).all()
    assert (predictions["prediction"] == shops()["size"].head(40)).mean() > 0.6


def test_forecasts_are_served_without_torch(train: Train, upload: Upload, tmp_path: Path) -> None:
    uri = upload("torch-sales.csv", sales_csv(bread=100, rolls=300))
    spec = forecast(uri, framework="Torch", parameters=QUICK)
    stored = train({**spec, "forecast": {**spec["forecast"], "quantiles": [0.1, 0.9]}})
    days = [str(day.date()) for day in pd.date_range("2026-07-20", periods=21)]
    request = pd.DataFrame({"date": days * 2, "product": ["bread"] * 21 + ["rolls"] * 21})
    with ServerProcess(stored, tmp_path) as server:
        server.await_ready()
        predictions = predictions_of(server.infer(request_of(request)).json())
        reported = predictions["prediction"].to_numpy()
        assert not loads_torch(server)
        refused = server.infer(request_of(request.assign(date="2026-07-19")))
    assert reported[:21].mean() == pytest.approx(100, rel=0.2)
    assert reported[21:].mean() == pytest.approx(300, rel=0.2)
    assert (predictions["quantile:0.1"] < predictions["quantile:0.9"]).all()
    assert refused.status_code == 400
    assert "cannot be forecast" in refused.json()["error"]
