"""Load a model from an address and a digest. It is verified before it is parsed, and tested before it is served."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast, get_args

import pandas as pd

from trainyard_api.training import OWN_CODE
from trainyard_api.training import Framework as FrameworkName
from trainyard_server.columns import Columns, columns_of, frame_of
from trainyard_server.settings import Target
from trainyard_trainer.artifacts.layout import MANIFEST
from trainyard_trainer.artifacts.manifest import Frame, Manifest, fetch_file, file_entry, parse_manifest, sha256_of
from trainyard_trainer.artifacts.store import ArtifactStore
from trainyard_trainer.errors import ConfigError, DataError, InputMissing, Unsupported
from trainyard_trainer.frameworks.base import Framework
from trainyard_trainer.frameworks.golden import max_difference
from trainyard_trainer.frameworks.registry import framework_named

_NUMERIC_OUTPUTS: Final = {"double", "long"}


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory that reproduces its golden rows, and the artifact that it was loaded from."""

    target: Target
    manifest: Manifest
    columns: Columns
    framework: Framework
    model: Any

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return predictions for rows with the types of ``columns.inputs``.

        Raises DataError for values that it cannot use.
        """
        return self.framework.predict(self.model, frame)


def load_model(target: Target, store: ArtifactStore, work_dir: Path) -> LoadedModel:
    """Fetch, verify, read and test one version.

    Raises
    ------
    ConfigError
        If the artifact belongs to another model.
    InputMissing
        If the manifest or a file does not exist.
    DataError
        If the manifest or a file differs from what was registered, or the model does not reproduce its golden rows.
    Unsupported
        If this image cannot read the model's format.
    TrainerError
        For any other error of the storage.
    """
    kept = work_dir / "models" / target.manifest_sha256
    body = _manifest_bytes(target, store, kept)
    manifest = _manifest(target, body, store.address(f"{target.run}/{MANIFEST}"))
    framework = _framework(manifest)
    folder = _fetch(target, manifest, body, store, kept)
    model = framework.load(folder)
    loaded = LoadedModel(target, manifest, columns_of(manifest, model), framework, model)
    _check_golden_rows(loaded)
    return loaded


def _manifest_bytes(target: Target, store: ArtifactStore, kept: Path) -> bytes:
    """Return the manifest with the requested digest, from the local copy if there is one, else from the storage."""
    if (kept / MANIFEST).is_file():
        known = (kept / MANIFEST).read_bytes()
        if sha256_of(known) == target.manifest_sha256:
            return known
    key = f"{target.run}/{MANIFEST}"
    body = store.get(key)
    if body is None:
        raise InputMissing(f"{store.address(key)} does not exist; version {target.version} may have been deleted")
    found = sha256_of(body)
    if found != target.manifest_sha256:
        raise DataError(
            f"{store.address(key)} is not the manifest that version {target.version} was registered with: expected "
            f"sha256 {target.manifest_sha256}, found {found}; it was changed after registration, do not use it"
        )
    return body


def _manifest(target: Target, body: bytes, address: str) -> Manifest:
    manifest = parse_manifest(body, address)
    if manifest.model != target.model:
        raise ConfigError(
            f"{target.uri} contains the model {manifest.model!r}, not {target.model!r}; correct the address"
        )
    return manifest


def _framework(manifest: Manifest) -> Framework:
    """Return the framework that saved the model. Only the library that it needs is imported, and only here."""
    if manifest.framework not in get_args(FrameworkName) or manifest.framework in OWN_CODE:
        raise Unsupported(
            f"this server cannot serve models of framework {manifest.framework}; use an image that supports it"
        )
    framework = framework_named(cast("FrameworkName", manifest.framework), forecast=manifest.task == "Forecast")
    if framework.format not in manifest.formats:
        raise Unsupported(
            f"the model's formats are {', '.join(manifest.formats) or 'none'}, this server reads {framework.format}; "
            "use the server of the release that trained it"
        )
    return framework


def _fetch(target: Target, manifest: Manifest, body: bytes, store: ArtifactStore, kept: Path) -> Path:
    """Return a folder with the manifest and the files that a server needs, each verified.

    The folder outlives a restart of the container in its pod. After a restart, its files are verified and not fetched
    again. So a crash does not become an outage while the storage is down or refuses the credentials.
    """
    if kept.is_dir():
        whole = all(
            (kept / entry.path).is_file() and file_entry(kept, entry.path) == entry for entry in manifest.served
        )
        if whole and (kept / MANIFEST).is_file() and (kept / MANIFEST).read_bytes() == body:
            return kept
        shutil.rmtree(kept)
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetching-", dir=kept.parent) as temporary:
        files = Path(temporary) / "files"
        files.mkdir()
        for entry in manifest.served:
            fetch_file(store, target.run, entry, files)
        (files / MANIFEST).write_bytes(body)
        files.rename(kept)
    return kept


def _check_golden_rows(loaded: LoadedModel) -> None:
    """Predict the golden rows. This warms up the model, and a difference shows that another library version runs."""
    golden = loaded.manifest.golden
    inputs, expected = golden.inputs, _outputs(golden.outputs, loaded.columns)
    values = {name: [row[index] for row in inputs.rows] for index, name in enumerate(inputs.columns)}
    found = loaded.predict(frame_of(values, loaded.columns.inputs))
    difference = max_difference(expected, found)
    if not difference <= golden.tolerance:
        libraries = ", ".join(f"{name} {version}" for name, version in sorted(loaded.manifest.libraries.items()))
        raise DataError(
            f"version {loaded.target.version} of {loaded.target.model} does not reproduce its golden rows in "
            f"this image: they differ by {difference:.3g}, more than {golden.tolerance:g}; use an image with "
            f"the libraries of its training ({libraries})"
        )


def _outputs(frame: Frame, columns: Columns) -> pd.DataFrame:
    table = pd.DataFrame(frame.rows, columns=frame.columns)
    numeric = [column.name for column in columns.outputs if column.type in _NUMERIC_OUTPUTS]
    return table.astype(dict.fromkeys(numeric, "float64"))
