"""Every kind of bad input with a real object store: the exit code, the reason, and a message with the position."""

from typing import Any

import pytest

from tests.integration.trainer.conftest import Upload
from tests.integration.trainer.object_store import BUCKET, DATA_BUCKET, free_port
from tests.integration.trainer.pod import Pod
from tests.integration.trainer.tables import forecast, regression, regression_csv, sales_csv

TABLES = {
    "other-columns.csv": b"a;b\n1;2\n" * 60,
    "text.csv": regression_csv().replace(b"\n", b"\n0.1,0.2,unknown\n", 1),
    "five.csv": b"\n".join(regression_csv().splitlines()[:6]),
    "empty.csv": b"",
    "quote.csv": regression_csv() + b'1.0,"2.0,3.0\n',
    "latin1.csv": regression_csv().replace(b"a,b,y", "a,größe,y".encode("latin-1")),
}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("other-columns.csv", ["'y'"]),
        ("text.csv", ["'y'", "unknown"]),
        ("five.csv", ["5 usable rows", "at least 30"]),
        ("empty.csv", ["empty"]),
        ("quote.csv", ["quote"]),
        ("latin1.csv", ["utf-8", "encoding"]),
    ],
)
def test_a_bad_table_is_refused_with_its_position(pod: Pod, upload: Upload, name: str, words: list[str]) -> None:
    ended = pod.run_here(regression(upload(f"bad/{name}", TABLES[name])))
    assert (ended.code, ended.result.reason) == (65, "BadData"), ended.result.message
    for word in (f"s3://{DATA_BUCKET}/bad/{name}", *words):
        assert word in (ended.result.message or "").lower()


def test_a_series_of_zeros_is_refused(pod: Pod, upload: Upload) -> None:
    ended = pod.run_here(forecast(upload("bad/zero.csv", sales_csv(bread=100, nothing=0))))
    assert (ended.code, ended.result.reason) == (65, "BadData"), ended.result.message
    for words in (f"s3://{DATA_BUCKET}/bad/zero.csv", "series 'nothing'", "column 'sold'", "zero"):
        assert words in (ended.result.message or "")


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"data": {"uri": "s3://no-such-bucket/x.csv", "target": "y"}}, 66, "s3://no-such-bucket/x.csv"),
        ({"data": {"uri": f"s3://{DATA_BUCKET}/no-such-key.csv", "target": "y"}}, 66, "no-such-key.csv"),
        ({"data": {"uri": "pvc://no-such-claim/x.csv", "target": "y"}}, 66, "no-such-claim"),
        ({"parameters": {"num_leafs": 3}}, 64, "num_leafs"),
        ({"framework": "Torch", "parameters": {"layers": 3}}, 64, "layers"),
        ({"objective": {"metric": "maee"}}, 64, "maee"),
    ],
)
def test_a_bad_specification_is_refused_with_its_exit_code(
    pod: Pod, upload: Upload, changes: dict[str, Any], code: int, said: str
) -> None:
    ended = pod.run_here(regression(upload("regression.csv", regression_csv()), **changes))
    assert ended.code == code, ended.result.message
    assert said in (ended.result.message or "")


def test_an_objective_is_checked_before_data_is_read(pod: Pod) -> None:
    ended = pod.run_here(regression("s3://no-such-bucket/x.csv", objective={"metric": "maee"}))
    assert (ended.code, ended.result.reason) == (64, "BadConfig"), ended.result.message


def test_a_missing_storage_bucket_is_reported(pod: Pod, upload: Upload) -> None:
    storage = {"uri": "s3://no-such-bucket/models", "endpoint": pod.store.endpoint}
    ended = pod.run_here(regression(upload("regression.csv", regression_csv()), storage=storage))
    assert (ended.code, ended.result.reason) == (66, "InputMissing")
    assert "the bucket 'no-such-bucket'" in (ended.result.message or "")


def test_storage_without_write_access_is_reported(pod: Pod, upload: Upload) -> None:
    pod.secret = pod.store.guest_secret
    ended = pod.run_here(regression(upload("regression.csv", regression_csv())))
    assert (ended.code, ended.result.reason) == (77, "NotPermitted")
    assert f"s3://{BUCKET}/pods" in (ended.result.message or "")


def test_storage_that_does_not_respond_is_reported(pod: Pod, upload: Upload) -> None:
    storage = {"uri": f"s3://{BUCKET}/x", "endpoint": f"http://127.0.0.1:{free_port()}"}
    ended = pod.run_here(regression(upload("regression.csv", regression_csv()), storage=storage))
    assert (ended.code, ended.result.reason) == (69, "UpstreamUnavailable")
