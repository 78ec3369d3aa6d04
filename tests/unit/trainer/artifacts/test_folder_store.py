"""The folder store: one writer per key, only complete files, and clear messages if the volume refuses."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trainyard_api.training import Storage
from trainyard_trainer.artifacts.folder import FolderStore
from trainyard_trainer.artifacts.opening import open_store
from trainyard_trainer.environment import Environment
from trainyard_trainer.errors import ConfigError, InputMissing, UpstreamUnavailable


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store", "pvc://models/all")


def environment(folder: Path) -> Environment:
    return Environment(folder, folder, folder, folder / "claims", folder, folder / "log")


def test_exactly_one_of_many_writers_succeeds(store: FolderStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: store.put_if_absent("a/b", str(n).encode()), range(32)))
    assert won.count(True) == 1
    assert store.get("a/b") == str(won.index(True)).encode()


def test_incomplete_files_are_not_listed(store: FolderStore, tmp_path: Path) -> None:
    store.put_if_absent("a/b/c", b"1")
    (tmp_path / "store/a/.writing-123").write_text("half")
    assert store.children("a") == ["b"]
    assert store.children("nothing") == []


def test_a_run_file_is_not_overwritten(store: FolderStore, tmp_path: Path) -> None:
    source = tmp_path / "file"
    source.write_text("one")
    store.put_file("a/file", source)
    with pytest.raises(FileExistsError):
        store.put_file("a/file", source)
    assert store.size("a/file") == 3
    assert store.size("a/other") is None


def test_addresses_contain_the_claim(store: FolderStore) -> None:
    assert store.address("x/y") == "pvc://models/all/x/y"


def test_a_claim_that_is_not_mounted_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="the claim is not mounted"):
        open_store(Storage(uri="pvc://models/x"), environment(tmp_path))


def test_a_mounted_claim_is_used(tmp_path: Path) -> None:
    (tmp_path / "claims/models").mkdir(parents=True)
    store = open_store(Storage(uri="pvc://models/deep"), environment(tmp_path))
    store.put_if_absent("k", b"v")
    assert (tmp_path / "claims/models/deep/k").read_bytes() == b"v"


@pytest.mark.parametrize("uri", ["pvc://", "pvc://claim/../../etc", "pvc://../x"])
def test_a_claim_address_cannot_point_outside_its_claim(tmp_path: Path, uri: str) -> None:
    with pytest.raises(ConfigError, match=r"pvc://<claim>/<path>"):
        environment(tmp_path).claim_path(uri)


def test_an_unknown_scheme_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"s3:// or pvc://"):
        open_store(Storage.model_construct(uri="gs://models"), environment(tmp_path))


def test_a_path_through_a_file_is_an_error_with_the_address(store: FolderStore) -> None:
    store.put_if_absent("a", b"1")
    with pytest.raises(UpstreamUnavailable, match="writing the model storage pvc://models/all/a/b"):
        store.put_if_absent("a/b", b"2")
