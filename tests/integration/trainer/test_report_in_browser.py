"""report.html in a real browser: in the width of a phone and of a desktop, in light and dark mode."""

import dataclasses
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import image

from tests.integration.trainer import browser
from tests.integration.trainer.tables import regression_csv
from tests.unit.trainer.report import samples
from trainyard_trainer.report.page import render_report

PHONE, DESKTOP = (360, 800), (1280, 900)
INSPECT = """(() => {
  const root = document.documentElement, box = element => element.getBoundingClientRect();
  const shown = element => { const { width, height } = box(element); return [width, height]; };
  const inked = chart => [...chart.querySelectorAll('path.line, path.dots, path.bars')].some(path =>
    box(path).width > 5 && getComputedStyle(path).stroke + getComputedStyle(path).fill !== 'nonenone');
  const charts = [...document.querySelectorAll('svg[role=img], img')];
  return {
    width: root.clientWidth, scroll: root.scrollWidth,
    wider: [...document.querySelectorAll('main *')]
      .filter(one => !one.closest('.wide') && box(one).right > root.clientWidth + 1)
      .map(one => one.outerHTML.slice(0, 80)),
    headings: [...document.querySelectorAll('h1, h2')].map(one => one.textContent),
    charts: charts.map(shown),
    empty: charts.filter(one => one.tagName == 'IMG' ? !one.naturalWidth : !inked(one)).length,
    labels: Math.min(20, ...charts.flatMap(one => [...one.querySelectorAll('text')]).map(one => box(one).height)),
    place: charts.length ? (({ left, top, width, height }) => [left, top, width, height])(box(charts[0])) : null,
    background: getComputedStyle(document.body).backgroundColor,
    scripts: document.scripts.length,
  };
})()"""


def page_of_a_job(folder: Path, page: str, **changes: Any) -> str:
    """Return a page of a real job."""
    folder.mkdir()
    (folder / "table.csv").write_bytes(regression_csv())
    job = {
        "apiVersion": "trainyard.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": "line"},
        "spec": {
            "framework": "LightGBM",
            "task": "Regression",
            "data": {"uri": f"file://{folder}/table.csv", "target": "y"},
            "parameters": {"num_iterations": 20},
            **changes,
        },
    }
    (folder / "job.yaml").write_text(json.dumps(job))
    command = [sys.executable, "-m", "trainyard_trainer", "run", "-f", f"{folder}/job.yaml"]
    done = subprocess.run([*command, "--output", f"{folder}/out"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next((folder / "out").rglob(page)).read_text()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return reports of every task, and two pages of real jobs: a training and a dataset."""
    folder = tmp_path_factory.mktemp("pages")
    name = "a series with a name that is longer than any phone is wide and_has_no_place_to_break_it_anywhere"
    written = {
        "trained": page_of_a_job(folder / "training", "report.html"),
        "profile": page_of_a_job(folder / "dataset", "profile.html", mode="Prepare"),
        "forecast": render_report(samples.forecasts(12, name)),
        "future": render_report(
            dataclasses.replace(samples.forecast(first=name), backtest=samples.backtest(first=name))
        ),
        "numbers": render_report(samples.numbers()),
        "classes": render_report(samples.classes()),
    }
    for key, page in written.items():
        (folder / f"{key}.html").write_text(page)
    return {key: folder / f"{key}.html" for key in written}


HEADINGS = {
    "trained": {"line", "Predicted and actual", "Feature importance", "Cost of predictions"},
    "profile": {"line: the data", "Columns", "Findings"},
    "forecast": {"demand", "All series together", "The worst forecasts", "The best forecasts", "Search"},
    "future": {"Forecast of the next 28 steps", "Backtest: 4 cutoffs, 7 steps apart", "By cutoff"},
    "numbers": {"Predicted and actual", "Feature importance"},
    "classes": {"Confusion matrix", "Separation of the classes"},
}
CHARTS = {"trained": 3, "profile": 3, "forecast": 12, "future": 12 + 2 + 2, "numbers": 3, "classes": 2}


def coloured_share(screenshot: bytes, box: list[float], background: str) -> float:
    """Return the share of a chart's pixels that are coloured, neither background nor grey."""
    picture = image.imread(io.BytesIO(screenshot))
    left, top, width, height = (round(number) for number in box)
    part = picture[top : top + height, left : left + width, :3]
    assert part.size, (box, picture.shape, background)
    return float(np.mean(part.max(axis=2) - part.min(axis=2) > 0.3))


async def test_reports_fit_on_a_phone_and_on_a_desktop(pages: dict[str, Path], tmp_path: Path) -> None:
    async with browser.running() as chromium:
        for name, page in pages.items():
            for width, height in (PHONE, DESKTOP):
                opened = await chromium.open(page, width, height, INSPECT)
                (tmp_path / f"{name}-{width}.png").write_bytes(opened.screenshot)
                _check_page(f"{name} at {width}", opened, width)
                assert HEADINGS[name] <= set(opened.seen["headings"]), name
                assert len(opened.seen["charts"]) == CHARTS[name]


def _check_page(where: str, opened: browser.Opened, width: int) -> None:
    seen: dict[str, Any] = opened.seen
    assert opened.errors == [], where
    assert [url for url in opened.requests if not url.startswith("data:")] == [], where
    assert seen["scripts"] == 0, where
    assert seen["width"] == width, where
    assert seen["scroll"] <= width, f"{where}: the page scrolls sideways by {seen['scroll'] - width} px"
    assert seen["wider"] == [], where
    assert all(0.7 * min(width, 400) < wide < width and high > 80 for wide, high in seen["charts"]), (where, seen)
    assert seen["empty"] == 0, where
    assert seen["labels"] >= 9, f"{where}: the labels of the charts are {seen['labels']} px high"
    assert coloured_share(opened.screenshot, seen["place"], seen["background"]) > 0.002, where


async def test_in_dark_mode_the_page_is_dark_and_its_charts_are_visible(pages: dict[str, Path]) -> None:
    async with browser.running() as chromium:
        day = await chromium.open(pages["numbers"], *PHONE, INSPECT)
        night = await chromium.open(pages["numbers"], *PHONE, INSPECT, dark=True)
    assert _brightness(day.seen["background"]) > 200
    assert _brightness(night.seen["background"]) < 60
    assert coloured_share(night.screenshot, night.seen["place"], night.seen["background"]) > 0.002


async def test_the_check_finds_errors_of_a_page(tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        '<meta name="viewport" content="width=device-width"><main><div style="width: 900px">wide</div>'
        '<img src="missing.png"><script>nothing.at.all</script></main>'
    )
    async with browser.running() as chromium:
        opened = await chromium.open(page, *PHONE, INSPECT)
    assert any("nothing is not defined" in error for error in opened.errors)
    assert [Path(url).name for url in opened.requests] == ["missing.png"]
    assert opened.seen["wider"]


def _brightness(color: str) -> float:
    red, green, blue = (float(part) for part in color[color.index("(") + 1 : -1].split(",")[:3])
    return (red + green + blue) / 3
