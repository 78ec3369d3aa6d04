"""However often a process dies between any two writes: one TrainingJob has one version, and it can be read."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.trainer.artifacts.runs import KEYS, Killed, KilledStore, manifest, train_and_register, write_output
from trainyard_trainer.artifacts.folder import FolderStore
from trainyard_trainer.artifacts.layout import MANIFEST
from trainyard_trainer.artifacts.manifest import FileEntry, fetch_file, parse_manifest
from trainyard_trainer.artifacts.runs import FinishedRun, begin_run, find_finished, finish_run
from trainyard_trainer.artifacts.versions import (
    VersionRecord,
    claim_version,
    find_version,
    newest_record,
    reserve_version,
    run_of,
    version_label,
)
from trainyard_trainer.errors import DataError, InputMissing, Unsupported

WRITES = 8
"""Marker, its proof, two files, manifest, intent, reservation, claim."""


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store", "file:///store")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return write_output(tmp_path / "output")


def claimed(store: FolderStore) -> list[VersionRecord]:
    names = store.children(KEYS.versions)
    bodies = [store.get(KEYS.version(int(name))) for name in names]
    return [VersionRecord.model_validate_json(body) for body in bodies if body is not None]


def assert_readable(store: FolderStore, record: VersionRecord, folder: Path) -> None:
    body = store.get(f"{record.run}/{MANIFEST}")
    assert body is not None
    for entry in parse_manifest(body, record.run).files:
        fetch_file(store, record.run, entry, folder)


def test_the_number_of_writes_matches_the_property_test(store: FolderStore, output: Path) -> None:
    counting = KilledStore(store, at=-1, after=False)
    assert train_and_register(counting, "uid", 1, output).version == 1
    assert counting.writes == WRITES


deaths = st.lists(
    st.tuples(
        st.integers(0, WRITES - 1),
        st.booleans(),  # after the write instead of before it
        st.booleans(),  # the next try is a new attempt, not a new pod of this one
        st.booleans(),  # another job of the model registers before the next try
    ),
    max_size=6,
)


@settings(deadline=None, max_examples=60)
@given(deaths)
def test_one_version_wherever_a_process_dies(deaths: list[tuple[int, bool, bool, bool]]) -> None:
    with TemporaryDirectory() as scratch:
        output = write_output(Path(scratch) / "output")
        store = FolderStore(Path(scratch) / "store", "file:///store")
        attempt, others = 1, 0
        for at, after, next_attempt, other in deaths:
            try:
                train_and_register(KilledStore(store, at, after=after), "uid", attempt, output)
            except Killed:
                attempt += next_attempt
            if other:
                others += 1
                train_and_register(store, f"other-{others}", 1, output)
        record = train_and_register(store, "uid", attempt, output)
        assert train_and_register(store, "uid", attempt + 1, output) == record
        versions = claimed(store)
        assert [found for found in versions if found.job_uid == "uid"] == [record]
        assert len(versions) == others + 1
        assert [found.version for found in versions] == list(range(1, others + 2))
        assert_readable(store, record, Path(scratch) / "back")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(WRITES))
def test_a_complete_run_is_not_trained_again(store: FolderStore, output: Path, at: int, *, after: bool) -> None:
    with pytest.raises(Killed):
        train_and_register(KilledStore(store, at, after=after), "uid", 1, output)
    complete = find_finished(store, KEYS, "uid")
    record = train_and_register(store, "uid", 2, output)
    assert (complete is not None) == (at > 4 or (at == 4 and after))
    assert record.run.endswith("/1" if complete else "/2")


def test_parallel_jobs_get_different_numbers(store: FolderStore, output: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        records = list(pool.map(lambda n: train_and_register(store, f"uid-{n}", 1, output), range(8)))
    assert sorted(record.version for record in records) == list(range(1, 9))


def test_two_concurrent_pods_of_one_job_register_one_version(store: FolderStore, output: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        records = list(pool.map(lambda _: train_and_register(store, "uid", 1, output), range(8)))
    assert len(set(records)) == 1
    assert claimed(store) == records[:1]


def test_an_intent_is_void_if_another_job_has_its_number(store: FolderStore, output: Path) -> None:
    with pytest.raises(Killed):  # after the intent, before the reservation
        train_and_register(KilledStore(store, 5, after=True), "uid", 1, output)
    assert train_and_register(store, "other", 1, output).version == 1
    assert find_version(store, KEYS, "uid") is None
    assert train_and_register(store, "uid", 1, output).version == 2
    found = find_version(store, KEYS, "uid")
    assert found is not None
    assert found[0].version == 2


def test_a_reserved_number_is_kept_for_its_job(store: FolderStore, output: Path) -> None:
    number = reserve_version(store, KEYS, "uid")
    assert train_and_register(store, "other", 1, output).version == number + 1
    assert find_version(store, KEYS, "uid") is None
    newest = newest_record(store, KEYS)
    assert newest is not None
    assert newest.version == number + 1
    assert reserve_version(store, KEYS, "uid") == number
    assert train_and_register(store, "uid", 1, output).version == number
    assert reserve_version(store, KEYS, "uid") == number


def test_without_claims_there_is_no_newest_version(store: FolderStore) -> None:
    reserve_version(store, KEYS, "uid")
    assert newest_record(store, KEYS) is None


def test_while_two_jobs_reserve_each_finds_its_own_version(store: FolderStore, output: Path) -> None:
    """The intent of one job for the number of another does not hide the version of the other job."""
    assert store.put_if_absent(KEYS.intent("uid", 1), b'{"version":1}')
    assert reserve_version(store, KEYS, "other") == 1
    record = train_and_register(store, "uid", 1, output)
    assert record.version == 2
    assert train_and_register(store, "uid", 2, output) == record


def test_a_reserved_number_taken_by_an_older_release_is_an_error(store: FolderStore, output: Path) -> None:
    number = reserve_version(store, KEYS, "uid")
    older = VersionRecord(
        version=number, label="v", job_uid="older", run="r", manifest_sha256="0" * 64, claimed_at="2026-11-21"
    )
    assert store.put_if_absent(KEYS.version(number), older.model_dump_json(by_alias=True).encode())
    named = manifest("uid", 1, []).model_copy(update={"version": number})
    with pytest.raises(DataError, match="a trainer of an older release took version 1"):
        claim_version(store, KEYS, "uid", finish_run(store, begin_run(store, KEYS, "uid", 1), named))
    unnamed = finish_run(store, begin_run(store, KEYS, "uid-2", 1), manifest("uid-2", 1, []))
    assert claim_version(store, KEYS, "uid-2", unnamed).version == 3, "a run without a number gets the next one"


def test_the_later_of_two_concurrent_pods_reports_the_registered_run(store: FolderStore) -> None:
    first, second = (finish_run(store, begin_run(store, KEYS, "uid", 1), manifest("uid", n, [])) for n in (1, 2))
    record = claim_version(store, KEYS, "uid", first)
    assert claim_version(store, KEYS, "uid", second) == record
    assert run_of(store, record, second) == first


def test_a_replacement_pod_gets_its_own_folder(store: FolderStore) -> None:
    folders = [begin_run(store, KEYS, "uid", 3) for _ in range(3)]
    assert [folder.rsplit("/", 1)[1] for folder in folders] == ["3", "3-2", "3-3"]


def test_a_version_with_a_missing_manifest_is_not_registered_again(
    store: FolderStore, output: Path, tmp_path: Path
) -> None:
    record = train_and_register(store, "uid", 1, output)
    (tmp_path / "store" / record.run / MANIFEST).unlink()
    with pytest.raises(InputMissing, match=r"version 1 is registered, but .* is missing"):
        train_and_register(store, "uid", 2, output)


def test_a_changed_manifest_is_an_error(store: FolderStore, output: Path, tmp_path: Path) -> None:
    record = train_and_register(store, "uid", 1, output)
    path = tmp_path / "store" / record.run / MANIFEST
    path.write_text(path.read_text().replace('"mae":1.5', '"mae":0.5'))
    with pytest.raises(DataError, match="was changed after version 1 was registered"):
        find_version(store, KEYS, "uid")


def test_a_changed_file_is_refused_and_removed(store: FolderStore, output: Path, tmp_path: Path) -> None:
    record = train_and_register(store, "uid", 1, output)
    (tmp_path / "store" / record.run / "model.txt").write_text("tree\n" * 99 + "evil\n")
    with pytest.raises(DataError, match="changed after registration"):
        assert_readable(store, record, tmp_path / "back")
    assert not (tmp_path / "back/model.txt").exists()


def test_a_manifest_cannot_point_outside_its_run() -> None:
    with pytest.raises(ValueError, match="inside the run's folder"):
        FileEntry(path="../../etc/passwd", size=1, sha256="0" * 64)


def test_the_label_sorts_by_time_and_names_the_manifest() -> None:
    run = FinishedRun("f", manifest("uid", 1, []), "abcdef0123" + "0" * 54)
    assert version_label(run) == "v2026-11-21T07-30-00-042Z_abcdef01"


class UnconditionalStore(FolderStore):
    """A server that ignores the condition of a conditional write."""

    def put_if_absent(self, key: str, body: bytes) -> bool:
        super().put_if_absent(key, body)
        return True


def test_a_store_without_conditional_writes_is_refused_before_the_training(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="If-None-Match"):
        begin_run(UnconditionalStore(tmp_path, "file:///store"), KEYS, "uid", 1)
