"""The input files of a user's container: tables for any language, and their description."""

import csv
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.unit.trainer.job.container.parts import ContainerPod, table


@pytest.fixture
def pod(tmp_path: Path) -> ContainerPod:
    return ContainerPod(tmp_path)


def laid_out(pod: ContainerPod, text: str, **spec: Any) -> tuple[dict[str, Any], dict[str, list[dict[str, str]]]]:
    assert pod.fetch(pod.config(text, **spec)) == 0, pod.result().message
    settings = pod.settings()
    tables = {}
    for name, path in settings["data"].items():
        with Path(path).open(newline="", encoding="utf-8") as file:
            tables[name] = list(csv.DictReader(file))
    return settings, tables


def test_a_table_in_three_parts(pod: ContainerPod) -> None:
    settings, tables = laid_out(pod, table(), data={"time": "when", "group": "machine"})
    assert {name: len(rows) for name, rows in tables.items()} == {"train": 69, "validation": 10, "test": 20}
    assert list(tables["train"][0]) == ["when", "machine", "size", "colour", "gap", "y"]
    rows = [row for part in tables.values() for row in part]
    assert {float(row["size"]) for row in rows} == {float(row) for row in range(100)} - {7}, "row 7 has no target"
    assert all(float(row["y"]) == 2 * float(row["size"]) for row in rows)
    assert {row["colour"] for row in rows} == {"red", "blue, dark"}
    assert all(row["gap"] == "" or float(row["gap"]) == float(row["size"]) for row in rows)
    assert all(row["machine"] == f"m{round(float(row['size'])) % 10}" for row in rows)
    groups = {name: {row["machine"] for row in part} for name, part in tables.items()}
    assert not groups["train"] & groups["test"]
    assert settings["features"] == ["size", "colour", "gap"]
    assert settings["categories"] == {"colour": ["blue, dark", "red"]}


def test_the_configuration(pod: ContainerPod) -> None:
    settings, _ = laid_out(
        pod,
        table(),
        parameters={"depth": 3, "nested": {"a": [1]}},
        workers=3,
        objective={"metric": "cost", "goal": "Minimize"},
        split={"seed": 9},
    )
    parts = {name: settings["data"][name] for name in ("train", "validation", "test")}
    env = pod.env
    assert parts == {name: str(env.input_dir / f"{name}.csv") for name in parts}
    assert settings["output"] == str(env.output_dir)
    assert settings["metrics"] == str(env.output_dir / "metrics.json")
    assert (settings["model"], settings["name"], settings["attempt"]) == ("demand", "demand", 1)
    assert settings["parameters"] == {"depth": 3, "nested": {"a": [1]}}
    assert (settings["workers"], settings["seed"]) == (3, 9)
    assert settings["objective"] == {"metric": "cost", "goal": "Minimize"}
    assert (settings["task"], settings["target"], settings["classes"]) == ("Regression", "y", [])
    assert (settings["forecast"], settings["time"], settings["group"]) == (None, None, None)


def test_classes_are_written_as_names(pod: ContainerPod) -> None:
    lines = [f"{row},{'yes' if row % 2 else 'no'}" for row in range(60)]
    settings, tables = laid_out(pod, "\n".join(["a,y", *lines]) + "\n", task="Classification")
    assert (settings["classes"], settings["positiveClass"]) == (["no", "yes"], "yes")
    assert all(row["y"] == ("yes" if float(row["a"]) % 2 else "no") for row in tables["test"])


def test_numbers_are_written_exactly(pod: ContainerPod) -> None:
    numbers = [0.1 + 0.2, 1e-17, 123456789.123456789, 1e300, *(float(row) for row in range(60))]
    text = "a,y\n" + "".join(f"{number!r},{row}\n" for row, number in enumerate(numbers))
    _, tables = laid_out(pod, text)
    found = {int(float(row["y"])): float(row["a"]) for part in tables.values() for row in part}
    assert found == dict(enumerate(numbers))


def test_a_forecast_keeps_the_column_names_and_holds_out_the_last_steps(pod: ContainerPod) -> None:
    days = pd.date_range("2026-01-01", periods=60, freq="D")
    lines = [f"{day:%Y-%m-%d},{name},{row}" for name in ("007", "b") for row, day in enumerate(days)]
    settings, tables = laid_out(
        pod,
        "\n".join(["day,product,sold", *lines]) + "\n",
        task="Forecast",
        data={"time": "day", "series": "product", "target": "sold"},
        forecast={"horizon": 5},
    )
    assert {name: len(rows) for name, rows in tables.items()} == {"train": 110, "test": 10}
    assert [row["sold"] for row in tables["test"]] == ["55", "56", "57", "58", "59"] * 2
    assert [row["product"] for row in tables["test"]] == ["007"] * 5 + ["b"] * 5
    assert tables["test"][0]["day"] == "2026-02-25T00:00:00Z"
    assert settings["forecast"] == {"horizon": 5, "frequency": "D", "calendar": "Auto"}
    assert (settings["time"], settings["series"], settings["target"]) == ("day", "product", "sold")


def test_a_forecast_of_one_series_with_fractions_of_seconds(pod: ContainerPod) -> None:
    times = pd.date_range("2026-01-01", periods=60, freq="500ms")
    text = "t,y\n" + "".join(f"{time.isoformat()},{row}\n" for row, time in enumerate(times))
    spec: dict[str, Any] = {"task": "Forecast", "data": {"time": "t"}, "forecast": {"horizon": 5, "frequency": "500ms"}}
    _, tables = laid_out(pod, text, **spec)
    assert list(tables["test"][0]) == ["t", "y"]
    assert pd.Timestamp(tables["test"][-1]["t"]) == pd.Timestamp(times[-1], tz="UTC")


@pytest.mark.parametrize("task", ["Forecast", "Regression"])
def test_covariates_are_columns(pod: ContainerPod, task: str) -> None:
    days = pd.date_range("2026-01-01", periods=60, freq="D")
    text = "day,x,y\n" + "".join(f"{day:%Y-%m-%d},{row % 5},{row}\n" for row, day in enumerate(days))
    rain = pod.env.claims_dir / "models/rain.csv"
    rain.write_text("day,mm\n" + "".join(f"{day:%Y-%m-%d},{2 * row + 1}\n" for row, day in enumerate(days)))
    weather = {"name": "rain", "uri": "pvc://models/rain.csv", "time": "day", "columns": ["mm"], "knownInFuture": True}
    spec: dict[str, Any] = {"task": task, "data": {"time": "day", "covariates": [weather]}}
    if task == "Forecast":
        spec["forecast"] = {"horizon": 5}
    settings, tables = laid_out(pod, text, **spec)
    assert "rain.mm" in settings["features"]
    for rows in tables.values():
        assert [float(row["rain.mm"]) for row in rows] == [2 * float(row["y"]) + 1 for row in rows]
