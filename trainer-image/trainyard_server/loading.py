"""Load a model from an address and a digest. It is verified before it is parsed, and tested before it is served."""

import shutil
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from trainyard_server.settings import Target
from trainyard_trainer.artifacts.layout import MANIFEST
from trainyard_trainer.artifacts.manifest import Manifest, fetch_file, file_entry, parse_manifest, sha256_of
from trainyard_trainer.artifacts.store import ArtifactStore
from trainyard_trainer.errors import ConfigError, DataError, InputMissing
from trainyard_trainer.frameworks.base import Framework
from trainyard_trainer.frameworks.loading import check_golden_rows, framework_of
from trainyard_trainer.frameworks.signature import Columns, columns_of


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
    framework = framework_of(manifest)
    folder = _fetch(target, manifest, body, store, kept)
    model = framework.load(folder)
    columns = columns_of(manifest, model)
    check_golden_rows(
        manifest, f"version {target.version} of {target.model}", columns, partial(framework.predict, model)
    )
    return LoadedModel(target, manifest, columns, framework, model)


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
