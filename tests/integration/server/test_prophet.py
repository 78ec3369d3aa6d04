"""Prophet models behind the inference protocol: times and series are columns.

Any time is allowed; there is no horizon.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zstandard

from tests.integration.server.process import ServerProcess, Stored
from tests.integration.server.tables import predictions_of
from trainyard_trainer.frameworks.prophet.series import quiet_prophet

DAYS = [str(day.date()) for day in pd.date_range("2026-08-01", periods=10)]


def request_for(days: list[Any], series: list[Any], **more: Any) -> dict[str, Any]:
    return {
        "inputs": [
            {"name": "date", "shape": [len(days)], "datatype": "BYTES", "data": days},
            {"name": "product", "shape": [len(series)], "datatype": "BYTES", "data": series},
        ],
        **more,
    }


def test_forecasts_equal_those_of_the_library(
    forecaster: Stored, forecaster_server: ServerProcess, tmp_path: Path
) -> None:
    payload = forecaster_server.infer(request_for(DAYS, ["rolls", "bread"] * 5)).json()
    found = predictions_of(payload)["prediction"].to_numpy()

    bucket, key = forecaster.bucket_and_key
    forecaster.store.client().download_file(bucket, f"{key}/models.jsonl.zst", str(tmp_path / "models"))
    with zstandard.open(tmp_path / "models", "rt") as lines:
        models = {record["series"]: record["model"] for record in map(json.loads, lines)}
    for number, series in enumerate(["rolls", "bread"]):
        times = pd.DataFrame({"ds": pd.to_datetime(DAYS[number::2])})
        expected = quiet_prophet().serialize.model_from_json(models[series]).predict(times)["yhat"]
        np.testing.assert_allclose(found[number::2], np.maximum(expected, 0), rtol=1e-12)


def test_times_may_be_far_in_the_future_and_in_any_time_zone(forecaster_server: ServerProcess) -> None:
    days = ["2026-08-01", "2026-08-01T02:00:00+02:00", "2031-01-01T00:00:00Z"]
    values = predictions_of(forecaster_server.infer(request_for(days, ["bread"] * 3)).json())["prediction"]
    assert values[0] == values[1]
    assert values.notna().all()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (request_for(["2026-08-01"], ["cake"]), "column 'product': the model has no series 'cake'"),
        (request_for(["2026-08-01"], [None]), "column 'product'"),
        (request_for(["soon"], ["bread"]), "column 'date', row 1: 'soon' is not a time; write it as 2026-01-31"),
        (request_for(["2026-08-01", None], ["bread"] * 2), "column 'date', row 2: None is not a time"),
        (request_for([20260801], ["bread"]), "column 'date', row 1: 20260801 is not a time"),
        (request_for(["9999-01-01"], ["bread"]), "column 'date', row 1: '9999-01-01' is not a time"),
        ({"inputs": request_for(DAYS, ["bread"] * 10)["inputs"][:1]}, "no column 'product'"),
    ],
    ids=["unknown series", "no series", "no time", "missing time", "a number", "too far", "series column missing"],
)
def test_a_bad_request_is_refused_with_a_message(
    forecaster_server: ServerProcess, body: dict[str, Any], said: str
) -> None:
    response = forecaster_server.infer(body)
    assert response.status_code == 400, response.text
    assert said in response.json()["error"]
