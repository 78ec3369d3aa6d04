"""From an address to local files with their digest. Only this module knows URI schemes.

``pvc://`` and ``file://`` are read in place. Other files are first copied to the work folder. A copy can be read twice
(for the dialect, then for the values), retried as a whole, and hashed in parallel.
"""

import contextlib
import functools
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from trainyard_api.wire import TrainerConfig
from trainyard_trainer.data.sources.addresses import Address, folder_of, matching_keys, matching_paths
from trainyard_trainer.data.sources.buckets import ObjectStore, S3Store
from trainyard_trainer.data.sources.pages import Http, download_page
from trainyard_trainer.environment import Environment
from trainyard_trainer.errors import ConfigError, InputMissing, Interrupted, NotPermitted

_PIECE: Final = 1 << 18
_DOWNLOADS: Final = 8
"""Number of parallel downloads. A single file is already downloaded by ranges in parallel."""

GoOn = Callable[[], None]
"""Called between two pieces of the data. Raises an error if there is a reason to stop."""


@dataclass(frozen=True)
class File:
    """A readable local file. The extension of ``name`` shows its format."""

    path: Path
    name: str
    uri: str
    size_bytes: int


@dataclass(frozen=True)
class Source:
    """The files of one table, in the order of their addresses.

    ``go_on`` is called while they are hashed. ``hashes`` has the SHA-256 by path for files that are hashed already.
    """

    files: tuple[File, ...]
    uri: str
    go_on: GoOn
    hashes: dict[Path, str] = field(default_factory=dict, compare=False)

    def hash(self, files: Sequence[File]) -> None:
        """Hash the stored bytes of some files and add them to ``hashes``.

        This can run in a thread while the files are read.
        """
        for file in files:
            self.hashes[file.path] = _sha256_of(file.path, self.go_on)

    @functools.cached_property
    def digest(self) -> str:
        """The digest of a single file.

        For several files, the digest of the output of ``sha256sum`` with their paths below the folder.

        The first access reads the stored bytes of all files without a hash.
        """
        self.hash([file for file in self.files if file.path not in self.hashes])
        hashes = [self.hashes[file.path] for file in self.files]
        if len(hashes) == 1:
            return f"sha256:{hashes[0]}"
        names = [file.uri.removeprefix(self.folder) for file in self.files]
        listing = "".join(f"{digest}  {name}\n" for digest, name in zip(hashes, names, strict=True))
        return f"sha256:{hashlib.sha256(listing.encode()).hexdigest()}"

    @property
    def folder(self) -> str:
        """The address of the folder that contains all files, with a trailing ``/``."""
        return folder_of(self.uri) + "/"

    @property
    def size_bytes(self) -> int:
        """The total stored size of all files."""
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True)
class Ways:
    """Clients for the addresses. Tests replace them."""

    env: Environment
    store: ObjectStore
    http: Http

    @classmethod
    def of(cls, config: TrainerConfig, env: Environment) -> "Ways":
        """Return the real clients, with the credentials of a job."""

        def client() -> Any:
            from trainyard_trainer.credentials import data_client  # imports boto3, which is slow

            return data_client(config, env)

        return cls(env, S3Store(client), Http(max_bytes=env.max_download_bytes))


@contextlib.contextmanager
def fetch(
    config: TrainerConfig, env: Environment, stop: Callable[[], bool], ways: Ways | None = None
) -> Iterator[Source]:
    """Make the data of a job readable. Copies are removed when the context ends.

    Parameters
    ----------
    stop
        Called between two pieces of the data. It returns whether to stop.

    Raises
    ------
    InputMissing
        The bucket, key, file or page does not exist.
    NotPermitted
        The credentials were rejected.
    UpstreamUnavailable
        The server did not respond correctly after several attempts.
    ConfigError
        The address itself is malformed.
    DataError
        A page is larger than the limit.
    Interrupted
        ``stop`` returned true.
    """
    address = Address(config.spec.data.uri or "")

    def go_on() -> None:
        if stop():
            raise Interrupted(f"stopped by a signal while reading {address}; the next attempt starts again")

    with work_folder(env) as folder:
        yield bring(address, ways or Ways.of(config, env), folder, go_on)


@contextlib.contextmanager
def work_folder(env: Environment) -> Iterator[Path]:
    """Create a folder for copies, and remove it at the end."""
    env.work_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="data-", dir=env.work_dir, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def bring(address: Address, ways: Ways, folder: Path, go_on: GoOn) -> Source:
    """Make the files of an address readable, with copies below ``folder``. Raises the errors of :func:`fetch`."""
    uri = address.uri
    parts = urlsplit(uri)
    match parts.scheme:
        case "pvc":
            files = _local(address, ways.env.claim_path(uri), claim=_claim_folder(uri, ways.env))
        case "file":
            files = _local(address, Path(unquote(parts.path)), claim=None)
        case "s3":
            files = _objects(address, ways.store, folder, go_on)
        case "https":
            name = PurePosixPath(unquote(parts.path)).name
            if not parts.netloc:
                raise ConfigError(f"{address} has no host; write it as https://host/path")
            target = folder / "source"
            download_page(address, target, ways.http, go_on)
            files = [_describe(target, name, uri, address)]
        case _:
            raise ConfigError(f"{address} must start with s3://, https://, pvc:// or, in local runs, file://")
    return Source(tuple(files), uri, go_on)


def _claim_folder(uri: str, env: Environment) -> Path:
    return env.claims_dir / uri.removeprefix("pvc://").partition("/")[0]


def _local(address: Address, path: Path, *, claim: Path | None) -> list[File]:
    """Return files in place. If ``claim`` is given, all files must be inside of it."""
    if not address.is_pattern:
        found = {address.uri: path}
    else:
        address.check_pattern()
        base, folder = Path(folder_of(str(path)) or "/"), folder_of(address.uri)
        by_uri = {f"{folder}/{one.relative_to(base).as_posix()}": one for one in matching_paths(path)}
        found = {uri: by_uri[uri] for uri in address.only_some(by_uri)}
    for uri, one in found.items():
        if claim is not None and not one.resolve().is_relative_to(claim.resolve()):
            raise NotPermitted(f"{address}: {uri} leaves its claim through a symbolic link; use files inside the claim")
    return [_describe(one, one.name, uri, address) for uri, one in found.items()]


def _objects(address: Address, store: ObjectStore, folder: Path, go_on: GoOn) -> list[File]:
    # Not urlsplit, because a key can contain "#" and "?".
    bucket, _, key = address.uri.removeprefix("s3://").partition("/")
    if not bucket or not key or key.endswith("/"):
        raise ConfigError(f"{address} has no object key; write it as s3://bucket/key or s3://bucket/folder/*.csv")
    keys = [key]
    if address.is_pattern:
        address.check_pattern()
        keys = address.only_some(matching_keys(store.keys(bucket, key.partition("*")[0]), key))
    targets = [folder / f"object-{number}" for number in range(len(keys))]
    _download_all(store, bucket, list(zip(keys, targets, strict=True)), go_on)
    return [
        _describe(target, PurePosixPath(one).name, f"s3://{bucket}/{one}", address)
        for one, target in zip(keys, targets, strict=True)
    ]


def _download_all(store: ObjectStore, bucket: str, files: Sequence[tuple[str, Path]], go_on: GoOn) -> None:
    def received(_: int) -> None:
        go_on()

    if len(files) == 1:
        store.download(bucket, *files[0], received)
        return
    pool = ThreadPoolExecutor(_DOWNLOADS)
    try:
        for done in [pool.submit(store.download, bucket, key, target, received) for key, target in files]:
            done.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _describe(path: Path, name: str, uri: str, address: Address) -> File:
    try:
        with path.open("rb") as file:
            return File(path, name, uri, os.fstat(file.fileno()).st_size)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputMissing(f"{address} does not exist; check the path") from error
    except IsADirectoryError as error:
        raise InputMissing(f"{address} is a folder; name one file in it, or all of them as folder/*.csv") from error
    except PermissionError as error:
        raise NotPermitted(f"{address.field} {uri} cannot be read by the trainer; check owner and mode") from error


def _sha256_of(path: Path, go_on: GoOn) -> str:
    digest = hashlib.sha256()
    piece = bytearray(_PIECE)  # one buffer for all pieces: to allocate each would cost a fifth of the time
    whole = memoryview(piece)
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(piece):
            go_on()
            digest.update(whole[:size])
    return digest.hexdigest()
