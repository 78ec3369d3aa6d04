"""``trainyard-trainer predict``: from the YAML that kubectl would apply to predictions in a folder."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from trainyard_trainer.cli.main import main

API = "trainyard.dev/v1alpha1"


def rows(count: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    size, rooms = random.normal(50, 10, count).round(2), random.integers(1, 6, count)
    return pd.DataFrame({"size": size, "rooms": rooms, "price": (2 * size + 10 * rooms).round(2)})


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of two local trainings of the model ``homes``."""
    folder = tmp_path_factory.mktemp("cli")
    rows(120, 1).to_csv(folder / "old.csv", index=False)
    spec = {
        "framework": "LightGBM",
        "task": "Regression",
        "data": {"uri": f"file://{folder}/old.csv", "target": "price"},
    }
    for iterations in (5, 20):
        job = {
            "apiVersion": API,
            "kind": "TrainingJob",
            "metadata": {"name": "homes"},
            "spec": {**spec, "parameters": {"num_iterations": iterations}},
        }
        (folder / "job.yaml").write_text(yaml.safe_dump(job))
        assert main(["run", "-f", str(folder / "job.yaml"), "--output", str(folder / "models")]) == 0
    return folder / "models"


def written(folder: Path, **spec: object) -> Path:
    """Write a PredictionJob and its data."""
    rows(12, 2).drop(columns="price").to_csv(folder / "new.csv", index=False)
    fields = {
        "model": {"name": "homes"},
        "data": {"uri": f"file://{folder}/new.csv", "keep": ["rooms"]},
        "output": {"files": {"uri": "s3://elsewhere/scores"}},
        **spec,
    }
    job = {"apiVersion": API, "kind": "PredictionJob", "metadata": {"name": "scores"}, "spec": fields}
    (folder / "predict.yaml").write_text(yaml.safe_dump(job))
    return folder / "predict.yaml"


def run(file: Path, models: Path) -> tuple[int, dict[str, object]]:
    output = file.parent / "out"
    code = main(["predict", "-f", str(file), "--models", str(models), "--output", str(output)])
    return code, json.loads((output / "result.json").read_text())


def test_predictions_of_the_newest_version(models: Path, tmp_path: Path) -> None:
    code, result = run(written(tmp_path), models)
    assert code == 0
    output = tmp_path / "out"
    (file,) = output.glob("as_of_date=*/*.parquet")
    assert re.fullmatch(r"scores-[0-9a-f-]{36}\.parquet", file.name)
    frame = pd.read_parquet(file)
    assert list(frame.columns[:2]) == ["rooms", "prediction"]
    assert len(frame) == 12
    assert set(frame["version"]) == {2}
    assert set(frame["model"]) == {"homes"}
    assert result["outcome"] == "Succeeded"
    assert result["made"] == "Predictions"
    assert result["message"] == f"12 rows in file://{file.parent}"
    predictions = result["predictions"]
    assert isinstance(predictions, dict)
    assert predictions["rows"] == 12
    assert "trainyard-" not in json.dumps(result)
    assert not (tmp_path / "elsewhere").exists()


def test_an_older_version_as_csv(models: Path, tmp_path: Path) -> None:
    files = {"files": {"uri": "s3://elsewhere/scores", "format": "Csv"}}
    code, _ = run(written(tmp_path, model={"name": "homes", "version": 1}, output=files), models)
    assert code == 0
    (file,) = (tmp_path / "out").glob("as_of_date=*/*.csv")
    assert set(pd.read_csv(file)["version"]) == {1}


def test_the_output_replaces_a_table_of_a_database(models: Path, tmp_path: Path) -> None:
    output = {"sql": {"secretRef": {"name": "warehouse"}, "table": "scores"}}
    code, _ = run(written(tmp_path, output=output), models)
    assert code == 0
    assert len(list((tmp_path / "out").glob("as_of_date=*/*.parquet"))) == 1


def test_a_second_run_is_another_run(models: Path, tmp_path: Path) -> None:
    file = written(tmp_path)
    assert [run(file, models)[0] for _ in range(2)] == [0, 0]
    assert len(list((tmp_path / "out").glob("as_of_date=*/*.parquet"))) == 2


def test_a_deployment_needs_a_cluster(models: Path, tmp_path: Path) -> None:
    code, result = run(written(tmp_path, model={"deployment": "homes"}), models)
    assert code == 64
    assert "spec.model.name" in str(result["message"])


def test_the_address_of_a_storage(models: Path, tmp_path: Path) -> None:
    file = written(tmp_path)
    arguments = ["predict", "-f", str(file), "--models", f"file://{models}", "--output", str(tmp_path / "out")]
    assert main(arguments) == 0


@pytest.mark.parametrize("given", [["--models", "m"], ["--output", "o"], []])
def test_models_and_output_are_required(tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[str]) -> None:
    assert main(["predict", "-f", str(written(tmp_path)), *given]) == 64
    assert "-f, --models and --output" in capsys.readouterr().err


def test_models_without_a_file_are_not_a_pod(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "--models", str(tmp_path), "--output", str(tmp_path / "out")]) == 64
    assert "-f, --models and --output" in capsys.readouterr().err


def test_a_model_without_a_version(models: Path, tmp_path: Path) -> None:
    code, result = run(written(tmp_path, model={"name": "other"}), models)
    assert code == 66
    assert result["reason"] == "InputMissing"
    message = str(result["message"])
    assert "no version of model other in namespace local" in message
    assert "--models" in message


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    code, result = run(written(tmp_path), tmp_path / "absent")
    assert code == 66
    assert f"{tmp_path}/absent" in str(result["message"])
    assert not (tmp_path / "absent").exists()


def test_a_version_that_does_not_exist(models: Path, tmp_path: Path) -> None:
    code, result = run(written(tmp_path, model={"name": "homes", "version": 9}), models)
    assert code == 66
    assert "no version 9 of model homes" in str(result["message"])


def test_two_objects_of_the_kind(models: Path, tmp_path: Path) -> None:
    file = written(tmp_path)
    file.write_text(f"{file.read_text()}---\n{file.read_text()}")
    code, result = run(file, models)
    assert code == 64
    assert "contains 2 objects of kind PredictionJob" in str(result["message"])


def test_another_kind(models: Path, tmp_path: Path) -> None:
    file = written(tmp_path)
    file.write_text(file.read_text().replace("PredictionJob", "TrainingJob"))
    code, result = run(file, models)
    assert code == 64
    assert "contains 0 objects of kind PredictionJob" in str(result["message"])


def test_other_objects_in_the_file_are_ignored(models: Path, tmp_path: Path) -> None:
    file = written(tmp_path)
    file.write_text(f"kind: ConfigMap\n---\n{file.read_text()}")
    assert run(file, models)[0] == 0


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"model": {"name": "homes", "deployment": "homes"}}, "exactly one of deployment and name"),
        ({"model": {"deployment": "homes", "version": 1}}, "model.version needs model.name"),
        ({"data": {"keep": ["rooms"]}}, "exactly one of uri and sql"),
        ({"output": {"files": {"uri": "https://elsewhere/scores"}}}, "must start with s3:// or pvc://"),
        ({"sepal": 1}, "spec.sepal: unknown field"),
        ({"horizon": 0}, "spec.horizon"),
    ],
)
def test_errors_name_the_field(models: Path, tmp_path: Path, spec: dict[str, object], message: str) -> None:
    code, result = run(written(tmp_path, **spec), models)
    assert code == 64
    assert message in str(result["message"])


def test_a_model_that_was_changed(models: Path, tmp_path: Path) -> None:
    manifest = next(path for path in models.rglob("manifest.json"))
    body = manifest.read_bytes()
    manifest.write_bytes(body.replace(b'"task":', b'"task" :'))
    try:
        codes = [run(written(tmp_path, model={"name": "homes", "version": number}), models)[0] for number in (1, 2)]
    finally:
        manifest.write_bytes(body)
    assert sorted(codes) == [0, 65]
