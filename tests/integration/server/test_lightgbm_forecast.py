"""LightGBM forecasts behind the inference protocol: the numbers of the trained model, with their quantiles."""

from pathlib import Path

import numpy as np
import pandas as pd

from tests.integration.server.conftest import Train
from tests.integration.server.process import ServerProcess
from tests.integration.server.tables import predictions_of, request_of
from tests.integration.trainer.conftest import Upload
from tests.integration.trainer.tables import forecast, sales_csv
from trainyard_trainer.artifacts.manifest import parse_manifest


def test_forecasts_equal_those_of_the_trained_model(train: Train, upload: Upload, tmp_path: Path) -> None:
    spec = forecast(upload("lightgbm-sales.csv", sales_csv(bread=100, rolls=300)), framework="LightGBM")
    quantiles = {**spec["forecast"], "quantiles": [0.9, 0.1]}
    stored = train({**spec, "forecast": quantiles, "parameters": {"num_iterations": 40}})
    bucket, key = stored.bucket_and_key
    body = stored.store.client().get_object(Bucket=bucket, Key=f"{key}/manifest.json")["Body"].read()
    golden = parse_manifest(body, key).golden
    rows = pd.DataFrame(golden.inputs.rows, columns=golden.inputs.columns)
    with ServerProcess(stored, tmp_path) as server:
        server.await_ready()
        predictions = predictions_of(server.infer(request_of(rows)).json())
    assert list(predictions.columns) == golden.outputs.columns == ["prediction", "quantile:0.1", "quantile:0.9"]
    np.testing.assert_allclose(predictions.to_numpy(dtype=float), np.array(golden.outputs.rows), rtol=1e-9)
    assert (predictions["quantile:0.1"] < predictions["quantile:0.9"]).all()
