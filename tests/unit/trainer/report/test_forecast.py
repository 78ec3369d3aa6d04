"""The forecast in the report: a plot with a band, and a description as text."""

import re
from xml.etree import ElementTree

import numpy as np

from tests.unit.trainer.report import samples
from trainyard_trainer.report.forecast import forecast_section
from trainyard_trainer.report.page import render_report
from trainyard_trainer.report.svg import WIDTH


def charts(page: str) -> list[ElementTree.Element]:
    """Return the charts of the forecast's section."""
    section = page.split('<section id="forecast">')[1].split("</section>", maxsplit=1)[0]
    return [ElementTree.fromstring(one) for one in re.findall(r'<svg viewBox="0 -.*?</svg>', section)]


def test_it_has_titles_axes_legend_and_captions() -> None:
    page = render_report(samples.forecast())
    assert "Forecast of the next 28 steps" in page
    assert "The 2 of 12 series with the largest volume." in page
    assert "from quantile 0.1 to 0.9" in page
    first, second = charts(page)
    assert first.get("aria-label") == (
        "Forecast of first, 28 steps from 2026-05-29 to 2026-06-25: mean 40, from 40 to 40; "
        "band from quantile 0.1, mean 30, to quantile 0.9, mean 50"
    )
    assert second.get("aria-label", "").startswith("Forecast of product-1, ")
    texts = [text.text for text in first.iter("text")]
    assert {"time", "y"} < set(texts)
    kinds = [path.get("class") for path in first.iter("path")]
    assert kinds.index("area band") < kinds.index("line actual") < kinds.index("line model"), "lines over the band"


def test_the_band_is_around_the_line() -> None:
    (first, *_) = charts(render_report(samples.forecast()))
    shapes = {path.get("class"): path.get("d", "") for path in first.iter("path")}
    numbers = np.array(re.findall(r"([\d.]+) ([\d.]+)", shapes["area band"]), dtype=float)
    (level,) = set(np.array(re.findall(r"([\d.]+) ([\d.]+)", shapes["line model"]), dtype=float)[:, 1])
    assert len(numbers) == 2 * 28
    assert shapes["area band"].endswith("z")
    assert numbers[:, 1].min() < level < numbers[:, 1].max()
    assert numbers[:, 0].max() <= WIDTH


def test_without_quantiles_there_is_no_band() -> None:
    page = render_report(samples.forecast(quantiles=False))
    assert "area band" not in page
    assert "quantile" not in charts(page)[0].get("aria-label", "")


def test_without_a_forecast_there_is_no_section() -> None:
    plain = samples.forecasts(3, "first")
    assert forecast_section(None, plain.dataset, "y") is None
    assert '<section id="forecast">' not in render_report(plain)


def test_if_all_series_are_plotted_none_are_counted() -> None:
    given = samples.forecast(series=2)
    section = forecast_section(given.forecast, given.dataset, "y")
    assert section is not None
    assert section.which == ""


def test_the_plot_of_a_long_horizon_is_small() -> None:
    given = samples.forecast(horizon=10_000, plotted=1)
    section = forecast_section(given.forecast, given.dataset, "y")
    assert section is not None
    assert len(section.figures[0].picture) < 40_000
    assert "10000 steps" in section.figures[0].picture


def test_values_that_are_not_finite_are_reported() -> None:
    given = samples.forecast(quantiles=False, plotted=1)
    assert given.forecast is not None
    section = forecast_section(given.forecast.assign(prediction=np.nan), given.dataset, "y")
    assert section is not None
    assert "no value is finite" in section.figures[0].picture
