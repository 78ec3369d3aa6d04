"""The output of a container: what is accepted, and each kind of invalid output."""

import os
from pathlib import Path

import pytest

from trainyard_trainer.errors import DataError
from trainyard_trainer.job.container.outputs import MAX_METRICS_BYTES, model_files, read_metrics


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "metrics.json").write_text('{"mae": 1.5}')
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "deep/er/weights.bin").write_bytes(b"\0")
    return tmp_path


def refused(output: Path) -> str:
    with pytest.raises(DataError) as error:
        model_files(output)
    return str(error.value)


def test_files_by_their_relative_names(output: Path) -> None:
    (output / "a.txt").touch()
    (output / "empty").mkdir()
    assert model_files(output) == ["a.txt", "deep/er/weights.bin", "metrics.json"]


def test_a_link_to_a_secret_is_not_followed(output: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    secret = tmp_path_factory.mktemp("secret") / "key"
    secret.write_text("hush")
    (output / "deep/model.bin").symlink_to(secret)
    assert "'deep/model.bin', a symbolic link" in refused(output)


def test_a_link_to_a_folder_is_not_followed(output: Path) -> None:
    (output / "folder").symlink_to("/etc")
    assert "'folder', a symbolic link" in refused(output)


def test_a_pipe_is_refused(output: Path) -> None:
    os.mkfifo(output / "pipe")
    assert "'pipe', which is not a regular file" in refused(output)


def test_a_name_that_is_not_utf8_is_refused(output: Path) -> None:
    (output / os.fsdecode(b"model-\xff")).touch()
    assert "not UTF-8" in refused(output)


@pytest.mark.parametrize("also", [True, False])
def test_metrics_without_a_model_are_refused(tmp_path: Path, *, also: bool) -> None:
    if also:
        (tmp_path / "metrics.json").write_text("{}")
    assert "wrote no model" in refused(tmp_path)


@pytest.mark.parametrize(
    ("text", "metrics"),
    [
        ('{"mae": 1, "auc": 0.5}', {"mae": 1.0, "auc": 0.5}),
        ('{"mae": "0.93", "cost/eur@90": -1e-3}', {"mae": 0.93, "cost/eur@90": -0.001}),
        ('\n {"mae": 1.5} \n', {"mae": 1.5}),
        ('{"a": "np.float64(1.5)", "b": "numpy.int8(2)", "c": "tensor(3.5)"}', {"a": 1.5, "b": 2.0, "c": 3.5}),
        ('{"mae": 1, "mae": 2}', {"mae": 2.0}),
    ],
)
def test_metrics(tmp_path: Path, text: str, metrics: dict[str, float]) -> None:
    (tmp_path / "metrics.json").write_text(text)
    assert read_metrics(tmp_path) == (metrics, [])


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "null", '"nan"', "1" + "0" * 400, "1e999"])
def test_metrics_that_are_not_finite_are_left_out_with_a_warning(tmp_path: Path, value: str) -> None:
    (tmp_path / "metrics.json").write_text(f'{{"mae": 1, "rmse": {value}}}')
    metrics, warnings = read_metrics(tmp_path)
    assert metrics == {"mae": 1.0}
    assert len(warnings) == 1
    assert warnings[0].startswith("metric rmse is ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1"),
        ("{'mae': 1}", "line 1, column 2"),
        ('{"mae": 1', "line 1, column 10"),
        ("[1, 2]", "contains a list"),
        ("1.5", "contains a float"),
        ("{}", "no finite number"),
        ('{"mae": NaN}', "no finite number"),
        ('{"mae": true}', "mae is true, not a number"),
        ('{"mae": [1]}', "mae is [1], not a number"),
        ('{"mae": {"value": 1}}', 'mae is {"value": 1}, not a number'),
        ('{"mae": "np.array([1.5])"}', 'mae is "np.array([1.5])", not a number'),
        ('{"mean error": 1}', "'mean error' is not a valid name of a metric"),
        ('{"": 1}', "'' is not a valid name of a metric"),
        ('{"1st": 1}', "'1st' is not a valid name of a metric"),
        ("[" * 100_000, "cannot be read"),
        ('{"mae": ' + "1" * 5000 + "}", "cannot be read"),
        (" " * MAX_METRICS_BYTES + "{}", "is larger than"),
    ],
)
def test_invalid_metrics_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(DataError, match=r"metrics\.json") as error:
        read_metrics(tmp_path)
    assert message in str(error.value)
    assert len(str(error.value)) < 500


def test_metrics_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_bytes(b'{"mae\xff": 1}')
    with pytest.raises(DataError, match="cannot be read"):
        read_metrics(tmp_path)


def test_the_message_about_missing_metrics_has_the_path(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"wrote no metrics\.json; .* to {tmp_path}/metrics\.json"):
        read_metrics(tmp_path)


def test_a_folder_instead_of_the_metrics_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        read_metrics(tmp_path)
