"""The page: complete, escaped, self-contained."""

import pandas as pd
import pytest

from tests.unit.trainer.pipeline.mean import DIGEST, config, load, preprocess
from trainyard_api.trainingjob import SeriesCount
from trainyard_trainer.environment import Environment
from trainyard_trainer.frameworks.base import Evaluation, Golden, Trained
from trainyard_trainer.report.page import ReportInput, importance_rows, metric_rows, render_report, series_ranking


def long_table(count: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "series": [f"s{number:02d}" for number in range(count)] * 2,
            "metric": ["mae"] * count + ["rmse"] * count,
            "value": [float(number) for number in range(count)] * 2,
            "baseline": [1.0] * (2 * count),
        }
    )


@pytest.fixture
def source() -> ReportInput:
    table = load(config(), Environment.from_environ({}), lambda *_: None, lambda: False)
    empty = pd.DataFrame()
    return ReportInput(
        config=config(),
        dataset=preprocess(table, config()),
        trained=Trained(
            ("mean-json",), ("m",), None, {"<depth>": 3}, SeriesCount(total=30, trained=28, fallback=1, failed=1)
        ),
        evaluation=Evaluation(
            {"mae": 1.5, "baseline_mae": 3.0, "skill": 0.5},
            long_table(30),
            Golden(empty, empty),
            pd.DataFrame({"feature": ["<b>bold</b>", "second"], "gain": [200.0, 50.0]}),
            notes=("mape is missing",),
        ),
        objective="mae",
        created_at="2026-11-21T07:30:00+00:00",
        libraries={"lightgbm": "4.6.0"},
        warnings=("<script>alert(1)</script>",),
    )


def test_everything_is_there(source: ReportInput) -> None:
    page = render_report(source)
    for text in (
        "demand",
        "<td>mae</td><td>1.5</td><td>3</td>",
        "<td>s29</td><td>29</td><td>1</td>",
        "<td>s00</td><td>0</td><td>1</td>",
        "28 trained",
        "width: 25%",
        "mape is missing",
        "<td>lightgbm</td><td>4.6.0</td>",
        DIGEST,
        "only &lt;10&gt; rows",
        'name="viewport"',
    ):
        assert text in page


def test_what_comes_from_users_is_escaped_and_secrets_are_cut(source: ReportInput) -> None:
    page = render_report(source)
    assert "<script" not in page
    assert "<b>" not in page
    assert "<depth>" not in page
    assert "hush" not in page


def test_it_needs_no_other_file(source: ReportInput) -> None:
    page = render_report(source)
    assert "src=" not in page
    assert "<link" not in page
    assert "@import" not in page


def test_the_ten_worst_and_the_ten_best() -> None:
    worst, best = series_ranking(long_table(30), "mae")
    assert [row[0] for row in worst] == [f"s{number}" for number in range(29, 19, -1)]
    assert [row[0] for row in best] == [f"s{number:02d}" for number in range(10)]


def test_all_series_together_are_no_series_of_the_ranking() -> None:
    together = pd.DataFrame({"series": [None], "metric": ["mae"], "value": [99.0], "baseline": [1.0]})
    assert series_ranking(pd.concat([together, long_table(30)]), "mae") == series_ranking(long_table(30), "mae")


def test_one_series_has_no_ranking() -> None:
    assert series_ranking(long_table(1), "mae") == ([], [])


def test_baselines_stand_beside_their_metric() -> None:
    assert metric_rows({"mae": 1.0, "r2": 0.5, "baseline_mae": 2.0}) == [("mae", "1", "2"), ("r2", "0.5", "")]


def test_no_importance() -> None:
    assert importance_rows(None) == []
