"""Artifacts in a folder: a mounted claim (``pvc://``), or ``file://`` in local runs."""

import errno
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from trainyard_trainer.artifacts.store import MODEL_STORAGE, Naming, Stored
from trainyard_trainer.errors import InputMissing, NotPermitted, TrainerError, Unsupported, UpstreamUnavailable

_REFUSED: Final = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_LINKS: Final = {errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
TEMPORARY: Final = ".writing-"
"""Prefix of the name of a file that is being written, or whose writer has crashed."""


class FolderStore:
    """Keys as files below a folder. A file gets its name by a hard link, so it is complete and has one writer.

    Parameters
    ----------
    root
        The local folder of the storage's address. It is created on the first write.
    mount
        The folder of the claim, which must exist. Otherwise files would be written into the container and be lost.
    """

    def __init__(self, root: Path, uri: str, mount: Path | None = None, naming: Naming = MODEL_STORAGE) -> None:
        if mount is not None and not mount.is_dir():
            raise InputMissing(
                f"{naming.field} {uri}: the claim is not mounted at {mount}; check that the claim exists"
            )
        self._naming = naming
        self._root = root
        self._uri = uri.rstrip("/")

    def address(self, key: str) -> str:
        """Return ``<storage uri>/key``."""
        return f"{self._uri}/{key}"

    def put_file(self, key: str, source: Path) -> None:
        """Copy a file. Raises FileExistsError if the key exists, because a run's folder has only one writer."""
        if not self._create(key, lambda temporary: shutil.copyfile(source, temporary)):
            raise FileExistsError(self.address(key))

    def put_if_absent(self, key: str, body: bytes) -> bool:
        """Write a temporary file, then link it to the name. The link fails if another writer was first."""
        return self._create(key, lambda temporary: temporary.write_bytes(body))

    def replace(self, key: str, body: bytes) -> None:
        """Write a temporary file, then rename it."""
        with self._written(key, lambda temporary: temporary.write_bytes(body)) as (path, temporary):
            temporary.replace(path)

    def remove(self, keys: Sequence[str]) -> None:
        """Delete files, and the folders that become empty."""
        for key in keys:
            path = self._root / key
            with self._errors("removing", key):
                path.unlink(missing_ok=True)
            with suppress(OSError):  # not empty, or of another owner: keep it
                for folder in list(path.parents)[: len(Path(key).parts) - 1]:
                    folder.rmdir()

    def get(self, key: str) -> bytes | None:
        """Read a whole file."""
        with self._errors("reading", key):
            try:
                return (self._root / key).read_bytes()
            except FileNotFoundError:
                return None

    def download(self, key: str, target: Path) -> None:
        """Copy a file."""
        with self._errors("reading", key):
            shutil.copyfile(self._root / key, target)

    def size(self, key: str) -> int | None:
        """Return the size from the file system."""
        with self._errors("reading", key):
            try:
                return (self._root / key).stat().st_size
            except FileNotFoundError:
                return None

    def children(self, prefix: str) -> list[str]:
        """List a folder, without files that are being written."""
        with self._errors("listing", prefix):
            try:
                names = [path.name for path in (self._root / prefix).iterdir()]
            except (FileNotFoundError, NotADirectoryError):
                return []
        return sorted(name for name in names if not name.startswith(TEMPORARY))

    def walk(self, prefix: str) -> Iterator[Stored]:
        """Walk a folder. Files that are removed in the meantime are left out."""
        with self._errors("listing", prefix):
            for folder, _, names in os.walk(self._root / prefix, onerror=_ignore_missing):
                for name in names:
                    path = Path(folder) / name
                    with suppress(FileNotFoundError):
                        status = path.stat()
                        yield Stored(
                            str(path.relative_to(self._root)),
                            status.st_size,
                            datetime.fromtimestamp(status.st_mtime, UTC),
                        )

    def _create(self, key: str, write: Callable[[Path], object]) -> bool:
        with self._written(key, write) as (path, temporary):
            return _link(path, temporary)

    @contextmanager
    def _written(self, key: str, write: Callable[[Path], object]) -> Iterator[tuple[Path, Path]]:
        """Yield the path of the key, and a temporary file next to it, written and synced. It is removed afterwards."""
        path = self._root / key
        temporary = path.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
        with self._errors("writing", key):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                write(temporary)
                with temporary.open("rb") as stream:
                    os.fsync(stream.fileno())
                yield path, temporary
            finally:
                temporary.unlink(missing_ok=True)

    @contextmanager
    def _errors(self, act: str, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _translate(error, f"{act} {self._naming.name} {self.address(key)}") from error


def _ignore_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _link(path: Path, temporary: Path) -> bool:
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        return False
    return True


def _translate(error: OSError, what: str) -> TrainerError:
    if error.errno in _REFUSED:
        return NotPermitted(f"{what}: refused ({error.strerror}); make the volume writable for the trainer's user")
    if error.errno in _NO_LINKS:
        return Unsupported(f"{what}: this file system has no hard links ({error.strerror}); use another volume or S3")
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return UpstreamUnavailable(f"{what}: the volume is full ({error.strerror}); free some space")
    if error.errno == errno.ENOENT:
        return InputMissing(f"{what}: no such file; it may have been deleted")
    return UpstreamUnavailable(f"{what}: {error.strerror or error}")
