"""Files of predictions: exactly one per run, whatever is killed, and readable by every reader of partitions."""

import csv
import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from tests.unit.trainer.artifacts.runs import Killed
from tests.unit.trainer.outputs.predictions import (
    FACTS,
    NEXT_DAY,
    OTHER,
    ROWS,
    RUN,
    SCHEMA,
    SERIES,
    DyingStore,
    forecasts,
    go_on,
    keys_of,
)
from trainyard_trainer.artifacts.folder import FolderStore
from trainyard_trainer.artifacts.manifest import sha256_of
from trainyard_trainer.errors import DataError, Interrupted, Unsupported, UpstreamUnavailable
from trainyard_trainer.outputs.base import Facts, Written
from trainyard_trainer.outputs.columns import PIECE, pieces
from trainyard_trainer.outputs.files import FileOutput, partition_value
from trainyard_trainer.outputs.local_files import Format, write_file

DATA = "as_of_date=2026-11-30/nightly-0b4e.parquet"


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store", "pvc://shop/predictions")


def output(store: FolderStore | DyingStore, folder: Path, form: Format = "Parquet") -> FileOutput:
    return FileOutput(store, form, folder / "work")


def test_a_run_is_one_file_one_manifest_and_a_marker(store: FolderStore, tmp_path: Path) -> None:
    one = output(store, tmp_path)
    one.check()
    assert one.finished(RUN) is None
    written = one.write(RUN, SCHEMA, forecasts(), FACTS, go_on)
    expected = Written(ROWS, "pvc://shop/predictions/as_of_date=2026-11-30", FACTS.as_of, 3, 1, RUN.version)
    assert (written, one.finished(RUN)) == (expected, expected)
    assert keys_of(store) == ([DATA], ["_runs/0b4e.json"])
    assert store.get("as_of_date=2026-11-30/_SUCCESS") == b""
    assert list((tmp_path / "work").iterdir()) == []
    manifest = json.loads(store.get("_runs/0b4e.json") or b"")
    body = store.get(DATA) or b""
    assert manifest == {
        "schemaVersion": 1,
        "run": {"uid": "0b4e", "name": "nightly", "namespace": "shop"},
        "model": "demand",
        "version": 7,
        "key": DATA,
        "rows": ROWS,
        "size": len(body),
        "sha256": sha256_of(body),
        "asOf": FACTS.as_of,
        "series": 3,
        "leftOut": 1,
        "format": "Parquet",
        "columns": [{"name": field.name, "type": str(field.type)} for field in SCHEMA],
    }


def test_the_folder_is_a_partitioned_dataset(store: FolderStore, tmp_path: Path) -> None:
    one = output(store, tmp_path)
    one.check()
    one.write(RUN, SCHEMA, forecasts(), FACTS, go_on)
    one.write(OTHER, SCHEMA, forecasts(OTHER, NEXT_DAY), NEXT_DAY, go_on)
    table = pa.dataset.dataset(tmp_path / "store", partitioning="hive").to_table()
    assert (table.num_rows, set(table["as_of_date"].to_pylist())) == (2 * ROWS, {"2026-11-30", "2026-12-01"})
    assert table.filter(pa.compute.equal(table["as_of_date"], "2026-12-01"))["run"].unique().to_pylist() == ["77aa"]
    assert table.schema.field("as_of").type == pa.timestamp("us", "UTC")
    frame = pd.read_parquet(tmp_path / "store")
    assert len(frame) == 2 * ROWS
    assert pq.ParquetFile(tmp_path / "store" / DATA).metadata.row_group(0).column(0).compression == "ZSTD"


@pytest.mark.parametrize("facts", [FACTS, NEXT_DAY], ids=["same partition", "other partition"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_process_that_is_killed_at_any_call(tmp_path: Path, facts: Facts, after: bool) -> None:
    for at in itertools.count():
        store = FolderStore(tmp_path / str(at), "pvc://shop/predictions")
        try:
            output(DyingStore(store, at, after=after), tmp_path).write(RUN, SCHEMA, forecasts(), FACTS, go_on)
        except Killed:
            pass
        else:
            break
        committed = store.get("_runs/0b4e.json") is not None
        again = output(store, tmp_path)
        written = again.finished(RUN) or again.write(RUN, SCHEMA, forecasts(RUN, facts), facts, go_on)
        valid = FACTS if committed else facts
        data, manifests = keys_of(store)
        assert data == [f"as_of_date={partition_value(valid.as_of)}/nightly-0b4e.parquet"], at
        assert manifests == ["_runs/0b4e.json"]
        assert (written.rows, written.as_of) == (ROWS, valid.as_of)
        body = store.get(data[0]) or b""
        assert json.loads(store.get(manifests[0]) or b"")["sha256"] == sha256_of(body)
        assert store.get(data[0].rpartition("/")[0] + "/_SUCCESS") == b""
    assert at >= 7


@pytest.mark.parametrize("facts", [FACTS, NEXT_DAY], ids=["same partition", "other partition"])
def test_two_kills_in_a_row(tmp_path: Path, facts: Facts) -> None:
    for first, second in itertools.product(range(8), range(8)):
        store = FolderStore(tmp_path / f"{first}-{second}", "pvc://shop/predictions")
        for at, known in ((first, FACTS), (second, facts)):
            try:
                output(DyingStore(store, at, after=True), tmp_path).write(RUN, SCHEMA, forecasts(), known, go_on)
            except Killed:
                continue
        output(store, tmp_path).write(RUN, SCHEMA, forecasts(), FACTS, go_on)
        data, manifests = keys_of(store)
        assert (len(data), len(manifests)) == (1, 1), (first, second)


@pytest.mark.parametrize("facts", [FACTS, NEXT_DAY], ids=["same partition", "other partition"])
def test_an_old_process_of_the_same_run_that_still_writes(store: FolderStore, tmp_path: Path, facts: Facts) -> None:
    """The old process has read that there is no manifest, and predicts while the new one completes."""

    def slowly() -> Iterator[pa.Table]:
        output(store, tmp_path / "new").write(RUN, SCHEMA, forecasts(RUN, facts), facts, go_on)
        yield from list(forecasts(OTHER))[:2]

    output(store, tmp_path / "old").write(RUN, SCHEMA, slowly(), FACTS, go_on)
    data, manifests = keys_of(store)
    assert (len(data), len(manifests)) == (1, 1)
    manifest = json.loads(store.get(manifests[0]) or b"")
    assert (manifest["key"], manifest["sha256"]) == (data[0], sha256_of(store.get(data[0]) or b""))


def test_a_stop_between_two_tables_leaves_nothing(store: FolderStore, tmp_path: Path) -> None:
    def stop() -> None:
        raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        output(store, tmp_path).write(RUN, SCHEMA, forecasts(), FACTS, stop)
    assert keys_of(store) == ([], [])
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize("form", ["Parquet", "Csv"])
def test_no_rows(store: FolderStore, tmp_path: Path, form: Format) -> None:
    one = output(store, tmp_path, form)
    assert one.write(RUN, SCHEMA, iter(()), Facts(None), go_on).rows == 0
    data, _ = keys_of(store)
    today = {partition_value(None, datetime.now(UTC)), data[0].split("/")[0].partition("=")[2]}
    assert len(today) == 1
    path = tmp_path / "store" / data[0]
    frame = pd.read_parquet(path) if form == "Parquet" else pd.read_csv(path)
    assert list(frame.columns) == SCHEMA.names
    assert one.finished(RUN) == Written(0, store.address(data[0].split("/")[0]), version=RUN.version)


def test_csv_is_read_back_by_any_reader(store: FolderStore, tmp_path: Path) -> None:
    output(store, tmp_path, "Csv").write(RUN, SCHEMA, forecasts(), FACTS, go_on)
    path = tmp_path / "store/as_of_date=2026-11-30/nightly-0b4e.csv"
    with path.open(encoding="utf-8", newline="") as stream:
        header, *rows = list(csv.reader(stream))
    assert header == SCHEMA.names
    assert len(rows) == ROWS
    assert rows[0][:6] == ["bread", "2026-12-01T00:00:00+00:00", "2026-11-30T00:00:00+00:00", "1", "7", ""]
    assert {row[0] for row in rows} == set(SERIES)


def test_values_of_csv(tmp_path: Path) -> None:
    zone = pa.timestamp("us", "Europe/Berlin")
    table = pa.table(
        {
            "text": pa.array(["a,b", None, ""]),
            "category": pa.array(["x", None, "ä"]).dictionary_encode(),
            "time": pa.array(
                [datetime(2026, 7, 1, 12, tzinfo=UTC), None, datetime(2026, 7, 1, 12, 0, 0, 500, UTC)], zone
            ),
            "wall": pa.array([pd.Timestamp(2026, 7, 1, 12), None, None], pa.timestamp("ns")),
            "missing": pa.array([None] * 3, pa.timestamp("s")),
            "number": pa.array([0.1, None, float("inf")]),
        }
    )
    assert write_file(tmp_path / "file", "Csv", table.schema, [table]) == 3
    assert (tmp_path / "file").read_text() == (
        '"text","category","time","wall","missing","number"\n'
        '"a,b","x","2026-07-01T14:00:00+02:00","2026-07-01T12:00:00",,0.1\n'
        ",,,,,\n"
        '"","ä","2026-07-01T14:00:00.000500+02:00",,,inf\n'
    )


def test_values_that_csv_cannot_have(tmp_path: Path) -> None:
    schema = pa.schema([("shares", pa.list_(pa.float64()))])
    with pytest.raises(Unsupported, match="'shares'"):
        write_file(tmp_path / "file", "Csv", schema, [])


@pytest.mark.parametrize(
    ("as_of", "value"),
    [
        ("2026-11-30T00:00:00Z", "2026-11-30"),
        ("2026-11-30T00:00:00+01:00", "2026-11-30"),
        ("2026-11-30T13:00:00Z", "2026-11-30T130000Z"),
        ("2026-11-30T13:00:00+01:00", "2026-11-30T120000Z"),
        ("2026-11-30T13:00:00", "2026-11-30T130000Z"),
        ("2026-11-30T00:00:00.5Z", "2026-11-30T000000.500000Z"),
    ],
)
def test_values_of_the_partition(as_of: str, value: str) -> None:
    assert partition_value(as_of) == value


def test_small_tables_become_pieces_of_one_size() -> None:
    schema = pa.schema([("n", pa.int64())])
    sizes = [1, 2, PIECE - 3, 0, 5, 2 * PIECE + 7]
    starts = itertools.accumulate(sizes, initial=0)
    tables = [pa.table({"n": range(start, start + size)}, schema) for start, size in zip(starts, sizes, strict=False)]
    calls: list[None] = []
    found = list(pieces(tables, schema, lambda: calls.append(None)))
    assert [table.num_rows for table in found] == [PIECE, PIECE, PIECE, 12]
    assert pa.concat_tables(found)["n"].to_pylist() == list(range(sum(sizes)))
    assert len(calls) == len(sizes)


def test_a_manifest_that_is_not_ours(store: FolderStore, tmp_path: Path) -> None:
    store.put_if_absent("_runs/0b4e.json", b'{"rows": 3}')
    with pytest.raises(DataError, match=r"pvc://shop/predictions/_runs/0b4e\.json"):
        output(store, tmp_path).finished(RUN)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    with pytest.raises(UpstreamUnavailable, match="pvc://shop/predictions"):
        output(FolderStore(tmp_path / "store", "pvc://shop/predictions"), tmp_path).check()


def test_a_store_without_conditional_writes(store: FolderStore, tmp_path: Path) -> None:
    class Forgetful(FolderStore):
        def put_if_absent(self, key: str, body: bytes) -> bool:
            self.replace(key, body)
            return True

    with pytest.raises(Unsupported, match="If-None-Match"):
        FileOutput(Forgetful(tmp_path / "store", "pvc://x"), "Parquet", tmp_path).check()


@pytest.mark.parametrize("form", ["Parquet", "Csv"])
def test_memory_does_not_grow_with_the_number_of_tables(tmp_path: Path, form: Format) -> None:
    schema = pa.schema([("prediction", pa.float64())])
    pool = pa.default_memory_pool()
    used: list[int] = []

    def tables() -> Iterator[pa.Table]:
        for _ in range(40):
            used.append(pool.bytes_allocated())
            yield pa.table({"prediction": pa.array(range(100_000), pa.float64())}, schema)

    assert write_file(tmp_path / "file", form, schema, pieces(tables(), schema, go_on)) == 4_000_000
    assert max(used[20:]) <= max(used[:20]) + 2 * 8 * 100_000
