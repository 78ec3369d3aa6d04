"""A server reports the positive class of two, and predicts it if its probability reaches the threshold."""

from pathlib import Path

import numpy as np
import pandas as pd
import requests

from tests.integration.server.conftest import Train
from tests.integration.server.process import ServerProcess
from tests.integration.server.tables import predictions_of, request_of
from tests.integration.trainer.conftest import Upload


def test_the_positive_class_is_reported_and_predicted_from_the_threshold_on(
    train: Train, upload: Upload, tmp_path: Path
) -> None:
    random = np.random.default_rng(6)
    heat = random.normal(0, 1, 600)
    frame = pd.DataFrame({"heat": heat, "state": np.where(heat + random.normal(0, 0.5, 600) > 1.2, "defekt", "ok")})
    uri = upload("two-classes.csv", frame.to_csv(index=False).encode())
    data = {"uri": uri, "target": "state"}
    stored = train({"framework": "LightGBM", "task": "Classification", "data": data, "threshold": {"minRecall": 0.9}})
    with ServerProcess(stored, tmp_path) as server:
        server.await_ready()
        reported = requests.get(server.path, timeout=30).json()["parameters"]
        predictions = predictions_of(server.infer(request_of(frame[["heat"]])).json())
    assert reported["positiveClass"] == "defekt"
    predicted_positive = predictions["prediction"] == "defekt"
    assert (predicted_positive == (predictions["probability:defekt"] >= reported["threshold"])).all()
    assert predicted_positive[frame["state"] == "defekt"].mean() > 0.8
