"""``mode: Prepare``: the written files, their description, and a second attempt."""

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest

from tests.unit.trainer.job.container.parts import ContainerPod, table
from trainyard_api.wire import TrainerConfig, TrainingResult
from trainyard_trainer.artifacts.datasets import DatasetManifest
from trainyard_trainer.artifacts.manifest import file_entry, sha256_of
from trainyard_trainer.data.tables.splits import digest_of
from trainyard_trainer.job.prepare.pictures import MAX_VIOLINS, over_time, violin
from trainyard_trainer.job.run import run_job
from trainyard_trainer.progress.log import JsonLines


class PreparingPod(ContainerPod):
    """One pod of mode Prepare. The claim ``models`` is the storage and contains the data."""

    def job(self, text: str | None = None, **spec: Any) -> TrainerConfig:
        base = {"framework": "LightGBM", "mode": "Prepare", "command": None, "image": None}
        return self.config(table() if text is None else text, **{**base, **spec})

    def run(self, config: TrainerConfig, stop: Callable[[], bool] = lambda: False) -> tuple[int, TrainingResult]:
        code = run_job(lambda: config, self.env, stop, display=JsonLines())
        assert list(self.env.work_dir.iterdir()) == []
        return code, self.result()

    def dataset(self, uid: str = "uid-1", attempt: str = "1") -> Path:
        return self.folder / "claims/models/all/shop/demand/datasets" / uid / attempt

    def manifest(self) -> DatasetManifest:
        return DatasetManifest.model_validate_json((self.dataset() / "manifest.json").read_bytes())

    def page(self) -> str:
        return (self.dataset() / "profile.html").read_text()


@pytest.fixture
def pod(tmp_path: Path) -> PreparingPod:
    return PreparingPod(tmp_path)


ROLES = {"time": "when", "group": "machine"}


def test_a_table_is_written_with_its_manifest(pod: PreparingPod) -> None:
    code, result = pod.run(pod.job(data=ROLES))
    assert (code, result.outcome, result.made) == (0, "Succeeded", "Dataset"), result.message
    manifest, folder = pod.manifest(), pod.dataset()
    assert result.message == f"a dataset of 99 rows and 7 columns, {manifest.digest}"
    assert result.artifact is not None
    assert result.artifact.uri == "pvc://models/all/shop/demand/datasets/uid-1/1"
    assert result.artifact.manifest_sha256 == sha256_of((folder / "manifest.json").read_bytes())
    assert result.report == f"{result.artifact.uri}/profile.html"
    assert (result.data_digest, result.holdout_digest) == (manifest.data.digest, manifest.data.holdout_digest)
    assert (result.model_version, result.formats, result.metrics) == (None, None, None)
    assert {entry.path for entry in manifest.files} == {"dataset.parquet", "profile.html", "validation.json"}
    for entry in manifest.files:
        assert file_entry(folder, entry.path) == entry
    assert [(column.name, column.role, column.type) for column in manifest.columns] == [
        ("when", "time", "timestamp[us, tz=UTC]"),
        ("machine", "group", "string"),
        ("size", "feature", "int64"),
        ("colour", "feature", "string"),
        ("gap", "feature", "double"),
        ("y", "target", "double"),
        ("split", "split", "string"),
    ]
    models = {path.name for path in folder.parents[2].iterdir()}
    assert models - {"logs"} == {"datasets"}, "neither a run nor a version"


def test_the_rows_are_those_of_a_training(pod: PreparingPod) -> None:
    pod.run(pod.job(data=ROLES))
    frame = pd.read_parquet(pod.dataset() / "dataset.parquet")
    assert frame["when"].iloc[0] == pd.Timestamp("2026-01-01", tz="UTC")
    assert set(frame["colour"]) == {"red", "blue, dark"}
    assert frame["gap"].isna().sum() == 74
    assert set(frame["split"]) == {"train", "validation", "test"}
    assert (frame.groupby("machine", observed=True)["split"].nunique() == 1).all(), "groups stay together"
    assert digest_of(frame) == pod.manifest().digest, "a reader can verify that the table is complete"
    other = ContainerPod(pod.folder, "other")
    assert other.fetch(other.config(table(), uid="uid-2", data=ROLES)) == 0
    held_out = pd.read_csv(other.settings()["data"]["test"])
    assert held_out["size"].tolist() == frame.loc[frame["split"] == "test", "size"].tolist()


def test_classes_are_written_as_names(pod: PreparingPod) -> None:
    assert pod.run(pod.job(task="Classification", data={"target": "colour"}))[0] == 0
    frame = pd.read_parquet(pod.dataset() / "dataset.parquet")
    assert set(frame["colour"]) == {"red", "blue, dark"}
    assert "<h2>Classes</h2>" in pod.page()
    assert re.search(r"<td>red</td><td>\d+</td><td>\d+</td><td>\d+</td>", pod.page())


def sales(days: int = 60) -> str:
    dates = pd.date_range("2026-01-01", periods=days).strftime("%Y-%m-%d")
    rows = [f"{day},{name},{number % 7}" for name in ("bread", "rolls") for number, day in enumerate(dates)]
    return "\n".join(["day,product,sold", *rows[:20], *rows[21:], "2026-01-01,stub,1"]) + "\n"


FORECAST: dict[str, Any] = {
    "framework": "Prophet",
    "task": "Forecast",
    "forecast": {"horizon": 7},
    "data": {"time": "day", "series": "product", "target": "sold", "validation": {"maxFailedRatio": 0.5}},
}


def test_a_forecast(pod: PreparingPod) -> None:
    code, result = pod.run(pod.job(sales(), **FORECAST))
    assert code == 0, result.message
    frame = pd.read_parquet(pod.dataset() / "dataset.parquet")
    assert list(frame.columns) == ["product", "day", "sold", "split"]
    assert frame["day"].dt.tz is not None
    assert frame.groupby("product", observed=True)["split"].apply(lambda s: (s == "test").sum()).to_dict() == {
        "bread": 7,
        "rolls": 7,
    }
    assert any(text.startswith("stub: ") for text in result.warnings or []), "left-out series are reported"
    page = pod.page()
    assert "2 of 3 series" in page
    assert re.search(r"<td>bread</td><td>59</td>.*<td>1</td>", page), "one step without a row"
    left_out = json.loads((pod.dataset() / "validation.json").read_text())["seriesLeftOut"]
    assert left_out == {"stub": "TooFewPoints"}


def test_days_of_a_time_zone_stay_dates(pod: PreparingPod) -> None:
    data = {**FORECAST["data"], "timeZone": "Europe/Paris"}
    assert pod.run(pod.job(sales(), **{**FORECAST, "data": data}))[0] == 0
    frame = pd.read_parquet(pod.dataset() / "dataset.parquet")
    assert frame["day"].iloc[0] == pd.Timestamp("2026-01-01")


def test_covariates_are_columns(pod: PreparingPod) -> None:
    (pod.env.claims_dir / "models/weather.csv").write_text("at,temp\n2025-12-01,3\n2026-01-10,5\n")
    covariate = {"name": "weather", "uri": "pvc://models/weather.csv", "time": "at", "columns": ["temp"]}
    assert pod.run(pod.job(data={**ROLES, "covariates": [covariate]}))[0] == 0
    assert set(pd.read_parquet(pod.dataset() / "dataset.parquet")["weather.temp"]) == {3.0, 5.0}


def test_the_page_has_a_violin_plot_for_every_numeric_column(pod: PreparingPod) -> None:
    pod.run(pod.job(table().replace("colour", "<b>colour</b>"), data=ROLES))
    page = pod.page()
    drawn = re.findall(
        r'<img class="violin" src="data:image/svg\+xml;base64,([^"]+)" alt="distribution of (\w+)"', page
    )
    assert [name for _, name in drawn] == ["size", "gap", "y"]
    for picture, _ in drawn:
        svg = base64.b64decode(picture).decode()
        assert svg.lstrip().startswith("<?xml")
        assert "PolyCollection" in svg, "the shape of the distribution"
    assert "&lt;b&gt;colour" in page
    assert "<b>colour" not in page
    assert not re.search(r'(src|href)="(?!data:)', page), "one page, nothing fetched"
    assert re.search(r"74 missing\s+\(74\.7%\)", page)
    assert 'alt="rows over time"' in page
    assert "MissingTarget" in page


def test_the_same_data_gives_the_same_bytes(pod: PreparingPod) -> None:
    files = []
    for uid in ("uid-1", "uid-2"):
        assert pod.run(pod.job(uid=uid, data=ROLES))[0] == 0
        files.append((pod.dataset(uid) / "dataset.parquet").read_bytes())
    assert files[0] == files[1]


def test_settings_of_a_model_have_no_effect_and_are_reported(pod: PreparingPod) -> None:
    gates = [{"metric": "no_such_metric", "op": "<", "value": 1}]
    code, result = pod.run(pod.job(gates=gates, objective={"metric": "mae"}))
    assert code == 0, result.message
    reported = (result.warnings or [""])[0]
    assert reported.startswith("spec.objective and spec.gates had no effect")
    assert reported in pod.page()


@pytest.mark.parametrize(
    "spec",
    [
        {"framework": "Container", "image": "mine:1", "command": ["train"]},
        {"framework": "Script", "script": {"inline": "never run"}},
        {"framework": "Torch"},
    ],
)
def test_every_framework_is_accepted(pod: PreparingPod, spec: dict[str, Any]) -> None:
    code, result = pod.run(pod.job(**spec))
    assert code == 0, result.message


@pytest.mark.parametrize(
    ("text", "spec", "code", "message"),
    [
        ("a,y\n1,2\n2,3\n", {}, 65, "training needs at least 30"),
        (table(), {"data": {"target": "z"}}, 65, "no column 'z'"),
        (table(), {"data": {"uri": "pvc://models/other.csv"}}, 66, "other.csv does not exist"),
        (table(), {"storage": {"uri": "pvc://nowhere"}}, 66, "pvc://nowhere"),
    ],
)
def test_unusable_data_is_refused(pod: PreparingPod, text: str, spec: dict[str, Any], code: int, message: str) -> None:
    found, result = pod.run(pod.job(text, **spec))
    assert found == code, result.message
    assert message in (result.message or "")
    assert not list((pod.folder / "claims").rglob("manifest.json"))


def test_a_column_with_invalid_times_stays_text(pod: PreparingPod) -> None:
    """No training reads the column if no split and no covariate needs it."""
    code, result = pod.run(pod.job(table().replace("2026-01-03", "soon"), data={"time": "when"}))
    assert code == 0, result.message
    assert any("values of 'when' are not times" in text for text in result.warnings or [])
    assert "soon" in set(pd.read_parquet(pod.dataset() / "dataset.parquet")["when"])


def test_a_column_called_split_keeps_its_name(pod: PreparingPod) -> None:
    assert pod.run(pod.job(table().replace("gap", "split")))[0] == 0
    schema = pyarrow.parquet.read_schema(pod.dataset() / "dataset.parquet")
    assert schema.names[-1] == "_split"


def test_a_later_attempt_finds_the_dataset(pod: PreparingPod) -> None:
    _, first = pod.run(pod.job())
    code, second = pod.run(pod.job(attempt=2))
    assert (code, second) == (0, first)
    assert [path.name for path in pod.dataset().parent.iterdir()] == ["1"]


def test_after_a_stop_the_next_attempt_writes_the_dataset(pod: PreparingPod) -> None:
    assert pod.run(pod.job(), stop=lambda: True)[0] == 75
    code, result = pod.run(pod.job(attempt=2))
    assert code == 0
    assert result.artifact is not None
    assert result.artifact.uri.endswith("/uid-1/2")


def test_a_changed_manifest_is_refused(pod: PreparingPod) -> None:
    pod.run(pod.job())
    (pod.dataset() / "manifest.json").write_text("{}")
    code, result = pod.run(pod.job(attempt=2))
    assert code == 65
    assert "is not the manifest of a dataset of this release" in (result.message or "")


@pytest.mark.parametrize(
    "values", [[1.0], [2.0] * 50, [], [float("nan")] * 3, [1e308, -1e308], [1e-320, 2e-320], [0.1 + 0.2, 0.3]]
)
def test_unusual_distributions_do_not_fail(values: list[float]) -> None:
    picture = violin(pd.Series(values, dtype="float64"))
    assert picture is None or picture.startswith("data:image/svg+xml;base64,")


def test_a_plot_is_reproducible_and_small() -> None:
    values = pd.Series(np.random.default_rng(7).lognormal(size=200_000))
    first = violin(values)
    assert first is not None
    assert first == violin(values)
    assert len(first) < 40_000


def test_of_a_thousand_columns_some_have_a_plot(pod: PreparingPod) -> None:
    names = [f"c{number}" for number in range(MAX_VIOLINS + 20)]
    random = np.random.default_rng(3)
    frame = pd.DataFrame({**{name: random.integers(0, 9, 40) for name in names}, "y": random.normal(size=40)})
    assert pod.run(pod.job(frame.to_csv(index=False)))[0] == 0
    page = pod.page()
    assert page.count('<img class="violin"') == MAX_VIOLINS
    assert 'alt="distribution of y"' in page
    assert "21 numeric columns have no plot" in page
    assert page.count("data-column=") == MAX_VIOLINS + 21


def test_a_single_time_has_no_plot() -> None:
    assert over_time(pd.Series(pd.to_datetime(["2026-01-01"] * 5))) is None
