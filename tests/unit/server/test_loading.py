"""Loading: what is verified, in which order, and which files survive a restart."""

from pathlib import Path

import pytest

from tests.unit.server.models import read_manifest, stored_model, write_manifest
from trainyard_server.loading import load_model
from trainyard_trainer.artifacts.folder import FolderStore
from trainyard_trainer.errors import ConfigError, DataError, InputMissing, Unsupported
from trainyard_trainer.frameworks.signature import frame_of


def test_a_stored_model_predicts(tmp_path: Path) -> None:
    store, target = stored_model(tmp_path)
    loaded = load_model(target, store, tmp_path / "server")
    assert [(column.name, column.type) for column in loaded.columns.inputs] == [("x", "long"), ("town", "string")]
    frame = frame_of({"x": [1, None], "town": ["a", None]}, loaded.columns.inputs)
    assert loaded.predict(frame)["prediction"].notna().all()


@pytest.mark.parametrize("framework", ["LightGBM", "StatsForecast", "Auto"])
def test_a_stored_forecast_model_predicts(tmp_path: Path, framework: str) -> None:
    store, target = stored_model(
        tmp_path, task="Forecast", framework=framework, parameters=None, data={"exclude": None}
    )
    loaded = load_model(target, store, tmp_path / "server")
    assert [(column.name, column.type) for column in loaded.columns.inputs] == [("ds", "datetime")]
    frame = frame_of({"ds": ["2026-02-10", "2026-02-12T00:00:00Z"]}, loaded.columns.inputs)
    assert loaded.predict(frame)["prediction"].notna().all()
    with pytest.raises(DataError, match="2026-03-01"):
        loaded.predict(frame_of({"ds": ["2026-03-01"]}, loaded.columns.inputs))


@pytest.mark.parametrize(
    ("times", "given", "requested"),
    [
        ("%d.%m.%Y", True, "10.02.2026"),
        ("%d.%m.%Y", False, "10.02.2026"),
        ("%Y/%d/%m %H:%M", True, "2026/10/02 00:00"),
        ("%Y%m%d", False, "20260210"),
        ("%b %d, %Y", False, "Feb 10, 2026"),
    ],
)
def test_requests_may_write_times_as_the_table_does(tmp_path: Path, times: str, given: bool, requested: str) -> None:
    data = {"exclude": None, "timeZone": "Europe/Paris", **({"timeFormat": times} if given else {})}
    store, target = stored_model(tmp_path, times=times, task="Forecast", framework="LightGBM", data=data)
    loaded = load_model(target, store, tmp_path / "server")  # its golden rows are ISO 8601
    frame = frame_of({"ds": [requested, "2026-02-10"]}, loaded.columns.inputs)
    first, second = loaded.predict(frame)["prediction"]
    assert first == second


def test_a_restart_needs_no_storage_and_verifies_again(tmp_path: Path) -> None:
    store, target = stored_model(tmp_path)
    load_model(target, store, tmp_path / "server")
    empty = FolderStore(tmp_path / "nothing", "file:///nothing")
    load_model(target, empty, tmp_path / "server")

    for name in ("model.txt", "manifest.json"):
        kept = tmp_path / "server/models" / target.manifest_sha256 / name
        kept.write_bytes(kept.read_bytes() + b"\n")
        with pytest.raises(InputMissing):
            load_model(target, empty, tmp_path / "server")
        load_model(target, store, tmp_path / "server")


def test_stored_predictions_are_not_fetched(tmp_path: Path) -> None:
    store, _ = stored_model(tmp_path)
    manifest = read_manifest(tmp_path / "output")
    entry = {"path": "forecast.parquet", "size": 1, "sha256": "0" * 64}
    target = write_manifest(tmp_path / "output", manifest | {"files": [*manifest["files"], entry]})
    load_model(target, store, tmp_path / "server")
    load_model(target, FolderStore(tmp_path / "nothing", "file:///nothing"), tmp_path / "server")
    kept = tmp_path / "server/models" / target.manifest_sha256
    assert not (kept / "forecast.parquet").exists()


def test_a_changed_file_is_fetched_again_or_refused(tmp_path: Path) -> None:
    store, target = stored_model(tmp_path)
    (tmp_path / "output/model.json").write_text("{}")
    with pytest.raises(DataError, match=r"model\.json is not the file of the manifest"):
        load_model(target, store, tmp_path / "server")
    assert list((tmp_path / "server/models").iterdir()) == []


def test_the_manifest_is_checked_first(tmp_path: Path) -> None:
    store, target = stored_model(tmp_path)
    (tmp_path / "output/manifest.json").write_text("{}")
    with pytest.raises(DataError, match="is not the manifest that version 3 was registered with"):
        load_model(target, store, tmp_path / "server")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"model": "weather"}, ConfigError, "model 'weather', not 'demand'"),
        ({"framework": "Container"}, Unsupported, "cannot load models of framework Container"),
        ({"formats": ["lightgbm-onnx"]}, Unsupported, "lightgbm-onnx, this image reads lightgbm-text"),
        ({"schemaVersion": 2}, DataError, "is not a manifest of this release"),
    ],
)
def test_unsupported_models_are_refused(tmp_path: Path, change: dict, error: type[Exception], message: str) -> None:
    store, _ = stored_model(tmp_path)
    target = write_manifest(tmp_path / "output", read_manifest(tmp_path / "output") | change)
    with pytest.raises(error, match=message):
        load_model(target, store, tmp_path / "server")


def test_a_model_with_other_predictions_is_not_served(tmp_path: Path) -> None:
    store, _ = stored_model(tmp_path)
    manifest = read_manifest(tmp_path / "output")
    manifest["golden"]["outputs"]["rows"][0] = [1e6]
    target = write_manifest(tmp_path / "output", manifest)
    with pytest.raises(DataError, match=r"version 3 of demand does not reproduce its golden rows .* \(lightgbm 4\)"):
        load_model(target, store, tmp_path / "server")


def test_a_model_too_wide_for_a_signature_gets_its_columns_from_golden_rows(tmp_path: Path) -> None:
    store, _ = stored_model(tmp_path)
    target = write_manifest(tmp_path / "output", read_manifest(tmp_path / "output") | {"signature": None})
    columns = load_model(target, store, tmp_path / "server").columns
    assert [(column.name, column.type) for column in columns.inputs] == [("x", "double"), ("town", "string")]
    assert [(column.name, column.type) for column in columns.outputs] == [("prediction", "double")]


def test_times_are_checked_but_not_parsed() -> None:
    from trainyard_trainer.frameworks.signature import Column

    times = ["2026-01-01T00:00:00", "2026-01-01T02:00:00+02:00"]
    assert frame_of({"day": times}, [Column("day", "datetime")])["day"].tolist() == times
