"""Rebuild ModelVersions from a storage alone, as the operator creates them from the results of jobs."""

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import ValidationError

from trainyard_api.modelversion import Comparison, JobRef, ModelVersionSpec
from trainyard_api.training import Storage
from trainyard_api.version_object import version_object
from trainyard_api.wire import TrainingResult
from trainyard_trainer.artifacts.layout import CHECKPOINTS, MANIFEST, ModelKeys
from trainyard_trainer.artifacts.manifest import Manifest, VersionRequest, fetch_file
from trainyard_trainer.artifacts.runs import FinishedRun
from trainyard_trainer.artifacts.store import Addresses, ArtifactStore
from trainyard_trainer.artifacts.versions import VersionRecord, numbers_of, read_record, registered_run, was_removed
from trainyard_trainer.errors import ConfigError, DataError, InputMissing
from trainyard_trainer.job.result import fit, succeeded
from trainyard_trainer.messages import messages_of

_PARALLEL_READS: Final = 8
"""Number of versions read in parallel. Most of the time, each is waiting for the storage."""

State = Literal["Good", "Broken", "Reserved", "Removed"]


@dataclass(frozen=True)
class RebuildOptions:
    """Options of the rebuild.

    Attributes
    ----------
    storage
        How the cluster reaches the storage, for versions whose manifest has no storage or another one.
    is_moved
        Whether ``storage`` overrides the manifest.
    without_gates
        Also include versions whose gates are unknown. No gate applies to them.
    check_files
        Read every file and compare its digest. Otherwise only check that it exists and has the right size.
    """

    storage: Storage
    is_moved: bool = False
    without_gates: bool = False
    check_files: bool = False


@dataclass(frozen=True)
class Rebuilt:
    """A version number and its result: the object, or the message with the reason why there is none."""

    keys: ModelKeys
    number: int
    state: State
    message: str = ""
    body: dict[str, Any] | None = None


class _ClusterAddresses:
    """Addresses of the storage as the cluster sees it. They can differ from the address used here."""

    def __init__(self, storage: Storage) -> None:
        self._uri = storage.uri.rstrip("/")

    def address(self, key: str) -> str:
        return f"{self._uri}/{key}"


def rebuild(store: ArtifactStore, models: Sequence[ModelKeys], options: RebuildOptions) -> Iterator[Rebuilt]:
    """Rebuild all versions of some models, in order of model and number. An error in one does not affect the others.

    Raises
    ------
    TrainerError
        If the storage as a whole rejects the request or is unavailable.
    """
    with ThreadPoolExecutor(_PARALLEL_READS) as pool:
        for keys in models:
            numbers = sorted(numbers_of(store, keys))
            yield from pool.map(lambda number, keys=keys: _rebuilt(store, keys, number, options), numbers)


def left_over(store: ArtifactStore, keys: ModelKeys) -> Iterator[str]:
    """Yield a message for each job of a model that has runs but no version. Raises TrainerError."""
    owners = {record.job_uid for number in numbers_of(store, keys) if (record := _record_or_none(store, keys, number))}
    for uid in store.children(keys.jobs):
        runs = [name for name in store.children(keys.runs(uid)) if name != CHECKPOINTS]
        if uid in owners or not runs:
            continue
        done = [name for name in runs if store.size(f"{keys.run(uid, name)}/{MANIFEST}") is not None]
        folder = store.address(keys.runs(uid))
        if done:
            yield f"{folder}: run {done[0]} is finished and has no version: a retry of its job registers one"
        else:
            yield (
                f"{folder}: {len(runs)} runs without a manifest: they were stopped or have not finished, so they "
                "have no model"
            )


def _record_or_none(store: ArtifactStore, keys: ModelKeys, number: int) -> VersionRecord | None:
    try:
        return read_record(store, keys, number)
    except DataError:
        return None  # reported with its version


def _rebuilt(store: ArtifactStore, keys: ModelKeys, number: int, options: RebuildOptions) -> Rebuilt:
    try:
        record = read_record(store, keys, number)
        if record is None:
            message = "the number is reserved for a job that has registered nothing under it"
            return Rebuilt(keys, number, "Reserved", message)
        if was_removed(store, keys, number):
            return Rebuilt(keys, number, "Removed", "prune has removed its files; the number is not used again")
        run = _run_of(store, keys, number, record)
        _check_files(store, run, digests=options.check_files)
        return Rebuilt(keys, number, "Good", body=_object(store, keys, record, run, options))
    except (ConfigError, DataError, InputMissing) as error:
        return Rebuilt(keys, number, "Broken", str(error))


def _run_of(store: ArtifactStore, keys: ModelKeys, number: int, record: VersionRecord) -> FinishedRun:
    claim = store.address(keys.version(number))
    if record.version != number or not record.run.startswith(f"{keys.jobs}/"):
        raise DataError(
            f"{claim} is the record of version {record.version} of {record.run}: it was copied here from another folder"
        )
    run = registered_run(store, record)
    manifest = run.manifest
    if (manifest.namespace, manifest.model) != (keys.namespace, keys.model):
        raise DataError(
            f"{store.address(run.folder)} is a run of {manifest.namespace}/{manifest.model}: it was copied "
            "here from another folder; import it from there"
        )
    return run


def _check_files(store: ArtifactStore, run: FinishedRun, *, digests: bool) -> None:
    """Check that the files of a run match its manifest. Raises DataError, InputMissing."""
    sizes = {each.key: each.size for each in store.walk(run.folder)}
    for entry in run.manifest.files:
        key = f"{run.folder}/{entry.path}"
        if key not in sizes:
            raise InputMissing(f"{store.address(key)} is missing; restore it")
        if sizes[key] != entry.size:
            raise DataError(f"{store.address(key)} has {sizes[key]} bytes instead of {entry.size}; restore it")
        if digests:
            with tempfile.TemporaryDirectory(prefix="trainyard-") as folder:
                fetch_file(store, run.folder, entry, Path(folder))


def _object(
    store: ArtifactStore, keys: ModelKeys, record: VersionRecord, run: FinishedRun, options: RebuildOptions
) -> dict[str, Any]:
    """Return the ModelVersion. It is shortened as a result is, because the operator never sees more than that."""
    manifest = run.manifest
    request = _request_of(store, run, options)
    storage = _storage_of(manifest, options)
    location: Addresses = _ClusterAddresses(storage)
    comparison = _comparison(store, keys, record.version, manifest)
    result = TrainingResult.model_validate_json(fit(succeeded(location, record, run, request.gates, (), comparison)))
    body = version_object(
        result,
        namespace=keys.namespace,
        model=keys.model,
        job=JobRef(name=manifest.job.name, uid=manifest.job.uid),
        objective=request.objective,
        gates=request.gates,
        storage=storage,
        image=manifest.image,
    )
    try:
        ModelVersionSpec.model_validate(body["spec"])
    except ValidationError as error:
        raise DataError(
            f"the API server would reject a ModelVersion for {store.address(run.folder)}: "
            f"{'; '.join(messages_of(error, 'spec'))}"
        ) from error
    return body


def _request_of(store: ArtifactStore, run: FinishedRun, options: RebuildOptions) -> VersionRequest:
    if run.manifest.asked is not None:
        return run.manifest.asked
    if options.without_gates:
        return VersionRequest()
    raise ConfigError(
        f"{store.address(run.folder)} was written by a release that does not store the gates of a "
        "version, so the version would be validated without gates; add --without-gates to import it "
        "anyway"
    )


def _storage_of(manifest: Manifest, options: RebuildOptions) -> Storage:
    """Return how the artifact is reached: as in the manifest, unless the storage has another address now."""
    written = manifest.asked.storage if manifest.asked is not None else None
    is_here = written is not None and written.uri.rstrip("/") == options.storage.uri.rstrip("/")
    return written if written is not None and is_here and not options.is_moved else options.storage


def _comparison(store: ArtifactStore, keys: ModelKeys, number: int, manifest: Manifest) -> Comparison | None:
    key = keys.compared(number)
    body = store.get(key)
    if body is None:
        return manifest.comparison
    try:
        return Comparison.model_validate_json(body, extra="ignore")
    except ValidationError as error:
        raise DataError(f"{store.address(key)} cannot be read: {error.errors()[0]['msg']}; restore it") from error
