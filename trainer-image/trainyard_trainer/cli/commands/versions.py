"""Versions in a folder on this machine: the output of ``run``, a copy of a bucket, or the folder of one run."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from trainyard_trainer.artifacts.layout import MANIFEST, REMOVED
from trainyard_trainer.artifacts.manifest import Manifest, parse_manifest, sha256_of
from trainyard_trainer.artifacts.versions import VersionRecord
from trainyard_trainer.errors import ConfigError, DataError, InputMissing


@dataclass(frozen=True)
class Found:
    """A run on this machine. ``record`` is its version, or ``None`` if the folder of the run was given."""

    folder: Path
    manifest: Manifest
    sha256: str
    record: VersionRecord | None = None

    @property
    def title(self) -> str:
        """Name of the run for people."""
        version = "run" if self.record is None else f"version {self.record.version} ({self.record.label})"
        return f"{self.manifest.model}, {version}"


def find(folder: Path, model: str | None = None, version: int | None = None) -> Found:
    """Return the newest version below a folder, or the requested one.

    Raises
    ------
    InputMissing
        If there is none, or its run is missing.
    ConfigError
        If several models have the requested version.
    DataError
        If a document cannot be read, or the manifest is not the one that was registered.
    """
    if not folder.is_dir():
        raise InputMissing(f"{folder} is not a folder: give the --output of a run, or the folder of one run")
    if (folder / MANIFEST).exists():
        return _read(folder)
    records = [
        (root, name, record)
        for root, name, record in _records(folder)
        if model in (None, name) and version in (None, record.version)
    ]
    if not records:
        raise InputMissing(
            f"{folder} contains {_none_of(model, version)}; trainyard-trainer run --output writes versions there"
        )
    names = sorted({name for _, name, _ in records})
    if version is not None and len(names) > 1:
        raise ConfigError(f"several models in {folder} have a version {version}: add --model ({', '.join(names)})")
    root, _, record = max(records, key=lambda each: (each[2].claimed_at, each[2].version))
    return _read(root / record.run, record)


def _none_of(model: str | None, version: int | None) -> str:
    return (
        f"no version{'' if version is None else f' {version}'} of {'any model' if model is None else f'model {model}'}"
    )


def _records(folder: Path) -> Iterator[tuple[Path, str, VersionRecord]]:
    """Yield the root of the storage, the model and the claim of every version whose files were not removed."""
    for file in sorted(folder.glob("*/*/versions/*/version.json")):
        if (file.parent / REMOVED).exists():
            continue
        try:
            yield folder, file.parents[2].name, VersionRecord.model_validate_json(file.read_bytes())
        except ValidationError as error:
            raise DataError(f"{file} cannot be read: {error.errors()[0]['msg']}; copy it again") from error


def _read(run: Path, record: VersionRecord | None = None) -> Found:
    file = run / MANIFEST
    try:
        body = file.read_bytes()
    except FileNotFoundError as error:
        raise InputMissing(f"{file} is missing: the run of the version is not in this folder; copy it here") from error
    digest = sha256_of(body)
    if record is not None and digest != record.manifest_sha256:
        raise DataError(f"{file} was changed after version {record.version} was registered; copy it again")
    return Found(run, parse_manifest(body, str(file)), digest, record)
