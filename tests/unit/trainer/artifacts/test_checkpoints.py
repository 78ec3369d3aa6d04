"""Checkpoints: kept for the next attempt at the same work, hidden from other work, removed after the registration."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.trainer.artifacts.runs import KEYS
from tests.unit.trainer.job import mean
from trainyard_trainer.artifacts.checkpoints import digest_of, open_checkpoints, remove_checkpoints
from trainyard_trainer.artifacts.folder import FolderStore
from trainyard_trainer.artifacts.runs import begin_run, find_finished
from trainyard_trainer.data.dataset import Dataset
from trainyard_trainer.environment import Environment
from trainyard_trainer.errors import NotPermitted


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store", "pvc://models/all")


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    env = Environment(tmp_path, tmp_path, tmp_path, tmp_path, tmp_path, tmp_path)
    table = mean.load(mean.config(), env, lambda *_: None, lambda: False)
    return mean.preprocess(table, mean.config())


def test_the_next_attempt_finds_the_checkpoints(store: FolderStore, dataset: Dataset) -> None:
    first = open_checkpoints(store, KEYS, mean.config(attempt=1), dataset)
    assert first.get("search/0000.json") is None
    assert first.names() == []
    first.put("search/0000.json", b"one")
    first.put("search/0000.json", b"two")
    first.put("café & crème", b"three")
    second = open_checkpoints(store, KEYS, mean.config(attempt=2), dataset)
    assert second.names() == ["café & crème", "search/0000.json"]
    assert second.get("search/0000.json") == b"two"
    other_job = open_checkpoints(store, KEYS, mean.config(uid="uid-2"), dataset)
    assert other_job.names() == []


def test_checkpoints_are_hidden_if_data_or_specification_differ(dataset: Dataset) -> None:
    usual = digest_of(mean.config(), dataset)
    grown = mean.config(attempt=3, resources={"limits": {"memory": "8Gi"}}, workers=2)
    assert digest_of(grown, dataset) == usual
    others = [
        digest_of(mean.config(parameters={"num_leaves": 3}), dataset),
        digest_of(mean.config(split={"seed": 1}), dataset),
        digest_of(mean.config(search={"trials": 3}), dataset),
        digest_of(mean.config(), replace(dataset, holdout_digest="sha256:" + "b" * 64)),
        digest_of(mean.config(), replace(dataset, origin=replace(dataset.origin, digest="sha256:" + "b" * 64))),
    ]
    assert len({usual, *others}) == 6


@pytest.mark.parametrize("name", ["", ".hidden", "x" * 201, "é" * 50])
def test_an_invalid_checkpoint_name_is_refused(store: FolderStore, dataset: Dataset, name: str) -> None:
    with pytest.raises(ValueError, match="use a digest of the name"):
        open_checkpoints(store, KEYS, mean.config(), dataset).put(name, b"")


def test_checkpoints_are_no_run_and_are_removed_completely(
    store: FolderStore, dataset: Dataset, tmp_path: Path
) -> None:
    uid = mean.config().uid
    folder = begin_run(store, KEYS, uid, 1)
    for config in (mean.config(), mean.config(parameters={"a": 1})):
        open_checkpoints(store, KEYS, config, dataset).put("manifest.json", b"{}")
    assert find_finished(store, KEYS, uid) is None
    remove_checkpoints(store, KEYS, uid)
    remove_checkpoints(store, KEYS, uid)
    assert store.children(KEYS.runs(uid)) == ["1"]
    assert store.children(folder) == ["started.json"]
    assert not list((tmp_path / "store").rglob(".writing-*"))


def test_a_refused_removal_is_no_failure(tmp_path: Path, dataset: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    class WriteOnly(FolderStore):
        def remove(self, keys: Sequence[str]) -> None:
            raise NotPermitted(f"removing {keys[0]}: refused")

    store = WriteOnly(tmp_path, "pvc://models/all")
    open_checkpoints(store, KEYS, mean.config(), dataset).put("a", b"1")
    caplog.set_level("INFO", "trainyard")
    remove_checkpoints(store, KEYS, mean.config().uid)
    assert "could not be removed" in caplog.text
