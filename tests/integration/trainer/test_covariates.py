"""Several files and covariates from a real object store, in a process as the kubelet would start it."""

import json

import numpy as np
import pandas as pd

from tests.integration.trainer.conftest import Upload
from tests.integration.trainer.object_store import BUCKET, DATA_BUCKET
from tests.integration.trainer.pod import Pod
from tests.integration.trainer.tables import forecast

DAYS = pd.date_range("2026-01-01", periods=200)
RAIN = np.random.default_rng(7).uniform(0, 10, len(DAYS))


def spec(upload: Upload, **covariate: object) -> dict[str, object]:
    for month, rows in pd.DataFrame({"date": DAYS, "sold": 50 + 5 * RAIN}).groupby(DAYS.month):
        upload(f"months/{month:02}.csv", rows.assign(product="bread").to_csv(index=False).encode())
    rain = upload(
        "rain.jsonl", pd.DataFrame({"day": DAYS.astype(str), "mm": RAIN}).to_json(orient="records", lines=True).encode()
    )
    job = forecast(f"s3://{DATA_BUCKET}/months/*.csv")
    weather = {"name": "rain", "uri": rain, "time": "day", "columns": ["mm"], "knownInFuture": True, **covariate}
    job["data"]["covariates"] = [weather]
    return job


def test_a_covariate_improves_the_forecast(pod: Pod, upload: Upload) -> None:
    ended = pod.run(spec(upload))
    assert ended.code == 0, ended.result.message
    metrics = {metric.name: float(metric.value) for metric in ended.result.metrics or ()}
    assert metrics["mae"] < 0.1 * metrics["baseline_mae"]
    assert ended.result.signature is not None
    assert [column.name for column in ended.result.signature.inputs or ()] == ["date", "product", "rain.mm"]
    run = str(ended.result.artifact.uri if ended.result.artifact else "").removeprefix(f"s3://{BUCKET}/")
    body = pod.store.client().get_object(Bucket=BUCKET, Key=f"{run}/validation.json")["Body"].read()
    assert json.loads(body)["format"][0] == f"7 files below s3://{DATA_BUCKET}/months/"


def test_a_missing_optional_covariate_is_a_warning(pod: Pod, upload: Upload) -> None:
    ended = pod.run_here(spec(upload, uri=f"s3://{DATA_BUCKET}/no-rain.csv"))
    assert ended.code == 0, ended.result.message
    assert any("covariate 'rain' is left out" in warning for warning in ended.result.warnings or ())


def test_a_missing_required_covariate_is_retried(pod: Pod, upload: Upload) -> None:
    ended = pod.run_here(spec(upload, uri=f"s3://{DATA_BUCKET}/no-rain.csv", required=True))
    assert (ended.code, ended.result.reason) == (69, "UpstreamUnavailable"), ended.result.message
    assert "no-rain.csv" in (ended.result.message or "")
