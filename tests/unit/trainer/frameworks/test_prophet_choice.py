"""The selection of the model of a series: the best one before its holdout. The holdout is not used for it."""

import dataclasses
import json
import warnings

import numpy as np
import pandas as pd
import pytest
import zstandard

from tests.unit.trainer.data.jobs import context_of, dataset_of, job, write
from trainyard_trainer.data.series.folds import rolling_origins
from trainyard_trainer.data.values.frequency import frequency_of
from trainyard_trainer.frameworks.golden import verify_saved_model
from trainyard_trainer.frameworks.prophet.choice import fit_series
from trainyard_trainer.frameworks.prophet.fallbacks import fit_fallback
from trainyard_trainer.frameworks.prophet.series import FitSpec, Task, quiet_prophet, read_record, seasonalities
from trainyard_trainer.frameworks.registry import framework_for

DAYS = pd.date_range("2025-06-01", periods=120)
STEP = np.arange(len(DAYS))
HORIZON = 10


def noisy_week():
    return 20 + 6 * np.sin(STEP * 2 * np.pi / 7) + np.random.default_rng(1).standard_normal(len(STEP))


def exact_week():
    return np.array([3.0, 9.0, 2.0, 8.0, 1.0, 4.0, 30.0])[STEP % 7]


def seldom():
    """Sales on every second day. They increase on day 40: a level follows the increase, but a mean of all does not."""
    return np.where(STEP % 2 == 0, np.where(STEP < 40, 1.0, 20.0) + STEP % 3, 0.0)


def task_of(values, folder, **more):
    fit_spec = FitSpec("D", {}, None, 1, str(folder), horizon=HORIZON, folds=more.pop("folds", 2))
    return Task("a", DAYS.to_numpy(), values, HORIZON, 3, fit_spec, **more)


def losses_by_hand(values, demand):
    """Return the mean absolute errors of the libraries themselves on the two folds."""
    folds = rolling_origins(STEP, holdout=HORIZON, horizon=HORIZON, folds=2)
    found = {"prophet": [], "seasonal-naive": []}
    for fold in folds:
        actual, span = values[fold.judge], fold.cut - 1
        model = quiet_prophet().Prophet(uncertainty_samples=0, **seasonalities(span, frequency_of("D")))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(pd.DataFrame({"ds": DAYS[fold.fit], "y": values[fold.fit]}), seed=1)
            forecast = model.predict(pd.DataFrame({"ds": DAYS[fold.judge]}))["yhat"].clip(lower=0)
        found["prophet"].append(np.abs(actual - forecast).mean())
        week = values[fold.cut - 7 : fold.cut]
        found["seasonal-naive"].append(np.abs(actual - np.resize(week, HORIZON)).mean())
        if demand == "Intermittent":
            from statsforecast.models import IMAPA, TSB

            for name, bare in (("tsb", TSB(0.1, 0.1)), ("imapa", IMAPA())):
                flat = bare.forecast(values[fold.fit], h=HORIZON)["mean"]
                found.setdefault(name, []).append(np.abs(actual - flat).mean())
    return {name: float(np.mean(each)) for name, each in found.items()}


@pytest.mark.parametrize(
    ("make", "demand"), [(noisy_week, "High"), (exact_week, "Low"), (seldom, "Intermittent"), (seldom, "Low")]
)
def test_the_best_model_before_the_holdout_is_saved(tmp_path, make, demand):
    values = make()
    outcome = fit_series(task_of(values, tmp_path, demand=demand))
    expected = losses_by_hand(values, demand)
    assert outcome.kind == min(expected, key=expected.__getitem__), expected
    assert not outcome.failures
    assert read_record(outcome.record)["kind"] == outcome.kind
    assert list(tmp_path.iterdir()) == []


def test_each_kind_of_model_is_the_best_for_some_series(tmp_path):
    kinds = {fit_series(task_of(make(), tmp_path)).kind for make in (noisy_week, exact_week)}
    intermittent = fit_series(task_of(seldom(), tmp_path, demand="Intermittent"))
    assert kinds == {"prophet", "seasonal-naive"}
    assert intermittent.kind in {"tsb", "imapa"}
    assert np.ptp(intermittent.forecast) == 0


@pytest.mark.parametrize("make", [noisy_week, exact_week, seldom])
def test_the_holdout_does_not_change_the_selection(tmp_path, make):
    values = make()
    others = np.concatenate([values[:-HORIZON], values[-HORIZON:] * 50 + 1000])
    first, second = (fit_series(task_of(each, tmp_path, demand="Intermittent")) for each in (values, others))
    assert (first.kind, first.forecast.tolist()) == (second.kind, second.forecast.tolist())
    assert first.record != second.record


def test_without_folds_the_holdout_selects_the_model(tmp_path):
    assert fit_series(task_of(exact_week(), tmp_path, folds=0)).kind == "seasonal-naive"
    assert fit_series(task_of(noisy_week(), tmp_path, folds=0)).kind == "prophet"


@pytest.mark.parametrize(
    ("metric", "kind"), [("mae", "seasonal-naive"), ("rmse", "prophet"), ("mape", "seasonal-naive")]
)
def test_the_objective_selects_the_model(tmp_path, metric, kind):
    """A rare high peak on one day of the week: the seasonal naive model misses it rarely, but by far."""
    values = np.where((STEP % 7 == 0) & (STEP % 21 == 0), 200.0, 10.0)
    values[-2 * HORIZON - 20 :] = 10.0
    values[-2 * HORIZON - 4] = 100.0
    task = task_of(values, tmp_path)
    task = dataclasses.replace(task, fit_spec=dataclasses.replace(task.fit_spec, metric=metric))
    assert fit_series(task).kind == kind


def train(folder, series, **spec):
    frame = pd.concat([pd.DataFrame({"day": DAYS, "item": name, "sold": values}) for name, values in series.items()])
    data = {"time": "day", "series": "item"}
    path = write(folder, frame.to_csv(index=False))
    forecast = {"horizon": HORIZON}
    config = job(path, target="sold", task="Forecast", data=data, forecast=forecast, **spec)
    framework, dataset, context = framework_for(config), dataset_of(config, folder), context_of(config, folder)
    return framework, dataset, context, framework.train(dataset, context)


def test_fallbacks_are_counted_reported_saved_and_used(tmp_path):
    series = {"bread": noisy_week(), "rolls": exact_week(), "spare part": seldom()}
    framework, dataset, context, trained = train(tmp_path, series)
    kinds = {outcome.name: outcome.kind for outcome in trained.model.outcomes}
    assert (kinds["bread"], kinds["rolls"]) == ("prophet", "seasonal-naive")
    assert kinds["spare part"] in {"tsb", "imapa"}
    assert trained.series is not None
    assert (trained.series.trained, trained.series.fallback, trained.series.failed) == (1, 2, 0)
    assert len(trained.warnings) == 2
    assert all(text.startswith("1 series fell back to the ") for text in trained.warnings)
    for model in ("seasonal naive model", f"{kinds['spare part'].upper()} model"):
        assert any(model in text for text in trained.warnings)
    found = framework.evaluate(dataset, trained, context)
    skills = found.table.query("metric == 'skill'").set_index("series")["value"]
    assert skills["rolls"] == 0
    assert verify_saved_model(framework, context.output, found.golden).max_difference < 1e-9
    rows = found.holdout.query("series == 'spare part'")
    assert len(rows) == HORIZON
    assert rows["predicted"].nunique() == 1
    asked = pd.DataFrame({"day": ["2027-01-01", "2025-10-01"], "item": "spare part"})
    predictions = framework.predict(framework.load(context.output), asked)["prediction"]
    assert predictions.nunique() == 1


def test_a_model_can_consist_of_fallbacks_only(tmp_path):
    *_, trained = train(tmp_path, {"rolls": exact_week()})
    assert trained.series is not None
    assert (trained.series.trained, trained.series.fallback) == (0, 1)


def test_a_model_of_an_earlier_release_can_predict(tmp_path):
    model = quiet_prophet().Prophet(uncertainty_samples=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(pd.DataFrame({"ds": DAYS, "y": noisy_week()}), seed=1)
    naive = {
        "series": "rolls",
        "kind": "seasonal-naive",
        "frequency": "D",
        "season": 7,
        "times": [str(day) for day in DAYS.to_numpy()[-28:]],
        "values": exact_week()[-28:].tolist(),
    }
    saved = quiet_prophet().serialize.model_to_json(model)
    records = [naive, {"series": "bread", "kind": "prophet", "floor": 0.0, "model": saved}]
    frames = [zstandard.compress((json.dumps(record) + "\n").encode()) for record in records]
    (tmp_path / "models.jsonl.zst").write_bytes(b"".join(frames))
    index = {"rolls": [0, len(frames[0])], "bread": [len(frames[0]), len(frames[1])]}
    columns = {"time": "day", "series": "item"}
    (tmp_path / "models.index.json").write_text(json.dumps({"columns": columns, "series": index}))

    framework = framework_for(job("s3://bucket/t.csv", task="Forecast"))
    asked = pd.DataFrame({"day": ["2025-09-29", "2025-09-30"] * 2, "item": ["rolls", "rolls", "bread", "bread"]})
    predictions = framework.predict(framework.load(tmp_path), asked)["prediction"].to_numpy()
    assert predictions[:2].tolist() == exact_week()[[len(DAYS) % 7, (len(DAYS) + 1) % 7]].tolist()
    expected = model.predict(pd.DataFrame({"ds": pd.to_datetime(asked["day"][2:])}))["yhat"]
    np.testing.assert_allclose(predictions[2:], expected)


def test_prophet_is_not_a_fallback(tmp_path):
    with pytest.raises(ValueError, match="prophet is not a fallback"):
        fit_fallback("prophet", DAYS.to_numpy(), noisy_week(), frequency_of("D"))
