"""Removal from a storage: nothing that is in use, whatever happens in the meantime.

After a crash, the next run completes it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.trainer.artifacts.runs import KEYS, Killed, write_output
from tests.unit.trainer.cli.upkeep.objects import STORAGE, job, keys_of, tomorrow, train, version
from trainyard_trainer.artifacts.backtests import BacktestKeys
from trainyard_trainer.artifacts.datasets import DatasetKeys
from trainyard_trainer.artifacts.folder import FolderStore
from trainyard_trainer.artifacts.layout import MANIFEST, STARTED
from trainyard_trainer.artifacts.runs import begin_run
from trainyard_trainer.artifacts.store import Stored
from trainyard_trainer.artifacts.versions import VersionRecord, newest_record, reserve_version
from trainyard_trainer.cli.upkeep.plan import plan
from trainyard_trainer.cli.upkeep.prune import Found, find_unused, remove, require_versions, unmark
from trainyard_trainer.cli.upkeep.rebuild import RebuildOptions, rebuild
from trainyard_trainer.cli.upkeep.usage import Usage
from trainyard_trainer.errors import ConfigError, DataError


class KilledRemoval(FolderStore):
    """Kills the process after a number of removed objects."""

    left = 10**9

    def remove(self, keys: Sequence[str]) -> None:
        for key in keys:
            if not self.left:
                raise Killed
            self.left -= 1
            super().remove([key])


@pytest.fixture
def store(tmp_path: Path) -> KilledRemoval:
    return KilledRemoval(tmp_path / "store", STORAGE.uri)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return write_output(tmp_path / "output")


def use(*objects: dict[str, Any]) -> Usage:
    return Usage.of(objects, KEYS.namespace)


def unused(store: FolderStore, usage: Usage, before: datetime | None = None) -> Found:
    (one,) = find_unused(store, [KEYS], usage, before or tomorrow())
    return one


def kinds_of(one: Found) -> list[tuple[str, int | None]]:
    return [(removal.what, removal.number) for removal in one.removals]


def prune(store: FolderStore, usage: Usage, meanwhile: Usage | None = None) -> list[str]:
    removed = remove(store, unused(store, usage), lambda: meanwhile or usage, tomorrow())
    return [one.folder for one in removed]


def test_used_objects_stay_and_others_are_removed(store: KilledRemoval, output: Path) -> None:
    first, second = (train(store, uid, output) for uid in ("uid-1", "uid-2"))
    before = keys_of(store)
    usage = use(version(second))
    assert kinds_of(unused(store, usage)) == [("version", 1), ("log", None), ("index", None)]
    assert keys_of(store) == before  # without a removal, nothing changes
    prune(store, usage)
    gone = before - keys_of(store)
    assert gone == {
        *(f"{first.run}/{name}" for name in (MANIFEST, STARTED, "model.txt", "report.html")),
        f"{KEYS.logs('uid-1')}/began-attempt-1-train.jsonl",
        KEYS.intent("uid-1", 1),
    }
    assert keys_of(store) - before == {KEYS.removed(1)}
    assert not unused(store, usage).removals


def test_a_version_number_is_never_used_again(store: KilledRemoval, output: Path) -> None:
    train(store, "uid-1", output)
    train(store, "uid-2", output)
    prune(store, use())
    assert newest_record(store, KEYS) is None
    assert train(store, "uid-3", output).version == 3
    newest = newest_record(store, KEYS)
    assert newest is not None
    assert newest.version == 3


def test_a_running_job_keeps_all_its_objects(store: KilledRemoval, output: Path) -> None:
    train(store, "uid-1", output)
    begin_run(store, KEYS, "uid-2", 1)
    store.replace(f"{KEYS.checkpoints('uid-2')}/digest/a", b"1")
    for phase in (None, "Queued", "Running", "Suspended", "PhaseOfALaterRelease"):
        assert not unused(store, use(job("uid-1", phase), job("uid-2", phase))).removals
    for phase in ("Succeeded", "Failed", "Cancelled"):
        left = kinds_of(unused(store, use(job("uid-1", phase), job("uid-2", phase))))
        assert left == [("version", 1), ("run", None), ("checkpoints", None)]  # the logs of an existing job stay


def test_new_objects_stay(store: KilledRemoval, output: Path) -> None:
    """One new object of a job keeps all of them, because the list of jobs may not contain the job yet."""
    train(store, "uid-1", output)
    assert not unused(store, use(), datetime.now(UTC) - timedelta(hours=1)).removals
    between = datetime.now(UTC) + timedelta(hours=1)
    objects = [
        Stored(f"{KEYS.run('uid', '1')}/{STARTED}", 9, between - timedelta(days=30)),
        Stored(f"{KEYS.run('uid', '1')}/model.txt", 9, between - timedelta(days=30)),
        Stored(f"{KEYS.checkpoints('uid')}/digest/a", 9, between + timedelta(seconds=1)),
    ]
    assert plan(KEYS, objects, {}, use(), between) == []
    assert len(plan(KEYS, objects[:2], {}, use(), between)) == 1


def test_a_deployment_keeps_versions_without_a_modelversion(store: KilledRemoval, output: Path) -> None:
    for number in range(1, 7):
        train(store, f"uid-{number}", output)
    about = {"name": "serve", "namespace": KEYS.namespace}
    status = {"activeVersion": 1, "previousVersion": 2, "candidateVersion": 3}
    spec = {"modelName": KEYS.model, "version": {"policy": "Pinned", "pin": "4"}}
    serving = {"kind": "ModelDeployment", "metadata": about, "spec": spec, "status": status}
    numbers = [number for what, number in kinds_of(unused(store, use(serving))) if what == "version"]
    assert numbers == [5, 6]


def test_an_object_of_another_namespace_keeps_nothing(store: KilledRemoval, output: Path) -> None:
    record = train(store, "uid-1", output)
    elsewhere = version(record)
    elsewhere["metadata"]["namespace"] = "market"
    assert ("version", 1) in kinds_of(unused(store, use(elsewhere, job("uid-1", "Running", "market"))))


def test_the_storage_may_have_another_address(store: KilledRemoval, output: Path) -> None:
    record = train(store, "uid-1", output)
    assert not unused(store, use(version(record, base="s3://alias//models"))).removals


def test_datasets_and_foreign_files_are_never_removed(store: KilledRemoval, output: Path) -> None:
    folder = begin_run(store, DatasetKeys(KEYS.namespace, KEYS.model), "uid-1", 1)
    store.replace(f"{KEYS.base}/notes/mine.txt", b"1")
    store.replace(f"{KEYS.base}/README", b"1")
    train(store, "uid-2", output)
    prune(store, use())
    assert keys_of(store) == {
        f"{folder}/{STARTED}",
        f"{KEYS.base}/notes/mine.txt",
        f"{KEYS.base}/README",
        KEYS.version(1),
        KEYS.reservation(1),
        KEYS.removed(1),
    }


def test_a_backtest_is_removed_if_its_job_is_gone(store: KilledRemoval) -> None:
    begin_run(store, BacktestKeys(KEYS.namespace, KEYS.model), "uid-1", 1)
    assert not unused(store, use(job("uid-1", "Succeeded"))).removals
    assert kinds_of(unused(store, use())) == [("backtest", None)]


def test_an_old_incomplete_file_is_removed(store: KilledRemoval, output: Path, tmp_path: Path) -> None:
    record = train(store, "uid-1", output)
    (tmp_path / "store" / record.run / ".writing-0123").write_bytes(b"half")
    usage = use(version(record))
    assert kinds_of(unused(store, usage)) == [("incomplete file", None)]
    assert not unused(store, usage, datetime.now(UTC) - timedelta(hours=1)).removals
    assert prune(store, usage) == [f"{record.run}/.writing-0123"]


def test_an_object_that_gets_used_in_the_meantime_stays(store: KilledRemoval, output: Path) -> None:
    records = [train(store, uid, output) for uid in ("uid-1", "uid-2")]
    before = keys_of(store)
    prune(store, use(), meanwhile=use(version(records[0]), job("uid-2", "Running")))
    assert keys_of(store) == before


def test_a_job_that_starts_in_the_meantime_stays(store: KilledRemoval, output: Path) -> None:
    train(store, "uid-1", output)
    checked = unused(store, use())

    def read_usage() -> Usage:
        train(store, "uid-2", output)
        return use()

    remove(store, checked, read_usage, tomorrow())
    assert {one.number for one in unused(store, use()).removals if one.what == "version"} == {2}


def test_nothing_is_removed_if_the_second_read_fails(store: KilledRemoval, output: Path) -> None:
    train(store, "uid-1", output)
    before = keys_of(store)

    def read_usage() -> Usage:
        raise DataError("no answer")

    with pytest.raises(DataError):
        remove(store, unused(store, use()), read_usage, tomorrow())
    assert before <= keys_of(store)


def test_a_restored_version_is_no_longer_marked_as_removed(store: KilledRemoval, output: Path) -> None:
    record = train(store, "uid-1", output)
    store.put_if_absent(KEYS.removed(1), b"{}")
    usage = use(version(record))
    assert unmark(store, unused(store, usage), usage) == [1]
    assert newest_record(store, KEYS) == record


@pytest.mark.parametrize("dies_at", range(12))
def test_a_crash_leaves_no_manifest_of_missing_files(store: KilledRemoval, output: Path, dies_at: int) -> None:
    for uid in ("uid-1", "uid-2", "uid-3"):
        kept = train(store, uid, output)
    usage = use(version(kept))
    store.left = dies_at
    with pytest.raises(Killed):  # there are 12 objects to remove
        prune(store, usage)
    store.left = 10**9
    assert_consistent(store, kept)
    prune(store, usage)
    assert_consistent(store, kept)
    assert not unused(store, usage).removals
    assert [one.state for one in rebuild(store, [KEYS], RebuildOptions(STORAGE))] == ["Removed", "Removed", "Good"]


def assert_consistent(store: FolderStore, kept: VersionRecord) -> None:
    """Check that every manifest has its files, and that every version is complete or marked as removed."""
    keys = keys_of(store)
    for key in keys:
        if key.endswith(f"/{MANIFEST}"):
            run = key.removesuffix(f"/{MANIFEST}")
            assert {f"{run}/model.txt", f"{run}/report.html", f"{run}/{STARTED}"} <= keys
    states = [one.state for one in rebuild(store, [KEYS], RebuildOptions(STORAGE))]
    assert states == ["Removed", "Removed", "Good"]
    assert newest_record(store, KEYS) == kept


def test_an_unreadable_claim_keeps_all_of_its_model(store: KilledRemoval, output: Path, tmp_path: Path) -> None:
    train(store, "uid-1", output)
    (tmp_path / "store" / KEYS.version(1)).write_text("{")
    one = unused(store, use())
    assert not one.removals
    assert "version.json cannot be read" in one.fault
    assert "nothing of shop/demand is removed" in one.fault


def test_a_cluster_without_versions_is_refused(store: KilledRemoval, output: Path) -> None:
    reserve_version(store, KEYS, "uid-1")
    record = train(store, "uid-2", output)
    require_versions(store, [KEYS], use(version(record)), "shop")
    with pytest.raises(ConfigError, match="restore or import them first"):
        require_versions(store, [KEYS], use(job("uid-1", "Running")), "shop")
    store.put_if_absent(KEYS.removed(1), b"{}")
    store.put_if_absent(KEYS.removed(2), b"{}")
    require_versions(store, [KEYS], use(), "shop")


def test_an_object_with_unknown_usage_stops_the_removal() -> None:
    about = {"name": "demand-v1", "namespace": KEYS.namespace}
    with pytest.raises(DataError, match="ModelVersion demand-v1 does not say which artifact it has"):
        use({"kind": "ModelVersion", "metadata": about, "spec": {"model": "demand", "version": 1}})
    with pytest.raises(DataError, match="TrainingJob demand-v1 has no uid"):
        use({"kind": "TrainingJob", "metadata": about})
