"""The profile of a table, compared with values computed by hand. Unusual values cause no error."""

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.data.jobs import job
from tests.unit.trainer.report.profile.nights import DIGEST, SHAPES, config_of, prepared, profile
from trainyard_trainer.data.dataset import Dataset, Origin
from trainyard_trainer.errors import DataError
from trainyard_trainer.report.profile import build
from trainyard_trainer.report.profile.bins import cuts_of
from trainyard_trainer.report.profile.build import Sample, profile_of
from trainyard_trainer.report.profile.columns import column_profile
from trainyard_trainer.report.profile.model import MAX_BYTES, MAX_COLUMNS, parse_profile
from trainyard_trainer.report.profile.relation import Totals, correlation, ranks, relation_of, strength_of


def described(values, dtype=float):
    return column_profile(pd.Series(values, dtype=dtype, name="a"))[0]


def test_a_column_of_numbers():
    found = described([*range(100), np.nan, np.inf])
    assert found.kind == "number"
    assert found.missing == pytest.approx(2 / 102)
    assert (found.mean, found.zeros) == (49.5, 0.01)
    assert found.deviation == pytest.approx(np.arange(100).std(), rel=1e-5)
    assert (found.quantiles[0], found.quantiles[10], found.quantiles[-1]) == (0, 49, 99)
    assert len(found.quantiles) == 21
    assert found.magnitudes == [25, 50, 74, 94]
    assert found.cuts == [9, 19, 29, 39, 49, 59, 69, 79, 89]
    assert found.counts == [10] * 10 + [2]


def test_a_column_of_texts():
    texts = ["red"] * 5 + ["blue"] * 3 + [None] * 2
    found = described(texts, pd.CategoricalDtype(["blue", "green", "red"]))
    assert (found.kind, found.missing) == ("text", 0.2)
    assert found.categories == ["red", "blue"]
    assert found.counts == [5, 3, 0, 2]
    assert found.quantiles == found.cuts == []


def test_only_the_most_frequent_texts_are_named():
    texts = [f"t{number:02d}" for number in range(50) for _ in range(50 - number)]
    found = described(texts, "category")
    assert found.categories == [f"t{number:02d}" for number in range(20)]
    assert found.counts[-2:] == [sum(range(1, 31)), 0]


def test_a_frequent_value_has_its_own_bin():
    flags = described([0] * 5 + [1] * 95)
    assert flags.counts == [5, 95, 0, 0]
    capped = np.concatenate([np.linspace(0, 99, 100), np.full(900, 100.0)])
    cuts = cuts_of(capped)
    assert np.searchsorted(cuts, [99.0, 100.0, 101.0]).tolist() == [0, 2, 3]


def test_the_mean_target_of_each_bin():
    # rows: bin 0 has targets 0, 0, 0, 1 and bin 1 has 1, 1, 1, 0; F = (0.5 / 1) / (1.5 / 6) = 2
    codes = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    target = np.array([0, 0, 0, 1, 1, 1, 1, 0], dtype=float)[:, None]
    found = relation_of(codes, 3, target, Totals.of(target))
    assert found.means[:, 0].tolist() == [0.25, 0.75, 0.5]
    assert found.weight == pytest.approx(1 - 1 / 2)


def test_each_half_is_scored_by_the_other():
    random = np.random.default_rng(6)
    target = random.random((400, 2))
    columns = [(random.integers(0, 5, 400), 6), ((target[:, 0] * 3).astype(int), 4)]
    half = random.random(400) < 0.5
    score = np.zeros_like(target)
    for codes, bins in columns:
        for one in (half, ~half):
            totals = Totals.of(target[one])
            found = relation_of(codes[one], bins, target[one], totals)
            score[~one] += found.distances(totals.overall)[codes[~one]]
    found = strength_of(columns, target, half)
    assert found is not None
    assert found.value == pytest.approx(correlation(score, target).value)


def test_a_constant_target_has_no_relation():
    found = relation_of(np.array([0, 1, 0, 1]), 2, np.ones((4, 1)), Totals.of(np.ones((4, 1))))
    assert found.weight == 0
    assert correlation(np.zeros((4, 1)), np.ones((4, 1))).value == 0


def test_ranks_are_from_0_to_1_and_equal_for_equal_values():
    assert ranks(np.array([10.0, 30.0, 30.0, 1e300])).ravel().tolist() == [0, 0.5, 0.5, 1]
    assert ranks(np.array([3.0])).tolist() == [[0.5]]


@pytest.mark.parametrize("name", SHAPES)
def test_a_profile_of_every_shape_is_small_finite_and_reads_back(name):
    shape = SHAPES[name](np.random.default_rng(0))
    found, sample = profile(shape.night(0), config_of(shape))
    assert found.rows == found.sampled_rows == len(sample.target)
    assert sum(found.target.counts) == found.rows
    assert all(sum(one.counts) == found.rows for one in found.columns)
    assert parse_profile(found.encode(), "again") == found
    assert (found.forecast is None) == (shape.task != "Forecast")
    assert (found.strength is None) == (shape.task == "Forecast")


def test_the_same_data_has_the_same_profile():
    shape = SHAPES["growing_kinds"](np.random.default_rng(0))
    one, other = (profile(shape.night(0), config_of(shape))[0].encode() for _ in range(2))
    assert one == other


def test_the_strength_matches_the_model_of_the_data():
    random = np.random.default_rng(3)
    x = random.normal(size=(5000, 2))
    frame = pd.DataFrame(x, columns=["a", "b"]).assign(y=x[:, 0] + random.normal(size=5000))
    found, _ = profile(frame, job("s3://b/t.csv"))
    assert found.strength is not None
    assert found.strength.value == pytest.approx(np.sqrt(0.5), abs=0.04)
    assert found.fitted == pytest.approx(found.strength.value, abs=0.01)
    a, b = found.columns
    assert a.weight > 0.99
    assert b.weight < 0.6
    assert [row[0] for row in a.relation[:-1]] == sorted(row[0] for row in a.relation[:-1])


def wide(columns: int, rows: int = 300, classes: int = 12) -> Dataset:
    random = np.random.default_rng(0)
    features = {f"a rather long name of column {number}": random.normal(size=rows) for number in range(columns)}
    y = np.arange(rows, dtype=float) % classes
    return Dataset(
        task="Classification",
        frame=pd.DataFrame({**features, "y": y}),
        target="y",
        features=tuple(features),
        findings=(),
        origin=Origin("s3://b/t.csv", DIGEST, 1),
        holdout_digest=DIGEST,
        rows=rows,
        classes=tuple(f"class {number}" for number in range(classes)),
    )


def test_profiles_of_wide_tables_are_bounded_and_count_left_out_columns():
    found = profile_of(Sample.of(wide(2000), "y"))
    assert len(found.encode()) <= MAX_BYTES
    assert 40 <= len(found.columns) <= MAX_COLUMNS
    assert found.left_out == 2000 - len(found.columns)
    assert len(found.outcomes) == 10


def test_large_tables_are_sampled(monkeypatch):
    monkeypatch.setattr(build, "MAX_ROWS", 1000)
    monkeypatch.setattr(build, "_MAX_CELLS", 1)
    dataset = wide(2, rows=30_000)
    found = profile_of(Sample.of(dataset, "y"))
    assert (found.rows, found.sampled_rows) == (30_000, 1000)
    assert found == profile_of(Sample.of(dataset, "y"))


def test_many_series_are_sampled_as_wholes(monkeypatch):
    monkeypatch.setattr(build, "MAX_ROWS", 1000)
    shape = SHAPES["sales"](np.random.default_rng(0))
    found, sample = profile(shape.night(0), config_of(shape))
    assert (found.rows, found.sampled_rows) == (6000, 900)
    assert found.forecast is not None
    assert found.forecast.series == 20
    assert set(np.diff(sample.positions)[sample.positions[:-1] % 300 != 299]) == {1}


def test_one_long_series_is_limited_to_its_newest_rows(monkeypatch):
    monkeypatch.setattr(build, "MAX_ROWS", 50)
    shape = SHAPES["single"](np.random.default_rng(0))
    found, sample = profile(shape.night(0), config_of(shape))
    assert (found.rows, found.sampled_rows) == (60, 50)
    assert sample.positions[-1] == 59


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "column",
    [
        [np.nan] * 40,
        [np.inf, -np.inf] * 20,
        [1.7e308, -1.7e308] * 20,
        [5e-324, 0.0] * 20,
        [3.0] * 40,
        [np.nan] * 39 + [1.0],
        [-0.0, 0.0] * 20,
    ],
)
def test_unusual_numbers_cause_no_warning(column):
    rows = len(column)
    frame = pd.DataFrame({"a": column, "y": np.arange(rows, dtype=float)})
    dataset = Dataset("Regression", frame, "y", ("a",), (), Origin("s3://b/t", DIGEST, 1), DIGEST, rows)
    found = profile_of(Sample.of(dataset, "y"))
    assert parse_profile(found.encode(), "again") == found


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("y", [0.0, 1.0])
def test_one_row_has_a_profile(rows, y):
    frame = pd.DataFrame({"a": np.zeros(rows), "t": pd.Categorical([None] * rows, ["x"]), "y": np.full(rows, y)})
    for classes in ((), ("no", "yes")):
        task = "Classification" if classes else "Regression"
        dataset = Dataset(
            task, frame, "y", ("a", "t"), (), Origin("s3://b/t", DIGEST, 1), DIGEST, rows, classes=classes
        )
        assert profile_of(Sample.of(dataset, "y")).rows == rows


def test_an_invalid_profile_is_an_error():
    with pytest.raises(DataError, match=r"s3://b/profile.json is not a profile of this release"):
        parse_profile(b'{"rows": "many"}', "s3://b/profile.json")


def test_a_covariate_of_a_forecast_is_a_column():
    shape = SHAPES["sales"](np.random.default_rng(0))
    dataset = prepared(shape.night(0), config_of(shape))
    frame = dataset.frame.assign(**{"weather.temp": np.arange(len(dataset.frame), dtype=float)})
    with_it = Dataset(**{**dataset.__dict__, "frame": frame, "features": ("weather.temp",)})
    found = profile_of(Sample.of(with_it, "y"))
    assert [one.name for one in found.columns] == ["weather.temp"]
