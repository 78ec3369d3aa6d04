"""A local run reads the YAML that kubectl would apply, and reports the same errors."""

from pathlib import Path

import pytest

from tests.unit.trainer.artifacts.runs import manifest
from trainyard_trainer.artifacts.folder import FolderStore
from trainyard_trainer.artifacts.layout import STARTED, ModelKeys
from trainyard_trainer.artifacts.runs import finish_run
from trainyard_trainer.artifacts.versions import claim_version
from trainyard_trainer.cli.local import read_job_file
from trainyard_trainer.errors import ConfigError

GOOD = """
apiVersion: trainyard.dev/v1alpha1
kind: TrainingJob
metadata: {name: diabetes}
spec: {framework: LightGBM, task: Regression, data: {uri: "file:///d.csv", target: target}}
"""


def read(folder: Path, text: str) -> str:
    file = folder / "job.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_job_file(file, folder / "out")
    return str(caught.value)


def test_a_valid_file(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(GOOD)
    config = read_job_file(tmp_path / "job.yaml", tmp_path / "out")
    assert (config.namespace, config.name, config.model_name) == ("local", "diabetes", "diabetes")
    assert config.spec.storage is not None
    assert config.spec.storage.uri == f"file://{tmp_path}/out"
    assert config.progress_url is None
    assert read_job_file(tmp_path / "job.yaml", tmp_path / "out").uid != config.uid


def test_other_objects_in_the_file_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(f"kind: ConfigMap\n---\n{GOOD}---\n")
    assert read_job_file(tmp_path / "job.yaml", tmp_path).name == "diabetes"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("target: target", "target: ''", "spec.data.target: String should have at least 1 character"),
        (", target: target", "", "spec.data.target: is required"),
        ("target: target", "target: t, sepal: 1", "spec.data.sepal: unknown field"),
        ("LightGBM", "XGBoost", "spec.framework: Input should be 'Auto', 'StatsForecast'"),
        ('uri: "file:///d.csv", ', "", "exactly one of uri and sql"),
        ("Regression", "Forecast", "spec: task Forecast needs data.time"),
        ("v1alpha1", "v1", "apiVersion is 'trainyard.dev/v1'; write 'trainyard.dev/v1alpha1'"),
        ("kind: TrainingJob", "kind: Pod", "contains 0 objects of kind TrainingJob"),
        ("{name: diabetes}", "{name: Diabetes}", "metadata.name: String should match"),
        ("{name: diabetes}", "{name: diabetes", "is not YAML"),
    ],
)
def test_errors_name_the_field(tmp_path: Path, before: str, after: str, message: str) -> None:
    assert before in GOOD
    assert message in read(tmp_path, GOOD.replace(before, after))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_job_file(tmp_path / "job.yaml", tmp_path)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        read_job_file(tmp_path / "job.yaml", tmp_path)


def test_resume_continues_the_newest_job_without_a_version(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(GOOD)
    store, keys = FolderStore(tmp_path / "out", "file://out"), ModelKeys("local", "diabetes")

    def resumed() -> str:
        return read_job_file(tmp_path / "job.yaml", tmp_path / "out", resume=True).uid

    assert resumed() != resumed()
    for uid, second in [("old", 1), ("newest", 3), ("new", 2)]:
        marker = f'{{"startedAt": "2026-11-21T07:30:0{second}.000+00:00"}}'.encode()
        store.put_if_absent(f"{keys.run(uid, '1')}/{STARTED}", marker)
    assert resumed() == "newest"
    run = finish_run(store, keys.run("newest", "1"), manifest("newest", 1, []))
    assert resumed() == "newest"
    claim_version(store, keys, "newest", run)
    assert resumed() == "new"
