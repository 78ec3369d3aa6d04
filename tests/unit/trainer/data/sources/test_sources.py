"""Addresses are read as local files. Missing, forbidden and broken sources raise different errors."""

import hashlib
import io

import pytest
import requests
import tenacity
from botocore.exceptions import ClientError, EndpointConnectionError

from tests.unit.trainer.data.jobs import environment, job, write
from trainyard_api.exit_codes import ExitCode
from trainyard_trainer.data.sources.buckets import S3Store
from trainyard_trainer.data.sources.files import Ways, fetch
from trainyard_trainer.data.sources.pages import Http
from trainyard_trainer.errors import (
    ConfigError,
    InputMissing,
    Interrupted,
    NotPermitted,
    ScriptFailed,
    TrainerError,
    UpstreamUnavailable,
)

BODY = b"a,y\n1,2\n"
LARGE = b"x" * 10_000_000


def never():
    return False


def after(calls):
    """Return a stop function that returns True after this many calls."""
    left = iter([False] * calls)
    return lambda: next(left, True)


class Pages(requests.adapters.BaseAdapter):
    """A transport that returns the responses of a list, and repeats the last one."""

    def __init__(self, *responses):
        super().__init__()
        self.responses, self.asked = list(responses), 0

    def send(self, request, **_):
        self.asked += 1
        reply = self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]
        if isinstance(reply, Exception):
            raise reply
        status, headers, body = reply
        response = requests.Response()
        response.status_code, response.url, response.request = status, request.url, request
        response.headers.update(headers)
        response.raw = io.BytesIO(body)
        return response

    def close(self):
        pass

    def http(self):
        session = requests.Session()
        session.mount("https://", self)
        return Http(lambda: session, wait=tenacity.wait_none())


class Bucket:
    """A boto3 client of a bucket with one object."""

    def __init__(self, error=None, bucket_exists=True):
        self.error, self.bucket_exists = error, bucket_exists

    def download_file(self, bucket, key, target, Callback):  # noqa: N803 - boto3's name
        if self.error:
            raise self.error
        if (bucket, key) != ("sales", "a/b#1.csv"):
            raise ClientError({"Error": {"Code": "404"}, "ResponseMetadata": {"HTTPStatusCode": 404}}, "HeadObject")
        with open(target, "wb") as file:  # noqa: PTH123 - as boto3 does
            file.write(BODY)
        Callback(len(BODY))

    def get_object(self, Bucket, Key):  # noqa: N803, ARG002 - boto3's names
        code = "NoSuchKey" if self.bucket_exists else "NoSuchBucket"
        raise ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 404}}, "GetObject")


def ways(env, client=Bucket, http=None):
    return Ways(env, S3Store(client), http or Http())


def refused(code, status):
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "HeadObject")


def test_s3_is_copied_hashed_and_cleaned_up(tmp_path):
    env = environment(tmp_path)
    with fetch(job("s3://sales/a/b#1.csv"), env, never, ways(env)) as source:
        assert source.files[0].path.read_bytes() == BODY
        assert (source.files[0].name, source.size_bytes) == ("b#1.csv", len(BODY))
        assert source.digest == "sha256:" + hashlib.sha256(BODY).hexdigest()
    assert list(env.work_dir.iterdir()) == []


@pytest.mark.parametrize(
    ("client", "error", "words"),
    [
        (Bucket(), InputMissing, "s3://sales/gone.csv does not exist"),
        (Bucket(bucket_exists=False), InputMissing, "bucket 'sales'"),
        (Bucket(refused("403", 403)), NotPermitted, "refused"),
        (Bucket(EndpointConnectionError(endpoint_url="http://s3")), UpstreamUnavailable, "does not respond"),
        (Bucket(refused("503", 503)), UpstreamUnavailable, "503"),
    ],
)
def test_s3_errors_name_what_is_wrong(tmp_path, client, error, words):
    with (
        pytest.raises(error) as caught,
        fetch(job("s3://sales/gone.csv"), environment(tmp_path), never, ways(environment(tmp_path), lambda: client)),
    ):
        pass
    assert words in str(caught.value)


def test_https_retries_until_the_response_is_complete(tmp_path):
    pages = Pages(
        requests.ConnectionError("reset"),
        (503, {}, b""),
        (200, {"Content-Length": str(len(BODY))}, BODY[:3]),
        (200, {"Content-Length": str(len(BODY))}, BODY),
    )
    env = environment(tmp_path)
    with fetch(job("https://data.example/t.csv"), env, never, ways(env, http=pages.http())) as source:
        assert source.files[0].path.read_bytes() == BODY
    assert pages.asked == 4


@pytest.mark.parametrize(
    ("reply", "error", "asked"),
    [
        ((404, {}, b""), InputMissing, 1),
        ((403, {}, b""), NotPermitted, 1),
        ((500, {}, b""), UpstreamUnavailable, 4),
        (requests.Timeout("slow"), UpstreamUnavailable, 4),
        ((302, {"Location": "http://data.example/t.csv"}, b""), NotPermitted, 1),
    ],
)
def test_https_errors_have_different_types(tmp_path, reply, error, asked):
    pages = Pages(reply)
    config, env = job("https://data.example/t.csv"), environment(tmp_path)
    with pytest.raises(TrainerError) as caught, fetch(config, env, never, ways(env, http=pages.http())):
        pass
    assert pages.asked == asked
    assert type(caught.value) is error
    assert "https://data.example/t.csv" in str(caught.value)


def test_a_stop_takes_effect_between_two_pieces(tmp_path):
    env = environment(tmp_path)
    (env.claims_dir / "lake").mkdir(parents=True)
    write(env.claims_dir / "lake", LARGE)
    pages = Pages((200, {"Content-Length": str(len(LARGE))}, LARGE))
    for uri, calls in (("s3://sales/a/b#1.csv", 0), ("https://data.example/t.csv", 5), ("pvc://lake/table.csv", 5)):
        with (
            pytest.raises(Interrupted, match=f"while reading data.uri {uri}"),
            fetch(job(uri), env, after(calls), ways(env, http=pages.http())) as source,
        ):
            assert source.digest
    assert list(env.work_dir.iterdir()) == []


def test_claims_are_read_in_place(tmp_path):
    env = environment(tmp_path)
    (env.claims_dir / "lake" / "in").mkdir(parents=True)
    path = write(env.claims_dir / "lake" / "in", BODY)
    with fetch(job("pvc://lake/in/table.csv"), env, never) as source:
        assert source.files[0].path == path


@pytest.mark.parametrize(
    ("uri", "error"),
    [
        ("pvc://lake/../other/table.csv", ConfigError),
        ("pvc://lake/link.csv", NotPermitted),
        ("pvc://lake/gone.csv", InputMissing),
        ("pvc://lake/folder", InputMissing),
        ("s3://bucket-only", ConfigError),
        ("s3://bucket/", ConfigError),
    ],
)
def test_invalid_addresses(tmp_path, uri, error):
    env = environment(tmp_path)
    (env.claims_dir / "lake" / "folder").mkdir(parents=True)
    outside = write(tmp_path, BODY, "outside.csv")
    (env.claims_dir / "lake" / "link.csv").symlink_to(outside)
    with pytest.raises(error) as caught, fetch(job(uri), env, never, ways(env)):
        pass
    assert uri in str(caught.value)


def test_every_error_has_an_exit_code():
    kinds = [kind for kind in TrainerError.__subclasses__() if kind is not ScriptFailed]  # its code is the script's own
    assert {kind.code for kind in kinds} == set(ExitCode) - {ExitCode.OK, ExitCode.KILLED}
