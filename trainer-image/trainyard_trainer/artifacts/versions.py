"""Version numbers. They are claimed in the store, exactly one per TrainingJob, even if processes crash.

Three objects decide. Each is created conditionally and never changed:

1. ``by-run/<uid>.json`` is the number that a job intends to take.
2. ``versions/<number>/reserved.json`` reserves that number for the job. From now on, its files can contain it.
3. ``versions/<number>/version.json`` claims it for a finished run.

The intent comes first. A trainer that crashes between two of them finds its number again, so it cannot take a second
one. If another job has reserved the number in the meantime, the intent is void, and the job writes its next one
(``by-run/<uid>.2.json``). Every process of a job reads the same list of intents. So two pods of one job at the same
time get the same version.
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


class _Reservation(WireModel):
    job_uid: str


class VersionRecord(WireModel):
    """The content of a claim: the run of the number."""

    version: int
    label: str
    job_uid: str
    run: str
    manifest_sha256: str
    claimed_at: str

    @property
    def registered(self) -> RegisteredVersion:
        """The version as reported to the operator."""
        return RegisteredVersion(version=self.version, label=self.label)


def version_label(run: FinishedRun) -> str:
    """Return ``vYYYY-MM-DDTHH-MM-SS-mmmZ_xxxxxxxx``: the time of the manifest, and the start of its digest."""
    moment = datetime.fromisoformat(run.manifest.created_at).astimezone(UTC)
    return f"v{moment:%Y-%m-%dT%H-%M-%S}-{moment.microsecond // 1000:03d}Z_{run.manifest_sha256[:_LABEL_DIGEST]}"


def find_version(store: ArtifactStore, keys: ModelKeys, uid: str) -> tuple[VersionRecord, FinishedRun] | None:
    """Return the version that this job already has, with its run.

    Raises
    ------
    InputMissing, DataError
        If the version exists, but its run is missing or was changed. No second version is created.
    """
    record = _record_of(store, keys, uid)
    return None if record is None else (record, registered_run(store, record))


def last_unfinished(store: ArtifactStore, keys: ModelKeys) -> str | None:
    """Return the UID of the last started job without a version, or ``None`` if there is none."""
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
        if number is None:
            return None
        record = read_record(store, keys, number)
        if record is None and _reserved_by(store, keys, number) in (None, uid):
            return None
        if record is not None and record.job_uid == uid:
            return record
    raise AssertionError("unreachable")


def newest_run(store: ArtifactStore, keys: ModelKeys) -> FinishedRun | None:
    """Return the run of the model's highest version, of any job.

    Raises
    ------
    InputMissing, DataError
        If the version exists, but its run is missing or was changed.
    """
    record = newest_record(store, keys)
    return None if record is None else registered_run(store, record)


def newest_record(store: ArtifactStore, keys: ModelKeys) -> VersionRecord | None:
    """Return the claim of the model's highest version that was not removed. Raises DataError if it is unreadable."""
    for number in sorted(numbers_of(store, keys), reverse=True):
        record = read_record(store, keys, number)
        if record is not None and not was_removed(store, keys, number):
            return record
    return None


def was_removed(store: ArtifactStore, keys: ModelKeys, number: int) -> bool:
    """Return whether the files of a version were removed on purpose."""
    return store.get(keys.removed(number)) is not None


def reserve_version(store: ArtifactStore, keys: ModelKeys, uid: str) -> int:
    """Return the version number of a job. It is reserved for the job, unless the job has one already.

    If a job finally ends without a version, its number stays unused.

    Raises
    ------
    TrainerError
        If the storage fails, or its objects were deleted or changed.
    """
    for ordinal in count(1):
        number = _read_intent(store, keys, uid, ordinal)
        if number is None:
            number = _write_intent(store, keys, uid, ordinal)
        if _owner(store, keys, uid, number) == uid:
            return number
    raise AssertionError("unreachable")


def claim_version(store: ArtifactStore, keys: ModelKeys, uid: str, run: FinishedRun) -> VersionRecord:
    """Claim the job's number for a run, or return its existing claim, which can be for another run.

    Raises
    ------
    DataError
        If an older trainer, which makes no reservations, has claimed the number at the same time.
    """
    number = reserve_version(store, keys, uid)
    record = read_record(store, keys, number) or _write_record(store, keys, uid, number, run)
    if record.job_uid != uid or run.manifest.version not in (None, number):
        raise DataError(
            f"a trainer of an older release took version {run.manifest.version or number}, which was "
            "reserved for this job; create a new TrainingJob"
        )
    return record


def _owner(store: ArtifactStore, keys: ModelKeys, uid: str, number: int) -> str:
    """Return the UID of the job that owns a number. If it was free, it is reserved for this job."""
    record = read_record(store, keys, number)
    if record is not None:
        return record.job_uid
    key = keys.reservation(number)
    if store.put_if_absent(key, canonical_json(_Reservation(job_uid=uid).model_dump(by_alias=True))):
        return uid
    found = _reserved_by(store, keys, number)
    if found is None:
        raise InputMissing(
            f"{store.address(key)} was deleted while the job registered its version; create a new TrainingJob"
        )
    return found


def _reserved_by(store: ArtifactStore, keys: ModelKeys, number: int) -> str | None:
    key = keys.reservation(number)
    body = store.get(key)
    return None if body is None else _parse(_Reservation, body, store.address(key)).job_uid


def run_of(store: ArtifactStore, record: VersionRecord, run: FinishedRun) -> FinishedRun:
    """Return the run of a claim: ``run`` itself, or the other one that has the claim, read from the store."""
    return run if record.run == run.folder else registered_run(store, record)


def registered_run(store: ArtifactStore, record: VersionRecord) -> FinishedRun:
    """Return the run of a claim, verified. Raises InputMissing if it is missing, DataError if it was changed."""
    address = store.address(f"{record.run}/{MANIFEST}")
    body = store.get(f"{record.run}/{MANIFEST}")
    if body is None:
        raise InputMissing(
            f"version {record.version} is registered, but {address} is missing; restore it, or create a new TrainingJob"
        )
    run = read_run(store, record.run, body)
    if run.manifest_sha256 != record.manifest_sha256:
        raise DataError(
            f"{address} was changed after version {record.version} was registered; restore it, or create a "
            "new TrainingJob"
        )
    return run


def numbers_of(store: ArtifactStore, keys: ModelKeys) -> list[int]:
    """Return all numbers that are reserved or claimed."""
    return [int(name) for name in store.children(keys.versions) if name.isdigit()]


def _read_intent(store: ArtifactStore, keys: ModelKeys, uid: str, ordinal: int) -> int | None:
    key = keys.intent(uid, ordinal)
    body = store.get(key)
    return None if body is None else _parse(_Intent, body, store.address(key)).version


def _write_intent(store: ArtifactStore, keys: ModelKeys, uid: str, ordinal: int) -> int:
    number = max(numbers_of(store, keys), default=0) + 1
    if store.put_if_absent(keys.intent(uid, ordinal), canonical_json({"version": number})):
        return number
    written = _read_intent(store, keys, uid, ordinal)
    if written is None:
        raise InputMissing(
            f"{store.address(keys.intent(uid, ordinal))} was deleted while the job registered its version; "
            "create a new TrainingJob"
        )
    return written


def read_record(store: ArtifactStore, keys: ModelKeys, number: int) -> VersionRecord | None:
    """Return the claim of a number, or ``None`` if it is not claimed. Raises DataError if it is unreadable."""
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
    other = read_record(store, keys, number)
    if other is None:
        raise InputMissing(
            f"{store.address(keys.version(number))} was deleted while the job registered its version; create "
            "a new TrainingJob"
        )
    return other


def _parse(model: type[_Model], body: bytes, address: str) -> _Model:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise DataError(
            f"{address} cannot be read: {error.errors()[0]['msg']}; restore it, or choose another storage.uri"
        ) from error
