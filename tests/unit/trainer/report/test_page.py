"""The report page: complete, escaped, self-contained."""

import re

import pandas as pd
import pytest

from tests.unit.trainer.job.mean import DIGEST, config, load, preprocess
from trainyard_api.trainingjob import SeriesCount
from trainyard_trainer.environment import Environment
from trainyard_trainer.frameworks.base import Evaluation, Golden, Trained
from trainyard_trainer.report.page import ReportInput, importance_rows, metric_rows, render_report, size
from trainyard_trainer.report.ranking import ranking_of


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


def test_all_sections_are_present(source: ReportInput) -> None:
    page = render_report(source)
    for text in (
        "demand",
        '<td>mae</td><td class="number good">1.5</td><td class="number">3</td>',
        '<td>s29</td><td class="number">29</td><td class="number">1</td>',
        '<td>s00</td><td class="number">0</td><td class="number">1</td>',
        "28 were trained",
        "width: 25%",
        "mape is missing",
        '<td>lightgbm</td><td class="number">4.6.0</td>',
        DIGEST,
        "only &lt;10&gt; rows",
        'name="viewport"',
    ):
        assert text in page


def test_user_text_is_escaped_and_secrets_are_removed(source: ReportInput) -> None:
    page = render_report(source)
    assert "<script" not in page
    assert "<b>bold" not in page
    assert "<depth>" not in page
    assert "hush" not in page


def test_it_needs_no_other_file(source: ReportInput) -> None:
    page = render_report(source)
    assert "src=" not in page
    assert re.findall(r'<link[^>]*href="([^"]*)"', page) == ["data:,"]  # without this, a browser would request an icon
    assert "@import" not in page
    assert "url(" not in page


def test_the_ten_worst_and_the_ten_best() -> None:
    ranked = ranking_of(long_table(30), "mae")
    assert ranked is not None
    assert ranked.worst_series == [f"s{number}" for number in range(29, 19, -1)]
    assert ranked.best_series == [f"s{number:02d}" for number in range(10)]
    assert (ranked.worst_word, ranked.best_word) == ("largest", "smallest")


def test_no_series_is_in_both_lists() -> None:
    ranked = ranking_of(long_table(5), "mae")
    assert ranked is not None
    assert (ranked.worst_series, ranked.best_series) == (["s04", "s03", "s02"], ["s00", "s01"])


def test_for_a_maximized_metric_the_lowest_series_are_the_worst() -> None:
    table = long_table(4).replace({"metric": {"rmse": "skill"}})
    ranked = ranking_of(table, "skill")
    assert ranked is not None
    assert (ranked.worst_series, ranked.worst_word) == (["s00", "s01"], "smallest")


def test_an_objective_over_all_series_ranks_by_the_default_metric() -> None:
    ranked = ranking_of(long_table(4), "weighted_mae")
    assert ranked is not None
    assert ranked.metric == "mae"


def test_rows_without_a_series_are_not_ranked() -> None:
    together = pd.DataFrame({"series": [None], "metric": ["mae"], "value": [99.0], "baseline": [1.0]})
    assert ranking_of(pd.concat([together, long_table(30)]), "mae") == ranking_of(long_table(30), "mae")


def test_one_series_has_no_ranking() -> None:
    assert ranking_of(long_table(1), "mae") is None


def test_each_metric_has_its_baseline_and_a_tone() -> None:
    rows = metric_rows({"mae": 1.0, "r2": 0.5, "bias": 3.0, "skill": -0.1, "baseline_mae": 2.0, "baseline_bias": 1.0})
    assert [(row.name, row.value, row.naive, row.tone) for row in rows] == [
        ("mae", "1", "2", "good"),
        ("r2", "0.5", "", ""),
        ("bias", "3", "1", ""),
        ("skill", "-0.1", "", "bad"),
    ]


def test_sizes_are_readable() -> None:
    assert [size(count) for count in (12, 2048, 3_400_000, 5 << 30)] == ["12 bytes", "2 KiB", "3.24 MiB", "5 GiB"]


def test_without_importance_there_is_no_section() -> None:
    assert importance_rows(None) == []
