"""The S3 store with a real server: conditional writes, large files, versions, and every reason for a refusal."""

import gc
import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.trainer.object_store import BUCKET, GUEST, ObjectStore, cuts_a_download, free_port, secret
from tests.unit.trainer.artifacts.runs import KEYS, Killed, KilledStore, train_and_register, write_output
from trainyard_api.training import Storage
from trainyard_trainer.artifacts.checkpoints import remove_checkpoints
from trainyard_trainer.artifacts.manifest import fetch_file, file_entry
from trainyard_trainer.artifacts.opening import open_store
from trainyard_trainer.artifacts.runs import begin_run
from trainyard_trainer.artifacts.s3 import S3Store
from trainyard_trainer.artifacts.store import ArtifactStore
from trainyard_trainer.credentials import s3_client
from trainyard_trainer.data.sources import files
from trainyard_trainer.environment import Environment
from trainyard_trainer.errors import (
    ConfigError,
    DataError,
    InputMissing,
    Interrupted,
    NotPermitted,
    TrainerError,
    UpstreamUnavailable,
)

_prefixes = (f"test-{number}" for number in itertools.count())


@pytest.fixture
def store(object_store: ObjectStore) -> S3Store:
    return S3Store(object_store.client(), f"s3://{BUCKET}/{next(_prefixes)}/")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return write_output(tmp_path / "output")


def environment(folder: Path, secret_dir: Path) -> Environment:
    return Environment(folder, folder, secret_dir, folder, folder, folder / "log")


def test_exactly_one_of_many_writers_wins(store: S3Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: store.put_if_absent("claim", str(n).encode()), range(16)))
    assert won.count(True) == 1
    assert store.get("claim") == str(won.index(True)).encode()


def test_missing_objects(store: S3Store, tmp_path: Path) -> None:
    assert store.get("nothing") is None
    assert store.size("nothing") is None
    assert store.children("nothing") == []
    with pytest.raises(InputMissing, match="nothing does not exist"):
        store.download("nothing", tmp_path / "file")


def test_children_are_folders_and_objects(store: S3Store) -> None:
    for key in ("a/b/c", "a/d", "ab"):
        assert store.put_if_absent(key, b"1")
    assert store.children("a") == ["b", "d"]


def test_a_large_file_is_uploaded_in_parts_and_downloaded_complete(store: S3Store, tmp_path: Path) -> None:
    source = tmp_path / "big"
    with source.open("wb") as stream:
        for number in range(70):
            stream.write(bytes([number]) * 1024 * 1024)
    entry = file_entry(tmp_path, "big")
    store.put_file("run/big", source)
    assert store.size("run/big") == 70 * 1024 * 1024
    fetch_file(store, "run", entry, tmp_path / "back")


@cuts_a_download
def test_a_download_can_be_interrupted(object_store: ObjectStore, tmp_path: Path) -> None:
    object_store.client().put_object(Bucket=BUCKET, Key="large", Body=b"x" * 40_000_000)
    sizes: list[int] = []

    def check(size: int) -> None:
        sizes.append(size)
        if len(sizes) == 3:
            raise Interrupted("asked to end")

    with pytest.raises(Interrupted, match="asked to end"):
        files.S3Store(object_store.client).download(BUCKET, "large", tmp_path / "large", check)
    assert sum(sizes) < 40_000_000
    gc.collect()


def test_a_changed_object_is_refused(store: S3Store, output: Path, object_store: ObjectStore, tmp_path: Path) -> None:
    record = train_and_register(store, "uid", 1, output)
    entry = file_entry(output, "model.txt")
    key = store.address(f"{record.run}/model.txt").removeprefix(f"s3://{BUCKET}/")
    object_store.client().put_object(Bucket=BUCKET, Key=key, Body=b"evil")
    with pytest.raises(DataError, match="changed after registration"):
        fetch_file(store, record.run, entry, tmp_path / "back")


def test_parallel_jobs_of_one_model_get_different_numbers(store: S3Store, output: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        records = list(pool.map(lambda n: train_and_register(store, f"uid-{n}", 1, output), range(6)))
    assert sorted(record.version for record in records) == list(range(1, 7))


def test_parallel_pods_of_one_job_make_one_version(store: S3Store, output: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        records = list(pool.map(lambda _: train_and_register(store, "uid", 1, output), range(6)))
    assert len(set(records)) == 1
    assert store.children(KEYS.versions) == ["00000001"]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(7))
def test_one_version_wherever_the_trainer_dies(store: S3Store, output: Path, at: int, *, after: bool) -> None:
    with pytest.raises(Killed):
        train_and_register(KilledStore(store, at, after=after), "uid", 1, output)
    record = train_and_register(store, "uid", 2, output)
    assert record.version == 1
    assert train_and_register(store, "uid", 3, output) == record
    assert store.children(KEYS.versions) == ["00000001"]


def test_a_missing_bucket_is_reported(object_store: ObjectStore) -> None:
    store = S3Store(object_store.client(), "s3://nowhere/models")
    with pytest.raises(InputMissing, match=r"the bucket 'nowhere' of s3://nowhere/models/.* does not exist; create it"):
        begin_run(store, KEYS, "uid", 1)


def test_missing_write_access_is_reported(object_store: ObjectStore) -> None:
    store = S3Store(s3_client(object_store.endpoint, None, object_store.guest_secret), f"s3://{BUCKET}/guest")
    assert store.get("nothing") is None
    with pytest.raises(NotPermitted, match=r"writing the model storage: access to s3://models/guest/.* was refused"):
        begin_run(store, KEYS, "uid", 1)


@pytest.mark.parametrize("keys", [("nobody", "x" * 20), (GUEST[0], "not-the-secret")])
def test_wrong_credentials_are_reported(object_store: ObjectStore, tmp_path: Path, keys: tuple[str, str]) -> None:
    storage = Storage(uri=f"s3://{BUCKET}/x", endpoint=object_store.endpoint)
    store: ArtifactStore = open_store(storage, environment(tmp_path, secret(tmp_path / "secret", *keys)))
    with pytest.raises(NotPermitted, match="check the keys in its Secret"):
        begin_run(store, KEYS, "uid", 1)


def test_a_missing_server_is_reported(object_store: ObjectStore) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    store = S3Store(s3_client(endpoint, None, object_store.admin_secret), f"s3://{BUCKET}/x")
    with pytest.raises(UpstreamUnavailable, match="does not respond"):
        store.get("key")


@pytest.mark.parametrize(("uri", "endpoint"), [("s3://", "http://127.0.0.1:1"), ("s3://models", "not a url")])
def test_invalid_addresses_are_refused(object_store: ObjectStore, tmp_path: Path, uri: str, endpoint: str) -> None:
    storage = Storage.model_construct(uri=uri, endpoint=endpoint)
    with pytest.raises(ConfigError):
        open_store(storage, environment(tmp_path, object_store.admin_secret))


def test_errors_contain_no_secret(object_store: ObjectStore, tmp_path: Path) -> None:
    store = S3Store(s3_client(object_store.endpoint, None, secret(tmp_path, "nobody", "hush-hush-hush")), "s3://models")
    with pytest.raises(TrainerError) as caught:
        store.get("key")
    assert "hush" not in str(caught.value)


def test_a_thousand_checkpoints_are_replaced_and_removed(store: S3Store) -> None:
    store.replace("kept/a", b"one")
    store.replace("kept/a", b"two")
    assert store.get("kept/a") == b"two"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: store.replace(f"kept/{n:04}", b"x"), range(1001)))
    assert len(store.children("kept")) == 1002
    store.remove([*(f"kept/{name}" for name in store.children("kept")), "kept/nothing"])
    assert store.children("kept") == []
    store.remove([])


def test_a_missing_right_to_delete_is_reported_and_fails_no_training(
    object_store: ObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    prefix = next(_prefixes)
    S3Store(object_store.client(), f"s3://{BUCKET}/{prefix}").replace(f"{KEYS.checkpoints('uid')}/digest/a", b"one")
    guest = S3Store(s3_client(object_store.endpoint, None, object_store.guest_secret), f"s3://{BUCKET}/{prefix}")
    with pytest.raises(NotPermitted, match="removing the model storage"):
        guest.remove([f"{KEYS.checkpoints('uid')}/digest/a"])
    caplog.set_level("INFO", "trainyard")
    remove_checkpoints(guest, KEYS, "uid")
    assert "could not be removed" in caplog.text
