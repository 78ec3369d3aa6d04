"""Covariates make models better, and a caller gives them as columns."""

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import context_of, environment, job
from trainyard_trainer.data.loading import load
from trainyard_trainer.data.preprocessing import preprocess
from trainyard_trainer.errors import ConfigError, DataError
from trainyard_trainer.frameworks.golden import signature_of, verify_saved_model
from trainyard_trainer.frameworks.registry import framework_for

DAYS = pd.date_range("2025-01-01", periods=200)
RAIN = np.random.default_rng(7).uniform(0, 10, len(DAYS))


def files(folder, *, rain=RAIN):
    sales = pd.DataFrame({"ds": DAYS, "y": 50 + 5 * RAIN, "noise": np.arange(len(DAYS)) % 7})
    sales.to_csv(folder / "sales.csv", index=False)
    pd.DataFrame({"day": DAYS, "mm": rain}).to_csv(folder / "rain.csv", index=False)
    return {
        "covariates": [
            {
                "name": "rain",
                "uri": f"file://{folder}/rain.csv",
                "time": "day",
                "columns": ["mm"],
                "knownInFuture": True,
            }
        ]
    }


def train(config, folder):
    framework = framework_for(config)
    dataset = preprocess(load(config, environment(folder), lambda *_: None, lambda: False), config)
    context = context_of(config, folder)
    trained = framework.train(dataset, context)
    return framework, dataset, framework.evaluate(dataset, trained, context), context.output


def test_prophet_uses_covariates_as_regressors(tmp_path):
    config = job(tmp_path / "sales.csv", task="Forecast", data=files(tmp_path))
    framework, dataset, evaluation, output = train(config, tmp_path)
    assert dataset.features == ("rain.mm",)
    assert evaluation.metrics["mae"] < 0.1 * evaluation.metrics["baseline_mae"]
    assert verify_saved_model(framework, output, evaluation.golden).max_difference < 1e-4
    signature = signature_of(evaluation.golden)
    assert [column.name for column in signature.inputs] == ["ds", "rain.mm"]
    model = framework.load(output)
    asked = pd.DataFrame({"ds": ["2025-08-01"] * 3, "rain.mm": [0.0, 10.0, None]})
    dry, wet, unknown = framework.predict(model, asked)["prediction"]
    assert dry == pytest.approx(50, abs=2)
    assert wet == pytest.approx(100, abs=2)
    assert unknown == pytest.approx(50 + 5 * RAIN.mean(), abs=2)
    with pytest.raises(DataError, match=r"lacks the column 'rain\.mm'"):
        framework.predict(model, asked[["ds"]])
    with pytest.raises(DataError, match=r"'rain\.mm' of the input must hold numbers"):
        framework.predict(model, asked.assign(**{"rain.mm": "wet"}))


def test_days_of_a_zone_use_its_clock(tmp_path):
    config = job(tmp_path / "sales.csv", task="Forecast", data={**files(tmp_path), "timeZone": "Europe/Paris"})
    local = DAYS.tz_localize("Europe/Paris")
    sales = pd.DataFrame({"ds": [day.isoformat() for day in local], "y": 50 + 5 * RAIN})
    sales.to_csv(tmp_path / "sales.csv", index=False)
    framework, dataset, evaluation, output = train(config, tmp_path)
    assert dataset.frame["ds"].tolist() == list(DAYS)
    assert evaluation.metrics["mae"] < 0.1 * evaluation.metrics["baseline_mae"]
    model = framework.load(output)
    times = ["2025-08-01", "2025-08-01T00:00+02:00", "2025-07-31T22:00Z"]
    predictions = framework.predict(model, pd.DataFrame({"ds": times, "rain.mm": 4.0}))["prediction"]
    assert predictions.nunique() == 1


def test_hours_of_a_zone_are_stored_and_predicted_in_utc(tmp_path):
    hours = pd.date_range("2026-03-20", periods=300, freq="h", tz="Europe/Paris")
    frame = pd.DataFrame({"ds": [hour.isoformat() for hour in hours], "y": 5.0 + hours.hour})
    frame.to_csv(tmp_path / "t.csv", index=False)
    config = job(tmp_path / "t.csv", task="Forecast", data={"timeZone": "Europe/Paris"}, forecast={"horizon": 24})
    framework, _, evaluation, output = train(config, tmp_path)
    assert verify_saved_model(framework, output, evaluation.golden).max_difference < 1e-4
    times = ["2026-04-02T08:00", "2026-04-02T06:00Z"]
    predictions = framework.predict(framework.load(output), pd.DataFrame({"ds": times}))["prediction"]
    assert predictions.nunique() == 1


def test_lightgbm_uses_covariates_as_features(tmp_path):
    data = {**files(tmp_path), "time": "ds"}
    _, dataset, evaluation, _ = train(job(tmp_path / "sales.csv", data=data), tmp_path)
    assert dataset.features == ("noise", "rain.mm")
    assert evaluation.importance["feature"].iloc[0] == "rain.mm"
    assert evaluation.metrics["skill"] > 0.5


def test_the_digest_of_the_data_includes_covariates(tmp_path):
    digests = []
    for rain in (RAIN, RAIN + 1):
        config = job(tmp_path / "sales.csv", task="Forecast", data=files(tmp_path, rain=rain))
        table = load(config, environment(tmp_path), lambda *_: None, lambda: False)
        digests.append((table.origin.digest, preprocess(table, config).holdout_digest))
    assert digests[0][0] != digests[1][0]
    assert digests[0][1] == digests[1][1]


@pytest.mark.parametrize(
    ("data", "words"),
    [({"time": None}, r"spec\.data\.time"), ({"covariates": 2}, r"spec\.data\.covariates .*'rain' twice")],
)
def test_invalid_specifications(tmp_path, data, words):
    fields = {"time": "ds", **files(tmp_path)}
    fields |= {"covariates": fields["covariates"] * 2} if "covariates" in data else data
    with pytest.raises(ConfigError, match=words):
        framework_for(job(tmp_path / "sales.csv", data=fields))


def test_a_covariate_with_the_name_of_a_column_is_refused(tmp_path):
    data = {**files(tmp_path), "time": "ds"}
    pd.read_csv(tmp_path / "sales.csv").rename(columns={"noise": "rain.mm"}).to_csv(tmp_path / "sales.csv", index=False)
    with pytest.raises(DataError, match=r"same name 'rain\.mm'"):
        train(job(tmp_path / "sales.csv", data=data), tmp_path)
