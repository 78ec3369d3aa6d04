"""docs/metrics.md lists exactly the existing metrics, each with its formula, direction and tasks."""

import re

import pytest

from trainyard_api.generate import checkout
from trainyard_api.metric_goals import GOALS
from trainyard_trainer.evaluate.baselines import CLASS_SHARES, CONSTANTS, NAIVES
from trainyard_trainer.evaluate.names import BIAS, METRICS, SKILL, THRESHOLD
from trainyard_trainer.evaluate.quantiles import COVERAGE, PINBALL

PAGE = (checkout() / "docs" / "metrics.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL))
BETTER = {"Minimize": "less", "Maximize": "more", None: "near 0"}


def rows(section):
    """Return the cells of each table row that begins with names of metrics, by name."""
    found = {}
    for line in SECTIONS[section].splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and re.fullmatch(r"`[a-z0-9_@.]+`(, `[a-z0-9_@.]+`)*", cells[0]):
            found |= dict.fromkeys(re.findall(r"`(.+?)`", cells[0]), cells[1:])
    return found


def test_the_page_lists_exactly_the_metrics():
    numbers, classes, quantiles = rows("Forecasts and numbers"), rows("Classes"), rows("Quantiles")
    assert set(numbers) == {*METRICS["Forecast"], *METRICS["Regression"]}
    assert set(classes) == {*METRICS["Classification"]} - {SKILL}
    assert set(quantiles) == {PINBALL, COVERAGE}
    assert f"`{THRESHOLD}`" in SECTIONS["Classes"]


@pytest.mark.parametrize("section", ["Forecasts and numbers", "Classes"])
def test_the_directions_are_those_of_the_gates(section):
    for name, cells in rows(section).items():
        better = cells[1] if section == "Forecasts and numbers" else cells[0]
        assert better == BETTER[None if name == BIAS else GOALS[name]], name


def test_the_tasks_of_each_metric():
    for name, cells in rows("Forecasts and numbers").items():
        tasks = {task for task in METRICS if name in METRICS[task]}
        assert {"all": set(METRICS)}.get(cells[0], set(cells[0].split(", "))) == tasks, name


def test_every_metric_has_a_formula():
    for section, index in (("Forecasts and numbers", 2), ("Classes", 1), ("Quantiles", 0)):
        assert all(len(cells[index]) > 10 for cells in rows(section).values())


def test_every_baseline_is_named():
    for name in (*NAIVES, CONSTANTS, CLASS_SHARES):
        assert f"`{name}`" in SECTIONS["The baseline"], name
