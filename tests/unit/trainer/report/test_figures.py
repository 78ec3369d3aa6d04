"""The charts of each task: present, bounded, escaped, well-formed."""

import dataclasses
import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from tests.unit.trainer.report import samples
from trainyard_trainer.report.classes import confusion_of
from trainyard_trainer.report.figures import class_figures, forecast_figure, number_figures, residual_figures
from trainyard_trainer.report.page import ReportInput, render_report
from trainyard_trainer.report.svg import HEIGHT, WIDTH, Axis, Plot, readable, short_number, thinned
from trainyard_trainer.report.two_classes import Reliability, figures_of

MAX_BYTES = 1_500_000
TIMES = pd.date_range("2026-01-01", periods=3).to_numpy()


def titles(page: str) -> list[str]:
    return re.findall(r"<h3>(.*?)</h3>", page)


@pytest.mark.parametrize(
    ("source", "charts"),
    [
        (samples.forecasts(12, "first"), 3 + 6 + 3),
        (samples.forecasts(3, "first"), 2 + 2 + 1),
        (samples.forecasts(1, "all"), 2 + 1),
        (samples.forecasts(1, "all", horizon=1), 1 + 1),
        (samples.numbers(), 3),
        (samples.classes(), 2),
        (samples.classes(("no", "yes")), 4),
        (samples.classes(("no", "yes"), costs=(10, 1)), 5),
    ],
    ids=[
        "series",
        "few series",
        "one series",
        "one step",
        "numbers",
        "classes",
        "two classes",
        "two classes with costs",
    ],
)
def test_each_task_has_its_charts(source: ReportInput, charts: int) -> None:
    page = render_report(source)
    found = re.findall(r"<svg viewBox=.*?</svg>", page)
    pictures = [ElementTree.fromstring(one) for one in found if 'role="img"' in one]
    assert len(pictures) == len(titles(page)) == charts
    assert all(picture.findall("path") for picture in pictures)
    assert "nan" not in "".join(found)


def test_charts_of_two_classes_have_captions() -> None:
    source = samples.classes(("no", "yes"), costs=(10, 1))
    rows = source.evaluation.holdout
    assert rows is not None
    positive, chance = rows["actual"].to_numpy() == 1, rows["probability:yes"].to_numpy()
    quality, cost, calibration = figures_of(rows, "yes", 0.45, source.config.spec.threshold)
    predicted = chance >= 0.45
    hits = float((predicted & positive).sum())
    assert f"precision {hits / predicted.sum():.2f}, recall {hits / positive.sum():.2f}." in quality.caption
    costs = [10 * (positive & (chance < cut)).sum() + (~positive & (chance >= cut)).sum() for cut in chance]
    assert f"The least cost is {min(costs)}," in cost.caption
    assert f"without any positive prediction it is {10 * positive.sum()}" in cost.caption
    assert f"The mean prediction is {chance.mean():.2%}, and {positive.mean():.2%} was observed" in calibration.caption
    assert [name for _, name in quality.legend] == ["precision", "recall", "F1", "threshold"]
    page = render_report(source)
    assert "brier" in page
    assert "Naive model: class shares" in page


def test_calibration_has_ten_bins() -> None:
    chance = np.array([0.0, 0.04, 0.55, 0.55, 0.55, 1.0])
    found = Reliability.of(np.array([False, False, True, True, False, True]), chance)
    assert found.rows.tolist() == [2, 3, 1]
    assert found.predicted.tolist() == pytest.approx([0.02, 0.55, 1.0])
    assert found.observed.tolist() == pytest.approx([0, 2 / 3, 1])


def test_the_worst_series_come_first_and_names_are_escaped() -> None:
    page = render_report(samples.forecasts(12))
    assert "<script" not in page
    assert "&lt;/svg&gt;&lt;script&gt;" in page
    assert titles(page)[3] == "product-11"


def test_a_thousand_series_have_a_small_page() -> None:
    assert len(render_report(samples.forecasts(1000, "first")).encode()) < MAX_BYTES / 10
    assert len(render_report(samples.numbers(100_000)).encode()) < MAX_BYTES / 10


def test_without_the_data_the_holdouts_are_plotted() -> None:
    source = samples.forecasts(6, "first")
    gone = dataclasses.replace(source.dataset, frame=pd.DataFrame(), series=())
    assert titles(render_report(dataclasses.replace(source, dataset=gone))) == titles(render_report(source))


def test_without_a_holdout_there_are_no_charts() -> None:
    source = samples.numbers()
    bare = dataclasses.replace(source, evaluation=dataclasses.replace(source.evaluation, holdout=None))
    assert titles(render_report(bare)) == []


def test_a_chart_of_a_forecast_has_some_history() -> None:
    source = samples.forecasts(2, "first")
    assert source.evaluation.holdout is not None
    picture = forecast_figure("first", source.evaluation.holdout, source.dataset).picture
    past = re.search(r'class="line past" d="([^"]*)"', picture)
    assert past is not None
    assert past[1].count("L") == 2 * samples.HORIZON - 1


def test_the_search_and_the_costs_are_reported() -> None:
    page = render_report(samples.forecasts(4, "first"))
    assert "240 parameter sets were tried, 61 of them were pruned" in page
    assert "4 series have their own parameters" in page
    assert "0.81 ms" in page
    assert "3.24 MiB" in page


def test_confusion_matrix_has_counts_and_shares() -> None:
    source = samples.classes()
    found = confusion_of(source.evaluation.table, samples.NAMES)
    assert found is not None
    assert sum(cell.count for row in found.rows for cell in row.cells) == 500
    assert all(sum(cell.part for cell in row.cells) == pytest.approx(1, abs=0.01) for row in found.rows)
    assert confusion_of(source.evaluation.table, [f"class {number}" for number in range(40)]) is None


def test_a_holdout_of_one_class_has_no_curves() -> None:
    holdout = pd.DataFrame({"actual": [1, 1], "probability:no": [0.2, 0.3], "probability:yes": [0.8, 0.7]})
    assert class_figures(holdout, ["no", "yes"]) == []
    assert figures_of(holdout, "yes", 0.5, None) == []


NUMBERS = st.floats(-1e12, 1e12, allow_nan=False)


@settings(deadline=None, max_examples=60)
@given(hn.arrays(np.float64, st.integers(1, 30), elements=NUMBERS))
def test_an_axis_contains_its_values_and_has_few_labels(values: np.ndarray) -> None:
    axis = Axis.over(values)
    span = axis.high - axis.low
    assert axis.low <= values.min() + 1e-9 * span
    assert values.max() - 1e-9 * span <= axis.high
    assert 2 <= len(axis.ticks) <= 8


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_any_numbers_are_plotted_inside_the_frame(data: st.DataObject) -> None:
    rows = data.draw(st.integers(1, 20))
    columns = {name: data.draw(hn.arrays(np.float64, rows, elements=NUMBERS)) for name in ("actual", "predicted")}
    holdout = pd.DataFrame({**columns, "baseline": 0.0})
    for figure in [*number_figures(holdout), *residual_figures(holdout)]:
        for path in re.findall(r' d="([^"]*)"', figure.picture):
            positions = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?", path)]
            assert all(-1 <= index <= max(WIDTH, HEIGHT) + 1 for index in positions)


@pytest.mark.parametrize("source", [samples.numbers(40), samples.forecasts(6, "first")], ids=["numbers", "series"])
@pytest.mark.parametrize("share", [0.1, 1.0])
def test_predictions_that_are_not_finite_do_not_fail(source: ReportInput, share: float) -> None:
    assert source.evaluation.holdout is not None
    spoiled = source.evaluation.holdout.copy()
    rows = int(len(spoiled) * share)
    spoiled.loc[: rows - 1, "predicted"] = np.resize([np.nan, np.inf, -np.inf, 1e300], rows)
    page = render_report(
        dataclasses.replace(source, evaluation=dataclasses.replace(source.evaluation, holdout=spoiled))
    )
    for drawn in re.findall(r' d="([^"]*)"', page):
        assert "nan" not in drawn
        assert "inf" not in drawn


def test_gaps_break_a_line() -> None:
    axis = Axis.over(np.arange(4.0))
    picture = Plot("x", axis, axis).line(np.arange(4.0), np.array([0, np.nan, 2, 3]), "model").svg()
    assert re.search(r'd="M[^L]*M[^L]*L[^L]*"', picture)


@pytest.mark.parametrize(
    ("last", "labels"),
    [("2026-01-02", ["01 Jan 04:00", "01 Jan 12:00"]), ("2026-01-31", ["06 Jan"]), ("2030-01-01", ["2026", "2028"])],
)
def test_the_format_of_times_depends_on_their_span(last: str, labels: list[str]) -> None:
    axis = Axis.of_times(np.array([np.datetime64("2026-01-01"), np.datetime64(last)]))
    found = [text for _, text in axis.ticks]
    assert found[: len(labels)] == labels


def test_a_single_time_has_an_axis() -> None:
    assert Axis.of_times(TIMES[:1]).high > Axis.of_times(TIMES[:1]).low


def test_numbers_are_short() -> None:
    written = [short_number(value) for value in (0, 0.25, 1500, -2e6, 3.25e9, 1e-7, 1e17)]
    assert written == ["0", "0.25", "1.5k", "-2M", "3.25G", "1e-07", "1e+17"]


def test_numbers_of_a_table_are_readable() -> None:
    assert [readable(value) for value in (0.0123456, 1.5, 12_345.678, 2.5e6)] == [
        "0.01235",
        "1.5",
        "12,346",
        "2,500,000",
    ]


def test_thinning_keeps_both_ends() -> None:
    assert thinned(5).tolist() == [0, 1, 2, 3, 4]
    kept = thinned(10_000)
    assert (kept[0], kept[-1], len(kept)) == (0, 9_999, 300)
