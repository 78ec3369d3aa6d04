"""Framework Auto for forecasts: the candidates, the weights of the ensemble, and the warnings."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import context_of, dataset_of, job, write
from trainyard_api.training import Auto
from trainyard_trainer.artifacts.layout import JUDGED
from trainyard_trainer.errors import ConfigError, DataError, Unsupported
from trainyard_trainer.frameworks.auto.budget import plan_of
from trainyard_trainer.frameworks.auto.candidate import ProphetCandidate, StatsCandidate, TreesCandidate
from trainyard_trainer.frameworks.forecast import windows
from trainyard_trainer.frameworks.registry import framework_for
from trainyard_trainer.frameworks.statsforecast.fitter import StatsFitter
from trainyard_trainer.report.leaderboard import leaderboard_rows

DAYS = pd.date_range("2025-01-06", periods=180)
CHEAP = {
    "StatsForecast": {"models": ["DynamicOptimizedTheta", "SeasonalNaive"]},
    "LightGBM": {"num_iterations": 20, "num_leaves": 7},
}


def sales(number=0):
    random = np.random.default_rng(number)
    return 20 * (1 + number) + 6 * (DAYS.dayofweek == 5) + random.standard_normal(len(DAYS))


def frame_of(count=3):
    parts = [pd.DataFrame({"ds": DAYS, "item": f"s{number}", "y": sales(number)}) for number in range(count)]
    return pd.concat(parts, ignore_index=True)


def config_of(folder, frame, **spec):
    data = {**({"series": "item"} if "item" in frame else {}), **spec.pop("data", {})}
    spec = {"auto": {"candidates": ["StatsForecast", "LightGBM"]}, "parameters": CHEAP, **spec}
    return job(write(folder, frame.to_csv(index=False)), task="Forecast", framework="Auto", data=data, **spec)


def run(folder, config, workers=1):
    framework, dataset = framework_for(config), dataset_of(config, folder)
    context = context_of(config, folder, workers=workers)
    trained = framework.train(dataset, context)
    return framework, dataset, context, trained, framework.evaluate(dataset, trained, context)


def test_candidates_are_combined_and_the_saved_model_predicts_the_same(tmp_path):
    config = config_of(tmp_path, frame_of(2), auto={}, forecast={"horizon": 7, "quantiles": [0.1, 0.9]})
    framework, dataset, context, trained, found = run(tmp_path, config)
    assert set(found.leaderboard["candidate"]) >= {"all together", "StatsForecast", "LightGBM", "Prophet"}
    assert found.leaderboard["windows"].is_monotonic_increasing
    assert trained.parameters["weights"].keys() <= {"StatsForecast", "LightGBM", "Prophet"}
    assert sum(trained.parameters["weights"].values()) == pytest.approx(1, abs=1e-3)
    assert found.metrics["mae"] < found.metrics["baseline_mae"]
    written = {str(file.relative_to(context.output)) for file in context.output.rglob("*") if file.is_file()}
    assert written == set(trained.files)
    assert all(name in trained.files for name in ("auto.json", "series.parquet", "judged/auto.json"))
    model = framework.load(context.output)
    pd.testing.assert_frame_equal(framework.predict(model, found.golden.inputs), found.golden.outputs)
    assert found.golden.outputs.columns.tolist() == ["prediction", "quantile:0.1", "quantile:0.9"]
    assert (found.golden.outputs["quantile:0.1"] <= found.golden.outputs["quantile:0.9"]).all()
    judged = framework.load(context.output / JUDGED)
    np.testing.assert_allclose(framework.forecast_holdouts(judged, dataset), found.holdout["predicted"], rtol=1e-6)
    assert framework.learned_until(judged) == dict.fromkeys(["s0", "s1"], DAYS[-8].to_datetime64())


def test_the_prediction_is_the_weighted_mean_of_the_members(tmp_path):
    framework, _, context, _, found = run(tmp_path, config_of(tmp_path, frame_of()))
    model = framework.load(context.output)
    forecasts = [
        member.framework.predict(member.model, found.golden.inputs)["prediction"] for member in model.members.values()
    ]
    index = [model.ends.names.index(name) for name in found.golden.inputs["item"]]
    expected = sum(model.weights[index, number] * one for number, one in enumerate(forecasts))
    np.testing.assert_allclose(found.golden.outputs["prediction"], expected)


def test_two_runs_are_the_same_with_any_number_of_processes(tmp_path):
    digests = []
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        folder.mkdir()
        *_, context, trained, _ = run(folder, config_of(folder, frame_of()), workers)
        digests.append(
            {name: hashlib.sha256((context.output / name).read_bytes()).hexdigest() for name in trained.files}
        )
    assert digests[0] == digests[1]


def test_an_invalid_request_is_refused(tmp_path):
    framework, _, context, _, found = run(tmp_path, config_of(tmp_path, frame_of()))
    model = framework.load(context.output)
    asked = found.golden.inputs[:1]
    assert framework.predict(model, asked[:0]).columns.tolist() == ["prediction"]
    with pytest.raises(DataError, match="no series 'other'"):
        framework.predict(model, asked.assign(item="other"))
    with pytest.raises(DataError, match=r"is outside .* 7 steps of D"):
        framework.predict(model, asked.assign(ds=DAYS[-1] + pd.Timedelta(days=8)))
    newer = tmp_path / "newer"
    newer.mkdir()
    frame = frame_of(2).replace({"s1": "unknown"})
    forecasts = framework.forecast_holdouts(model, dataset_of(config_of(newer, frame), newer))
    assert np.isfinite(forecasts[:7]).all()
    assert np.isnan(forecasts[7:]).all()


def test_a_candidate_that_cannot_be_trained_is_left_out_and_reported(tmp_path, monkeypatch):
    def fail(*_):
        raise DataError("no luck")

    monkeypatch.setattr(TreesCandidate, "windows", fail)
    framework, _, context, trained, _found = run(tmp_path, config_of(tmp_path, frame_of()))
    assert [text for text in trained.warnings if text.startswith("LightGBM ") and text.endswith(": no luck")]
    assert trained.parameters["weights"] == {"StatsForecast": 1.0}
    assert list(framework.load(context.output).members) == ["StatsForecast"]
    assert not (context.output / "LightGBM").exists() or not any((context.output / "LightGBM").iterdir())
    monkeypatch.setattr(StatsCandidate, "windows", fail)
    second = tmp_path / "second"
    second.mkdir()
    with pytest.raises(DataError, match=r"no candidate can be trained: StatsForecast .*: no luck; LightGBM"):
        run(second, config_of(second, frame_of()))


@pytest.mark.parametrize("worse", [True, False])
def test_an_expensive_candidate_is_tried_on_some_of_many_series(tmp_path, monkeypatch, worse):
    """There are sixty short series. The forecasts of Prophet are much worse than the others, or missing."""
    trained = []
    monkeypatch.setattr(ProphetCandidate, "__init__", lambda _, dataset, __: trained.append(dataset.series))
    monkeypatch.setattr(ProphetCandidate, "seconds", 0.5, raising=False)

    def windows(self, units):
        assert {unit.series for unit in units} == set(range(len(trained[-1])))
        rows = sum(unit.stop - unit.cut for unit in units)
        return np.full(rows, 1000.0 if worse else np.nan)

    monkeypatch.setattr(ProphetCandidate, "windows", windows)
    days = DAYS[:60]
    parts = [pd.DataFrame({"ds": days, "item": f"s{number:02d}", "y": sales(number)[:60]}) for number in range(60)]
    config = config_of(
        tmp_path,
        pd.concat(parts),
        auto={"candidates": ["StatsForecast", "Prophet"]},
        parameters={"StatsForecast": {"models": ["SeasonalNaive"]}},
    )
    if not worse:  # the seasonal naive model replaces missing forecasts, so Prophet is good enough to train on all
        monkeypatch.setattr(ProphetCandidate, "train", lambda _: pytest.fail("enough"))
        with pytest.raises(pytest.fail.Exception, match="enough"):
            run(tmp_path, config)
        assert [len(series) for series in trained] == [25, 60]
        return
    *_, found = run(tmp_path, config)
    assert [len(series) for series in trained] == [25]
    assert "Prophet (25 series)" in set(found.leaderboard["candidate"])


def test_series_too_short_to_compare_use_the_first_candidate(tmp_path):
    frame = pd.DataFrame({"ds": DAYS[:3], "y": [1.0, 2.0, 3.0]})
    config = config_of(
        tmp_path,
        frame,
        forecast={"horizon": 4, "frequency": "D"},
        data={"validation": {"minPoints": 3}},
        parameters={},
        auto={},
    )
    framework, _, context, _trained, found = run(tmp_path, config)
    assert list(framework.load(context.output).members) == ["StatsForecast"]
    assert np.isfinite(found.holdout["predicted"]).all()


def dataset_for(folder, **spec):
    config = config_of(folder, frame_of(), **spec)
    return dataset_of(config, folder)


@pytest.mark.parametrize(
    ("budget", "names", "smoothing"),
    [
        (100_000, {"StatsForecast", "LightGBM", "Prophet"}, True),
        (12, {"StatsForecast", "LightGBM"}, True),
        (7, {"StatsForecast", "LightGBM"}, False),
        (4, {"StatsForecast"}, False),
    ],
)
def test_the_most_expensive_are_left_out_until_the_rest_fits(tmp_path, budget, names, smoothing):
    dataset = dataset_for(tmp_path)
    plan = plan_of(dataset, Auto(budget_seconds=budget), {}, 8)
    assert set(plan.names) == names
    assert {"StatsForecast", "LightGBM", "Prophet"} - names <= plan.left_out.keys()
    assert plan == plan_of(dataset, Auto(budget_seconds=budget), {}, 8)
    labels = {one.label for one in plan.methods}
    assert "SeasonalNaive" in labels, "methods without a cost are never left out"
    assert labels.isdisjoint(plan.left_out)
    assert ("AutoETS" in labels) == smoothing


def test_left_out_candidates_are_reported(tmp_path):
    config = config_of(tmp_path, frame_of(), auto={"candidates": ["StatsForecast", "LightGBM"], "budgetSeconds": 3})
    *_, trained, _ = run(tmp_path, config)
    assert any("auto.budgetSeconds" in text and "LightGBM (3 s)" in text for text in trained.warnings)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"parameters": {"num_leaves": 7}}, r"spec\.parameters\.num_leaves is not a candidate"),
        ({"parameters": {"Prophet": {}}}, r"spec\.parameters\.Prophet is not a candidate"),
        ({"parameters": {"LightGBM": {"num_leavs": 7}}}, "num_leavs"),
        ({"parameters": {"LightGBM": 7}}, r"spec\.parameters\.LightGBM must map names"),
        ({"parameters": {"StatsForecast": {"models": ["Nave"]}}}, "did you mean Naive"),
        ({"search": {"trials": 3}}, r"spec\.search needs .*spec\.framework"),
        ({"split": {"strategy": "Random"}}, r"spec\.split\.strategy Random"),
    ],
)
def test_an_invalid_specification_is_refused_before_data_is_read(tmp_path, spec, message):
    with pytest.raises(ConfigError, match=message):
        framework_for(config_of(tmp_path, frame_of(), **spec))


def test_onnx_export_is_refused(tmp_path):
    with pytest.raises(Unsupported, match=r"spec\.export\.onnx: framework Auto with task Forecast"):
        framework_for(config_of(tmp_path, frame_of(), export={"onnx": True}))


def test_a_forecast_without_a_framework_is_auto(tmp_path):
    config = config_of(tmp_path, frame_of())
    fields = config.model_dump(mode="json", by_alias=True, exclude_none=True)
    del fields["spec"]["framework"]
    assert type(config).model_validate(fields).spec.framework == "Auto"


def test_the_leaderboard_lists_methods_below_their_candidate(tmp_path):
    *_, found = run(tmp_path, config_of(tmp_path, frame_of()))
    rows = leaderboard_rows(found.leaderboard)
    names = [one.candidate for one in rows]
    at = names.index("StatsForecast")
    assert set(names[at + 1 : at + 3]) == {"DynamicOptimizedTheta", "SeasonalNaive"}
    assert [one.is_part for one in rows[at : at + 3]] == [False, True, True]
    whole = next(one for one in rows if one.candidate == "all together")
    assert (whole.weight, whole.holdout != "") == ("100%", True)
    assert leaderboard_rows(None) == []


def test_the_description_names_members_and_horizon(tmp_path):
    *_, context, _, _ = run(tmp_path, config_of(tmp_path, frame_of()))
    fields = json.loads((context.output / "auto.json").read_text())
    assert fields["horizon"] == 7
    assert fields["frequency"] == "D"


def test_steady_and_intermittent_series_have_separate_methods(tmp_path):
    random = np.random.default_rng(1)
    seldom = np.where(random.random(180) < 0.2, random.integers(1, 5, 180), 0).astype(float)
    frame = pd.concat([frame_of(1), pd.DataFrame({"ds": DAYS, "item": "seldom", "y": seldom})], ignore_index=True)
    config = config_of(tmp_path, frame, auto={"candidates": ["StatsForecast"], "budgetSeconds": 3}, parameters={})
    dataset, context = dataset_of(config, tmp_path), context_of(config, tmp_path)
    plan = plan_of(dataset, config.spec.auto, {}, 8)
    fitter = StatsFitter(dataset, context, plan.methods)
    labels = {group: {fitter.methods[at].label for at in which} for group, which in fitter.candidates.items()}
    assert "TSB" in labels[True] - labels[False]
    assert "Naive" in labels[False] - labels[True]
    assert labels[True] | labels[False] <= {one.label for one in plan.methods}
    assert plan.left_out


def test_only_some_of_very_many_series_are_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(windows, "SERIES_COMPARED", 2)
    asked = []
    all_windows = StatsCandidate.windows
    monkeypatch.setattr(StatsCandidate, "windows", lambda self, units: asked.extend(units) or all_windows(self, units))
    *_, trained, found = run(tmp_path, config_of(tmp_path, frame_of(5)))
    assert {unit.series for unit in asked} == {0, 4}
    assert trained.series.trained == 5
    assert np.isfinite(found.holdout["predicted"]).all()
