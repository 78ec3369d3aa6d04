"""Predictions as files in a bucket or on a claim, partitioned by date as Hive does it.

``as_of_date=2026-11-30/<name>-<uid>.parquet`` is the only file of a run. pyarrow, DuckDB and Spark read the folder as a
partitioned dataset. The key of the partitions is ``as_of_date``, because the rows of a forecast have a column
``as_of``: a column and a key with the same name would collide.

Names that begin with ``_`` are not data, and readers ignore them: ``_runs/<uid>.json`` is the manifest of a run. It is
created after the file, so its creation commits the run. ``_runs/<uid>.started.json`` names the file before it is
uploaded. With it, a later attempt whose partition differs removes the file of an earlier attempt that did not finish.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import pyarrow as pa
from pydantic import Field, ValidationError

from trainyard_api.wire import WireModel
from trainyard_trainer.artifacts.manifest import canonical_json, file_entry
from trainyard_trainer.artifacts.store import ArtifactStore
from trainyard_trainer.errors import DataError, Unsupported, UpstreamUnavailable
from trainyard_trainer.outputs.base import Facts, Run, Written
from trainyard_trainer.outputs.columns import pieces
from trainyard_trainer.outputs.local_files import SUFFIXES, Format, write_file

PARTITION: Final = "as_of_date"
RUNS: Final = "_runs"
SUCCESS: Final = "_SUCCESS"
MARKER: Final = "_trainyard.json"
"""An object at the root that the first check creates, and that each check tries to create again."""


class RunInfo(WireModel):
    """The PredictionJob."""

    uid: str
    name: str
    namespace: str


class Column(WireModel):
    """A column of the file, and its Arrow type."""

    name: str
    type: str


class Started(WireModel):
    """The key of the file that an attempt uploads."""

    key: str


class RunManifest(WireModel):
    """The description of a complete run. ``key`` is the file, relative to the address of the storage."""

    schema_version: Literal[1] = 1
    run: RunInfo
    model: str
    version: int
    key: str
    rows: Annotated[int, Field(ge=0)]
    size: int
    sha256: str
    as_of: str | None = None
    series: int | None = None
    left_out: int | None = None
    format: str
    columns: list[Column]

    @property
    def partition(self) -> str:
        """The folder of the file."""
        return self.key.rpartition("/")[0]

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return canonical_json(self.model_dump(mode="json", by_alias=True, exclude_none=True))

    @classmethod
    def parse(cls, body: bytes, address: str) -> Self:
        """Parse a manifest. Raises DataError if it is invalid."""
        try:
            return cls.model_validate_json(body, extra="ignore")
        except ValidationError as error:
            raise DataError(
                f"{address} is not a manifest of this release: {error.errors()[0]['msg']}; create a new PredictionJob"
            ) from error


class FileOutput:
    """One file per run.

    Parameters
    ----------
    work_dir
        A local folder with room for the file. It is written there first, then uploaded in one atomic step.
    """

    def __init__(self, store: ArtifactStore, format: Format, work_dir: Path) -> None:  # noqa: A002 - the field's name
        self._store, self._format, self._work_dir = store, format, work_dir

    def check(self) -> None:
        """Check that the storage can be reached and written, and creates an object only once."""
        body = canonical_json({"content": "predictions", "schemaVersion": 1})
        if self._store.put_if_absent(MARKER, body) and self._store.put_if_absent(MARKER, body):
            raise Unsupported(
                f"the server of {self._store.address('')} ignores If-None-Match, so a run could be written twice; "
                "use a server with conditional writes"
            )

    def finished(self, run: Run) -> Written | None:
        """Return what the manifest says, if its file exists.

        If the process was killed before it wrote ``_SUCCESS``, write it.
        """
        key = _manifest_key(run)
        body = self._store.get(key)
        if body is None:
            return None
        manifest = RunManifest.parse(body, self._store.address(key))
        return self._complete(manifest) if self._holds(manifest) else None

    def write(
        self, run: Run, schema: pa.Schema, tables: Iterable[pa.Table], facts: Facts, go_on: Callable[[], None]
    ) -> Written:
        """Write a local file, upload it, and create the manifest.

        The partition is the date of ``facts.as_of``, or else the current date in UTC.
        """
        earlier = self.finished(run)
        if earlier is not None:
            return earlier
        suffix = SUFFIXES[self._format]
        key = f"{PARTITION}={partition_value(facts.as_of)}/{run.name}-{run.uid}.{suffix}"
        self._work_dir.mkdir(parents=True, exist_ok=True)
        file = self._work_dir / f"predictions-{run.uid}.{suffix}"
        try:
            rows = write_file(file, self._format, schema, pieces(tables, schema, go_on))
            entry = file_entry(self._work_dir, file.name)
            manifest = RunManifest(
                run=RunInfo(uid=run.uid, name=run.name, namespace=run.namespace),
                model=run.model,
                version=run.version,
                key=key,
                rows=rows,
                size=entry.size,
                sha256=entry.sha256,
                as_of=facts.as_of,
                series=facts.series,
                left_out=facts.left_out,
                format=self._format,
                columns=[Column(name=field.name, type=str(field.type)) for field in schema],
            )
            self._start(run, key)
            self._upload(key, file, entry.size)
            return self._complete(self._commit(run, manifest, file))
        finally:
            file.unlink(missing_ok=True)

    def _start(self, run: Run, key: str) -> None:
        """Name the key of this attempt. First remove the file of an earlier attempt that had another one."""
        marker = f"{RUNS}/{run.uid}.started.json"
        body = self._store.get(marker)
        earlier = None if body is None else _started_key(body)
        if earlier == key:
            return
        if earlier is not None:
            self._store.remove([earlier])
        self._store.replace(marker, Started(key=key).to_json().encode())

    def _upload(self, key: str, file: Path, size: int) -> None:
        try:
            self._store.put_file(key, file)
        except FileExistsError:  # of an earlier attempt that was killed before its manifest
            self._store.remove([key])
            self._store.put_file(key, file)
        found = self._store.size(key)
        if found != size:
            raise UpstreamUnavailable(
                f"{self._store.address(key)} has {found} bytes after writing {size}: the storage lost data; the next "
                "attempt writes it again"
            )

    def _commit(self, run: Run, manifest: RunManifest, file: Path) -> RunManifest:
        """Create the manifest, and return the one that is valid: another process of this run may have been first."""
        key, body = _manifest_key(run), manifest.encode()
        if self._store.put_if_absent(key, body):
            return manifest
        found = self._store.get(key)
        if found is None or found == body:  # the response to the first put may have been lost, and then retried
            return manifest
        valid = RunManifest.parse(found, self._store.address(key))
        if valid.key != manifest.key and self._holds(valid):
            self._store.remove([manifest.key])
            return valid
        if valid.key == manifest.key and (valid.sha256 == manifest.sha256 or not self._holds(manifest, file)):
            return valid
        # The file of the other process is gone, or this process has replaced it. The manifest describes what is there.
        self._store.replace(key, body)
        return manifest

    def _holds(self, manifest: RunManifest, local: Path | None = None) -> bool:
        """Return whether the storage has the file of a manifest. With a path to download to, compare its digest too."""
        if self._store.size(manifest.key) != manifest.size:
            return False
        if local is None:
            return True
        self._store.download(manifest.key, local)
        return file_entry(local.parent, local.name).sha256 == manifest.sha256

    def _complete(self, manifest: RunManifest) -> Written:
        self._store.put_if_absent(f"{manifest.partition}/{SUCCESS}", b"")
        return Written(
            manifest.rows,
            self._store.address(manifest.partition),
            manifest.as_of,
            manifest.series,
            manifest.left_out,
            manifest.version,
        )


def partition_value(as_of: str | None, now: datetime | None = None) -> str:
    """Return the value of the partition key: a date, or a time in UTC if ``as_of`` is not midnight of its own clock.

    A time has no colons, because not every file system and reader allows them in a name. Without ``as_of``, it is the
    date of ``now``, by default the current time, in UTC.
    """
    if as_of is None:
        return f"{(now or datetime.now(UTC)).astimezone(UTC):%Y-%m-%d}"
    time = datetime.fromisoformat(as_of)
    if (time.hour, time.minute, time.second, time.microsecond) == (0, 0, 0, 0):
        return f"{time:%Y-%m-%d}"
    instant = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return f"{instant:%Y-%m-%dT%H%M%S}" + (f".{instant:%f}" if instant.microsecond else "") + "Z"


def _manifest_key(run: Run) -> str:
    return f"{RUNS}/{run.uid}.json"


def _started_key(body: bytes) -> str | None:
    """Return the key that an earlier attempt has named, or ``None`` if the object is not readable."""
    try:
        return Started.model_validate_json(body, extra="ignore").key
    except ValidationError:
        return None
