"""A backtest in the report of a training and on its own page: the same section, escaped and bounded."""

import dataclasses

from tests.unit.trainer.job.mean import config
from tests.unit.trainer.report import samples
from trainyard_trainer.report.backtest import BacktestPage, backtest_section, render_backtest
from trainyard_trainer.report.page import render_report


def test_the_report_and_the_page_have_the_same_section() -> None:
    plain, backtest = samples.forecasts(3, "first"), samples.backtest()
    report = render_report(dataclasses.replace(plain, backtest=backtest))
    page = render_backtest(BacktestPage(config(), plain.dataset, backtest, "2026-11-21T07:30:00+00:00", ("careful",)))
    begin = '<section id="backtest">'
    sections = [one.split(begin)[1].split("</section>", maxsplit=1)[0] for one in (report, page)]
    assert sections[0] == sections[1]
    assert "Backtest: 4 cutoffs, 7 steps apart" in page
    assert "careful" in page
    assert "hush" not in page, "the address of the data without its secrets"


def test_user_text_is_escaped() -> None:
    dataset = samples.forecasts(3, "first").dataset
    page = render_backtest(BacktestPage(config(), dataset, samples.backtest(3), "2026-11-21T07:30:00+00:00", ()))
    assert samples.NASTY not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_without_a_backtest_there_is_no_section() -> None:
    assert '<section id="backtest">' not in render_report(samples.forecasts(3, "first"))


def test_of_many_series_the_lowest_skills_are_listed() -> None:
    backtest = samples.backtest(count=30)
    section = backtest_section(backtest)
    assert section.series_title == "The 20 of 30 series with the lowest skill"
    worst = backtest.scores.by_series.sort_values("skill")["series"].head(20).tolist()
    assert [row[0] for row in section.series] == worst
    assert [row[0] for row in section.windows] == ["2026-05-11", "2026-05-18", "2026-05-25", "2026-06-01"]
    assert [row[1:3] for row in section.windows] == [["30", "840"]] * 4
    assert [figure.title for figure in section.figures] == ["Error by step ahead", "Error by cutoff"]


def test_few_series_are_all_listed() -> None:
    section = backtest_section(samples.backtest(count=3, windows=1, first="first"))
    assert section.series_title == "By series"
    assert len(section.series) == 3
    assert [figure.title for figure in section.figures] == ["Error by step ahead"], "with one cutoff there is no line"
