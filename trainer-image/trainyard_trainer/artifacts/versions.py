"""Version numbers: claimed in the store itself, exactly one per TrainingJob, whatever dies in between.

Two objects decide, both created conditionally and never changed. ``by-run/<uid>.json`` is the number a job means to
take; ``versions/<number>/version.json`` is the claim on that number. The intent comes first: a trainer that dies
between the two finds its number again, so that it cannot take a second one. If the number meanwhile went to another job
the intent is void for ever, and the job writes its next one (``by-run/<uid>.2.json``). Every process of a job walks the
same list of intents, so that even two pods of one job at the same time end at one version.
"""

import json
from datetime import UTC, datetime
from itertools import count
from typing import Final, TypeVar

from pydantic import ValidationError

from trainyard_api.wire import RegisteredVersion, WireModel
from trainyard_trainer.artifacts.layout import MANIFEST, STARTED, ModelKeys
from trainyard_trainer.artifacts.manifest import canonical_json
from trainyard_trainer.artifacts.runs import FinishedRun, read_run
from trainyard_trainer.artifacts.store import ArtifactStore
from trainyard_trainer.errors import DataError, InputMissing

_LABEL_DIGEST: Final = 8
_Model = TypeVar("_Model", bound=WireModel)


class _Intent(WireModel):
    version: int


class VersionRecord(WireModel):
    """The content of a claim: which run the number stands for."""

    version: int
    label: str
    job_uid: str
    run: str
    manifest_sha256: str
    claimed_at: str

    @property
    def registered(self) -> RegisteredVersion:
        """The version as the operator is told."""
        return RegisteredVersion(version=self.version, label=self.label)


def version_label(run: FinishedRun) -> str:
    """Return ``vYYYY-MM-DDTHH-MM-SS-mmmZ_xxxxxxxx``: the time of the manifest, and the head of its digest."""
    moment = datetime.fromisoformat(run.manifest.created_at).astimezone(UTC)
    return f"v{moment:%Y-%m-%dT%H-%M-%S}-{moment.microsecond // 1000:03d}Z_{run.manifest_sha256[:_LABEL_DIGEST]}"


def find_version(store: ArtifactStore, keys: ModelKeys, uid: str) -> tuple[VersionRecord, FinishedRun] | None:
    """Return the version this job already has, with its run.

    Raises
    ------
    InputMissing, DataError
        If the version is there and its run is gone or was changed: it is final, no second one is made.
    """
    record = _record_of(store, keys, uid)
    return None if record is None else (record, _run_of(store, record))


def last_unfinished(store: ArtifactStore, keys: ModelKeys) -> str | None:
    """Return the UID of the job whose run began last among those without a version; ``None`` if there is no such."""
    begun: dict[str, str] = {}
    for uid in store.children(keys.jobs):
        if _record_of(store, keys, uid) is not None:
            continue
        for name in store.children(keys.runs(uid)):
            marker = store.get(f"{keys.run(uid, name)}/{STARTED}")
            if marker is not None:
                begun[uid] = max(begun.get(uid, ""), json.loads(marker)["startedAt"])
    return max(begun, key=lambda uid: begun[uid], default=None)


def _record_of(store: ArtifactStore, keys: ModelKeys, uid: str) -> VersionRecord | None:
    for ordinal in count(1):
        number = _read_intent(store, keys, uid, ordinal)
        record = None if number is None else _read_record(store, keys, number)
        if record is None or record.job_uid == uid:
            return record
    raise AssertionError("unreachable")


def newest_run(store: ArtifactStore, keys: ModelKeys) -> FinishedRun | None:
    """Return the run of the model's highest version, of whatever job.

    Raises
    ------
    InputMissing, DataError
        If the version is there and its run is gone or was changed.
    """
    record = newest_record(store, keys)
    return None if record is None else _run_of(store, record)


def newest_record(store: ArtifactStore, keys: ModelKeys) -> VersionRecord | None:
    """Return the claim of the model's highest version. Raises DataError if it cannot be read."""
    number = _next_number(store, keys) - 1
    return _read_record(store, keys, number) if number > 0 else None


def claim_version(store: ArtifactStore, keys: ModelKeys, uid: str, run: FinishedRun) -> VersionRecord:
    """Give the run a number, or return the one that its job got before. The record may then name another run."""
    for ordinal in count(1):
        number = _read_intent(store, keys, uid, ordinal)
        if number is None:
            number = _write_intent(store, keys, uid, ordinal)
        record = _read_record(store, keys, number) or _write_record(store, keys, uid, number, run)
        if record.job_uid == uid:
            return record
    raise AssertionError("unreachable")


def run_of(store: ArtifactStore, record: VersionRecord, run: FinishedRun) -> FinishedRun:
    """Return the run of a claim: ``run`` itself, or the other one that won, read from the store."""
    return run if record.run == run.folder else _run_of(store, record)


def _run_of(store: ArtifactStore, record: VersionRecord) -> FinishedRun:
    address = store.address(f"{record.run}/{MANIFEST}")
    body = store.get(f"{record.run}/{MANIFEST}")
    if body is None:
        raise InputMissing(
            f"version {record.version} was registered before, but {address} is gone; "
            "restore it, or create a new TrainingJob"
        )
    run = read_run(store, record.run, body)
    if run.manifest_sha256 != record.manifest_sha256:
        raise DataError(
            f"{address} is not what version {record.version} was registered with, it was changed since; "
            "restore it, or create a new TrainingJob"
        )
    return run


def _next_number(store: ArtifactStore, keys: ModelKeys) -> int:
    numbers = [int(name) for name in store.children(keys.versions) if name.isdigit()]
    return max(numbers, default=0) + 1


def _read_intent(store: ArtifactStore, keys: ModelKeys, uid: str, ordinal: int) -> int | None:
    key = keys.intent(uid, ordinal)
    body = store.get(key)
    return None if body is None else _parse(_Intent, body, store.address(key)).version


def _write_intent(store: ArtifactStore, keys: ModelKeys, uid: str, ordinal: int) -> int:
    number = _next_number(store, keys)
    if store.put_if_absent(keys.intent(uid, ordinal), canonical_json({"version": number})):
        return number
    written = _read_intent(store, keys, uid, ordinal)
    if written is None:
        raise InputMissing(
            f"{store.address(keys.intent(uid, ordinal))} was deleted while a version was claimed; "
            "create a new TrainingJob"
        )
    return written


def _read_record(store: ArtifactStore, keys: ModelKeys, number: int) -> VersionRecord | None:
    key = keys.version(number)
    body = store.get(key)
    return None if body is None else _parse(VersionRecord, body, store.address(key))


def _write_record(store: ArtifactStore, keys: ModelKeys, uid: str, number: int, run: FinishedRun) -> VersionRecord:
    record = VersionRecord(
        version=number,
        label=version_label(run),
        job_uid=uid,
        run=run.folder,
        manifest_sha256=run.manifest_sha256,
        claimed_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )
    if store.put_if_absent(keys.version(number), canonical_json(record.model_dump(mode="json", by_alias=True))):
        return record
    other = _read_record(store, keys, number)
    if other is None:
        raise InputMissing(
            f"{store.address(keys.version(number))} was deleted while a version was claimed; create a new TrainingJob"
        )
    return other


def _parse(model: type[_Model], body: bytes, address: str) -> _Model:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise DataError(
            f"{address} cannot be read: {error.errors()[0]['msg']}; restore it, or choose another storage.uri"
        ) from error
