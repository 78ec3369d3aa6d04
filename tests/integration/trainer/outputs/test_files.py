"""Files of predictions on a real S3 server: exactly one per run, whatever is killed."""

import itertools
import json
from pathlib import Path

import pytest

from tests.integration.trainer.object_store import BUCKET, ObjectStore
from tests.unit.trainer.artifacts.runs import Killed
from tests.unit.trainer.outputs.predictions import (
    FACTS,
    NEXT_DAY,
    ROWS,
    RUN,
    SCHEMA,
    DyingStore,
    forecasts,
    go_on,
    keys_of,
)
from trainyard_trainer.artifacts.manifest import sha256_of
from trainyard_trainer.artifacts.s3 import S3Store
from trainyard_trainer.credentials import s3_client
from trainyard_trainer.errors import InputMissing, NotPermitted
from trainyard_trainer.outputs.base import Facts, Written
from trainyard_trainer.outputs.files import FileOutput, partition_value


@pytest.mark.parametrize("facts", [FACTS, NEXT_DAY], ids=["same partition", "other partition"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_process_that_is_killed_at_any_call(
    object_store: ObjectStore, tmp_path: Path, facts: Facts, after: bool
) -> None:
    client = object_store.client()
    for at in itertools.count():
        prefix = f"{tmp_path.name}-{at}"
        store = S3Store(client, f"s3://{BUCKET}/{prefix}")
        try:
            FileOutput(DyingStore(store, at, after=after), "Parquet", tmp_path).write(
                RUN, SCHEMA, forecasts(), FACTS, go_on
            )
        except Killed:
            pass
        else:
            break
        valid = FACTS if store.get("_runs/0b4e.json") else facts
        again = FileOutput(store, "Parquet", tmp_path)
        again.check()
        written = again.finished(RUN) or again.write(RUN, SCHEMA, forecasts(RUN, facts), facts, go_on)
        partition = f"as_of_date={partition_value(valid.as_of)}"
        assert written == Written(ROWS, f"s3://{BUCKET}/{prefix}/{partition}", valid.as_of, 3, 1, RUN.version)
        assert keys_of(store) == ([f"{partition}/nightly-0b4e.parquet"], ["_runs/0b4e.json"]), at
        body = store.get(f"{partition}/nightly-0b4e.parquet") or b""
        assert json.loads(store.get("_runs/0b4e.json") or b"")["sha256"] == sha256_of(body)
        assert store.get(f"{partition}/_SUCCESS") == b""
    assert at >= 7


def test_a_bucket_that_is_not_permitted(object_store: ObjectStore, tmp_path: Path) -> None:
    guest = s3_client(object_store.endpoint, None, object_store.guest_secret)
    with pytest.raises(NotPermitted, match=f"s3://{BUCKET}/shop"):
        FileOutput(S3Store(guest, f"s3://{BUCKET}/shop"), "Csv", tmp_path).check()


def test_a_bucket_that_does_not_exist(object_store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="nowhere"):
        FileOutput(S3Store(object_store.client(), "s3://nowhere/shop"), "Csv", tmp_path).check()
