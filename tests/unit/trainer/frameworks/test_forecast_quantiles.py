"""Quantiles of one model of all series: as wide as its earlier errors, ascending, saved, the same as ONNX."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.trainer.data.jobs import context_of, dataset_of, job, write
from trainyard_trainer.errors import DataError
from trainyard_trainer.evaluate.forecasts import Forecast
from trainyard_trainer.evaluate.quantiles import quantile_scores
from trainyard_trainer.evaluate.scales import usual_move
from trainyard_trainer.frameworks.forecast.quantiles import ErrorQuantiles, load_quantiles
from trainyard_trainer.frameworks.golden import max_difference, signature_of, verify_saved_model
from trainyard_trainer.frameworks.registry import framework_for

QUICK = {
    "LightGBM": {"num_iterations": 60, "num_leaves": 7},
    "Torch": {"epochs": 60, "hidden": [16], "learning_rate": 0.01, "device": "cpu"},
}
FRAMEWORKS = pytest.mark.parametrize("framework", QUICK)
COLUMNS = ["prediction", "quantile:0.1", "quantile:0.5", "quantile:0.9"]
NOISE = {"calm": 1.0, "wild": 8.0}
DAYS = 300
END = pd.Timestamp("2025-01-01") + pd.Timedelta(days=DAYS)


def noisy(days=DAYS):
    random = np.random.default_rng(8)
    step = np.arange(days)
    parts = []
    for name, noise in NOISE.items():
        sold = 60 + 5 * np.sin(step * 2 * np.pi / 7) + random.normal(0, noise, days)
        parts.append(pd.DataFrame({"day": pd.date_range("2025-01-01", periods=days), "item": name, "sold": sold}))
    return pd.concat(parts, ignore_index=True)


def trained(folder, framework, frame, quantiles=(0.9, 0.1, 0.5), **spec):
    config = job(
        write(folder, frame.to_csv(index=False)),
        target="sold",
        task="Forecast",
        framework=framework,
        parameters=QUICK[framework],
        data={"time": "day", "series": "item", **spec.pop("data", {})},
        forecast={"horizon": 14, **({"quantiles": list(quantiles)} if quantiles else {})},
        **spec,
    )
    made, dataset, context = framework_for(config), dataset_of(config, folder), context_of(config, folder)
    done = made.train(dataset, context)
    return made, context.output, done, made.evaluate(dataset, done, context)


@pytest.fixture(scope="module", params=QUICK)
def model(request, tmp_path_factory):
    return trained(tmp_path_factory.mktemp("quantiles"), request.param, noisy())


def ahead(model, series, days=14):
    framework, output, *_ = model
    asked = pd.DataFrame({"day": pd.date_range(END, periods=days), "item": series})
    return framework.predict(framework.load(output), asked)


def test_quantiles_are_ordered_and_as_wide_as_the_noise(model):
    for name, noise in NOISE.items():
        found = ahead(model, name)
        assert list(found.columns) == COLUMNS
        assert (found["quantile:0.1"] < found["quantile:0.5"]).all()
        assert (found["quantile:0.5"] < found["quantile:0.9"]).all()
        width = (found["quantile:0.9"] - found["quantile:0.1"]).mean()
        assert width == pytest.approx(2 * 1.2816 * noise, rel=0.35), name


def test_quantiles_are_evaluated_and_saved(model):
    framework, output, done, evaluation = model
    assert 0.6 < evaluation.metrics["coverage"] <= 1
    assert 0 < evaluation.metrics["pinball"] < evaluation.metrics["mae"] / 2
    assert {str(file.relative_to(output)) for file in output.rglob("*") if file.is_file()} == set(done.files)
    assert "quantiles.json" in done.files
    assert verify_saved_model(framework, output, evaluation.golden).max_difference < 1e-4
    assert [column.name for column in signature_of(evaluation.golden).outputs] == COLUMNS


def test_an_empty_request_returns_the_same_columns(model):
    framework, output, *_ = model
    empty = pd.DataFrame({"day": pd.Series(dtype="datetime64[ns]"), "item": pd.Series(dtype=object)})
    assert list(framework.predict(framework.load(output), empty).columns) == COLUMNS


@FRAMEWORKS
def test_quantiles_of_counts_are_never_negative(tmp_path, framework):
    frame = noisy()
    frame["sold"] = np.random.default_rng(9).poisson(0.7, len(frame))
    found = ahead(trained(tmp_path, framework, frame), "calm")
    assert found.min(axis=None) >= 0
    assert np.isfinite(found.to_numpy()).all()


@FRAMEWORKS
def test_a_constant_series_has_narrow_quantiles(tmp_path, framework):
    frame = noisy()
    frame["sold"] = frame["sold"].where(frame["item"] != "calm", 7.0)
    found = ahead(trained(tmp_path, framework, frame), "calm")
    assert (found["quantile:0.9"] - found["quantile:0.1"]).max() < 1e-6


@FRAMEWORKS
def test_without_requested_quantiles_there_are_none(tmp_path, framework):
    made, output, done, evaluation = trained(tmp_path, framework, noisy(), quantiles=())
    assert "quantiles.json" not in done.files
    assert not {"pinball", "coverage"} & set(evaluation.metrics)
    assert list(ahead((made, output), "calm").columns) == ["prediction"]


@FRAMEWORKS
def test_series_too_short_for_quantiles_are_refused(tmp_path, framework):
    with pytest.raises(DataError, match=r"no series is long enough .*spec\.forecast\.quantiles"):
        trained(tmp_path, framework, noisy(days=3), data={"validation": {"minPoints": 2}})


def test_the_onnx_network_predicts_the_same(tmp_path):
    import onnxruntime

    framework, output, _, evaluation = trained(tmp_path, "Torch", noisy())
    onnx = framework.to_onnx(framework.load(output))
    session = onnxruntime.InferenceSession(onnx.body, providers=["CPUExecutionProvider"])
    decode = onnx.decode(session.run(None, onnx.feed(evaluation.golden.inputs)))
    assert max_difference(evaluation.golden.outputs, decode) < 1e-4


def test_quantiles_widen_beyond_the_horizon(tmp_path):
    found = ahead(trained(tmp_path, "Torch", noisy()), "wild", days=56)
    width = (found["quantile:0.9"] - found["quantile:0.1"]).to_numpy()
    assert width[55] == pytest.approx(2 * width[13])
    assert (np.diff(width[13:]) > 0).all()


SIZES = st.floats(0, 1e12)
LEVELS = st.lists(st.floats(1e-6, 1 - 1e-6), min_size=1, max_size=8, unique=True).map(sorted)


def windows_of(errors):
    known = np.tile([1.0, 3.0], 10)
    times = np.arange(len(errors)).astype("datetime64[D]")
    actual, predicted, naive = 5.0 + np.array(errors), np.full(len(errors), 5.0), np.zeros(len(errors))
    return [Forecast("a", times, actual, predicted, naive, known, 2, np.arange(len(known)))]


@given(
    errors=st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=60),
    levels=LEVELS,
    asked=st.lists(st.tuples(st.floats(-1e12, 1e12), st.integers(1, 40)), min_size=1, max_size=10),
    scale=SIZES,
    floor=st.sampled_from([0.0, -np.inf]),
)
def test_quantiles_never_cross_and_are_never_below_the_floor(errors, levels, asked, scale, floor):
    steps = np.arange(len(errors)) % 12 + 1
    made = ErrorQuantiles.of(levels, 12, windows_of(errors), steps)
    forecasts, wanted = np.array([value for value, _ in asked]), np.array([step for _, step in asked])
    found = made.around(forecasts, wanted, scale, floor)
    assert np.isfinite(found).all()
    assert (np.diff(found, axis=1) >= 0).all()
    assert (found >= floor).all()


def test_the_offsets_of_a_step_use_its_errors_and_those_of_near_steps():
    near = np.arange(-49.0, 50.0)
    far = 10 * near
    made = ErrorQuantiles.of((0.05, 0.5, 0.95), 30, windows_of([*near, *far]), np.repeat([1, 30], 99))
    moves = usual_move(np.arange(20), np.tile([1.0, 3.0], 10), 2)
    assert moves == 2, "it repeats each season exactly, so one step counts"
    assert made.offsets[[0, 14]].ravel() == pytest.approx([-22.5, 0, 22.5] * 2)
    assert made.offsets[[15, 29]].ravel() == pytest.approx([-225, 0, 225] * 2)


def test_saved_quantiles_are_read_back(tmp_path):
    made = ErrorQuantiles((0.25, 0.75), np.array([[-1.0, 1.0], [-1.5, 2.0]]), {"a": 2.5, "Ä": 0.0})
    assert made.save(tmp_path) == ("quantiles.json",)
    found = load_quantiles(tmp_path)
    assert (found.levels, found.scales) == (made.levels, made.scales)
    assert found.offsets.tolist() == made.offsets.tolist()


def test_metrics_of_quantiles():
    actual = np.array([1.0, 2.0, 9.0, 4.0])
    found = np.array([[0.0, 2.0], [0.0, 2.0], [0.0, 2.0], [6.0, 8.0]])
    scores = quantile_scores(actual, found, (0.25, 0.75))
    assert scores["coverage"] == 0.5
    low = 0.25 * 1 + 0.25 * 2 + 0.25 * 9 + 0.75 * 2
    high = 0.25 * 1 + 0.0 + 0.75 * 7 + 0.25 * 4
    assert scores["pinball"] == pytest.approx((low + high) / 8)
    assert set(quantile_scores(actual, found[:, :1], (0.25,))) == {"pinball"}
    assert quantile_scores(actual, found[:, :0], ()) == {}
