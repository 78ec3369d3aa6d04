"""``validate``, ``report`` and ``inspect`` as users call them: a process, its output, its exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.integration.trainer.tables import forecast, regression, regression_csv, sales_csv
from trainyard_trainer.cli.main import main

TRAINER = [sys.executable, "-m", "trainyard_trainer"]
QUICK = {"num_iterations": 5, "num_leaves": 4}


def call(*arguments: object, **environ: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [*TRAINER, *map(str, arguments)], capture_output=True, text=True, check=False, env={**os.environ, **environ}
    )
    return done.returncode, done.stdout, done.stderr


def job_file(folder: Path, name: str = "line", **spec: object) -> Path:
    file = folder / f"{name}.yaml"
    head = {"apiVersion": "trainyard.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": name}}
    file.write_text(yaml.safe_dump({**head, "spec": spec}))
    return file


def table(folder: Path, body: bytes) -> str:
    (folder / "table.csv").write_bytes(body)
    return f"file://{folder}/table.csv"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the output of two runs of one model and one run of another. The tests only read it."""
    folder = tmp_path_factory.mktemp("trained")
    uri = table(folder, regression_csv())
    for name, iterations in (("line", 5), ("line", 50), ("other", 5)):
        file = job_file(folder, name, **regression(uri, parameters={**QUICK, "num_iterations": iterations}))
        assert main(["run", "-f", str(file), "--output", str(folder / "out")]) == 0
    return folder / "out"


def run_folder(trained: Path) -> Path:
    record = json.loads((trained / "local/line/versions/00000001/version.json").read_text())
    return trained / record["run"]


# ---- validate --------------------------------------------------------------------------------------------------------


def test_validate_accepts_a_good_specification(tmp_path: Path) -> None:
    file = job_file(tmp_path, **regression("file:///not/there.csv"))
    code, out, err = call("validate", "-f", file)
    assert (code, err) == (0, "")
    assert out == f"{file}: the specification of line is valid (LightGBM, Regression)\n"


def test_validate_checks_what_this_machine_cannot_train(tmp_path: Path) -> None:
    container = {"framework": "Container", "image": "mine:1", "command": ["train"]}
    script = {"framework": "Script", "script": {"configMapRef": {"name": "mine", "key": "train.py"}}}
    for spec in ({"mode": "Prepare"}, container, script):
        requested = {**regression(table(tmp_path, regression_csv())), **spec}
        assert main(["validate", "-f", str(job_file(tmp_path, **requested)), "--data"]) == 0


@pytest.mark.parametrize(
    ("spec", "code", "said"),
    [
        ({"parameters": {"num_leafs": 3}}, 64, "num_leafs"),
        ({"task": "Forcast"}, 64, "spec.task: Input should be"),
        ({"colour": "red"}, 64, "spec.colour: unknown field"),
        ({"shards": 3}, 78, "spec.shards 3"),
    ],
)
def test_a_bad_specification_gives_one_message_and_the_exit_code_of_a_pod(
    tmp_path: Path, spec: dict[str, object], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = job_file(tmp_path, **{**regression("file:///not/there.csv"), **spec})
    assert main(["validate", "-f", str(file)]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err
    assert shown.err.count("\n") == 1


def test_validate_lists_the_problems_of_the_data_with_codes_and_counts(tmp_path: Path) -> None:
    body = sales_csv(bread=100, rolls=50) + b"2026-01-01,cake,7\n2026-01-02,cake,7\n"
    validation = {"maxFailedRatio": 0.5}
    spec = forecast(table(tmp_path, body))
    spec["data"]["validation"] = validation
    code, out, err = call("validate", "-f", job_file(tmp_path, **spec), "--data")
    assert (code, err) == (0, "")
    head, columns, first, *_ = out.splitlines()[1:]
    assert "400 usable rows in 2 of 3 series" in head
    assert columns.split() == ["severity", "code", "times", "first"]
    assert first.split()[:3] == ["error", "TooFewPoints", "1"]
    assert "2 points, at least 30 are needed (data.validation.minPoints) (series cake)" in first
    assert not list(tmp_path.rglob("manifest.json"))


def test_validate_ends_with_the_exit_code_of_bad_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = job_file(tmp_path, **regression(table(tmp_path, b"a,y\n1,x\n")))
    assert main(["validate", "-f", str(file), "--data"]) == 65
    assert "'x' is not a number" in capsys.readouterr().err
    assert main(["validate", "-f", str(job_file(tmp_path, **regression("file:///not/there.csv"))), "--data"]) == 66
    assert main(["validate", "-f", str(tmp_path / "none.yaml")]) == 64


# ---- report ----------------------------------------------------------------------------------------------------------


def test_report_shows_the_newest_version_and_its_baseline(trained: Path) -> None:
    code, out, err = call("report", trained, "--model", "line")
    assert (code, err) == (0, "")
    title, columns, objective, *_ = out.splitlines()
    assert title.startswith("line, version 2 (v20")
    assert columns.split() == ["metric", "model", "baseline"]
    name, mark, model, baseline = objective.split()
    assert (name, mark) == ("mae", "*")
    assert float(model) < float(baseline)
    page = Path(out.splitlines()[-1].removeprefix("report: "))
    assert page.read_text().startswith("<!doctype html>")


def test_report_shows_the_newest_version_of_several_models(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(trained)]) == 0
    assert capsys.readouterr().out.startswith("other, version 1 (")
    assert main(["report", str(trained), "--version", "1"]) == 64
    assert "several models in" in capsys.readouterr().err
    assert main(["report", str(trained), "--version", "1", "--model", "line"]) == 0
    assert capsys.readouterr().out.startswith("line, version 1 (")


def test_the_report_opens_in_the_browser_of_the_environment(trained: Path, tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)
    code, out, _ = call("report", run_folder(trained), "--open", BROWSER=str(browser))
    assert code == 0
    assert (tmp_path / "opened").read_text().strip() == (run_folder(trained) / "report.html").as_uri()
    assert out.startswith("line, run\n")


@pytest.mark.parametrize("command", ["report", "inspect"])
def test_a_missing_version_is_reported(
    command: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, said in (
        ([str(tmp_path)], "contains no version of any model"),
        ([str(tmp_path / "none")], "is not a folder"),
        ([str(trained), "--model", "line", "--version", "9"], "contains no version 9 of model line"),
    ):
        assert main([command, *arguments]) == 66
        assert said in capsys.readouterr().err


def test_report_and_inspect_import_no_large_library(trained: Path) -> None:
    heavy = "{'pandas', 'numpy', 'lightgbm', 'prophet', 'torch', 'boto3', 'mlflow', 'jinja2'}"
    code = (
        "import sys; from trainyard_trainer.cli.main import main; "
        f"main(['inspect', {str(trained)!r}]); main(['report', {str(trained)!r}]); "
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


# ---- inspect ---------------------------------------------------------------------------------------------------------


def test_inspect_describes_a_version(trained: Path) -> None:
    code, out, err = call("inspect", trained, "--model", "line", "--version", "1")
    assert (code, err) == (0, "")
    lines = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}
    assert out.startswith("line, version 1 (v20")
    assert lines["job"][:3] == ["local/line,", "attempt", "1,"]
    assert lines["framework"][:2] == ["LightGBM,", "Regression;"]
    assert "200 rows" in " ".join(lines["data"])
    assert "one row in" in " ".join(lines["cost"])
    assert lines["num_iterations"] == ["5"]
    assert {lines[name][-1] for name in ("report.html", "validation.json", "metrics.parquet")} == {"ok"}
    assert " ".join(lines["manifest"]).startswith("sha256:")


def test_inspect_reports_changed_and_missing_files(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in run_folder(trained).iterdir():
        if file.is_file():
            (copy / file.name).write_bytes(file.read_bytes())
    (copy / "report.html").write_text("another")
    (copy / "validation.json").unlink()
    code, out, err = call("inspect", copy)
    assert code == 65
    assert "do not use them" in err
    lines = {line.split()[0]: line.split()[-1] for line in out.splitlines() if line.strip()}
    assert (lines["report.html"], lines["validation.json"], lines["metrics.parquet"]) == ("CHANGED", "MISSING", "ok")


def test_inspect_reports_a_missing_or_different_manifest(trained: Path, tmp_path: Path) -> None:
    versions = tmp_path / "out/local/line/versions/00000001"
    versions.mkdir(parents=True)
    record = json.loads((trained / "local/line/versions/00000001/version.json").read_text())
    (versions / "version.json").write_text(json.dumps(record))
    code, out, err = call("inspect", tmp_path / "out")
    assert (code, out) == (66, "")
    assert "the run of the version is not in this folder" in err
    (tmp_path / "out" / record["run"]).mkdir(parents=True)
    (tmp_path / "out" / record["run"] / "manifest.json").write_text("{}")
    assert main(["inspect", str(tmp_path / "out")]) == 65
    (versions / "version.json").write_text("{")
    assert main(["inspect", str(tmp_path / "out")]) == 65
