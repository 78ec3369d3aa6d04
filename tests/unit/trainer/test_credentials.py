"""S3 clients from Secrets, and errors of S3 as messages with the right exit code."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from tests.unit.trainer.job.mean import config, pod
from trainyard_api.exit_codes import ExitCode
from trainyard_api.training import Storage
from trainyard_trainer.credentials import data_client, s3_client, translate_s3_error


def refused(code: str, status: int) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject")


def secret(folder: Path, **values: str) -> Path:
    folder.mkdir(parents=True)
    for name, value in values.items():
        (folder / name).write_text(f"{value}\n")
    return folder


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (refused("NoSuchBucket", 404), ExitCode.INPUT_MISSING),
        (refused("NoSuchKey", 404), ExitCode.INPUT_MISSING),
        (refused("404", 404), ExitCode.INPUT_MISSING),
        (refused("AccessDenied", 403), ExitCode.NOT_PERMITTED),
        (refused("SignatureDoesNotMatch", 403), ExitCode.NOT_PERMITTED),
        (refused("InvalidAccessKeyId", 403), ExitCode.NOT_PERMITTED),
        (refused("403", 403), ExitCode.NOT_PERMITTED),
        (refused("XAdminUserNotFound", 404), ExitCode.NOT_PERMITTED),
        (refused("NoSuchUser", 404), ExitCode.NOT_PERMITTED),
        (refused("InvalidAccessKeyId", 404), ExitCode.NOT_PERMITTED),
        (refused("ExpiredToken", 400), ExitCode.NOT_PERMITTED),
        (refused("NoSuchVersion", 404), ExitCode.INPUT_MISSING),
        (refused("QuotaExceeded", 403), ExitCode.UPSTREAM_UNAVAILABLE),
        (refused("XMinioStorageFull", 507), ExitCode.UPSTREAM_UNAVAILABLE),
        (refused("SlowDown", 503), ExitCode.UPSTREAM_UNAVAILABLE),
        (refused("InternalError", 500), ExitCode.UPSTREAM_UNAVAILABLE),
        (refused("InvalidBucketName", 400), ExitCode.BAD_CONFIG),
        (refused("NotImplemented", 501), ExitCode.BAD_CONFIG),
        (EndpointConnectionError(endpoint_url="http://x"), ExitCode.UPSTREAM_UNAVAILABLE),
        (NoCredentialsError(), ExitCode.NOT_PERMITTED),
    ],
)
def test_every_error_has_a_code_and_names_the_address(error: Exception, code: ExitCode) -> None:
    translated = translate_s3_error(error, "reading the data", "s3://sales/daily.csv")
    assert translated.code == code
    assert "reading the data" in str(translated)
    assert "s3://sales/daily.csv" in str(translated)


def test_a_missing_bucket_is_named() -> None:
    error = translate_s3_error(refused("NoSuchBucket", 404), "writing", "s3://sales/a/b")
    assert "the bucket 'sales'" in str(error)


def test_the_specification_overrides_the_secret(tmp_path: Path) -> None:
    folder = secret(
        tmp_path / "s",
        AWS_ACCESS_KEY_ID="id",
        AWS_SECRET_ACCESS_KEY="key",
        AWS_ENDPOINT_URL="http://secret:1",
        AWS_REGION="eu-west-1",
    )
    assert s3_client("", "", folder).meta.endpoint_url == "http://secret:1"
    assert s3_client("", "", folder).meta.region_name == "eu-west-1"
    assert s3_client("http://spec:2", "eu-west-3", folder).meta.endpoint_url == "http://spec:2"
    assert s3_client("http://spec:2", "eu-west-3", folder).meta.region_name == "eu-west-3"


@pytest.mark.parametrize(
    ("variables", "region"),
    [
        ({}, "us-east-1"),
        ({"AWS_REGION": "eu-central-1"}, "eu-central-1"),
        ({"AWS_DEFAULT_REGION": "eu-north-1"}, "eu-north-1"),
        ({"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-north-1"}, "eu-central-1"),
        ({"AWS_REGION": ""}, "us-east-1"),
    ],
)
def test_the_region_of_the_cloud_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], region: str
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert s3_client(None, None, tmp_path).meta.region_name == region
    assert s3_client(None, "ap-south-1", tmp_path).meta.region_name == "ap-south-1"


def test_the_secret_may_contain_trusted_certificates(tmp_path: Path) -> None:
    folder = secret(tmp_path / "s", AWS_ACCESS_KEY_ID="id", AWS_SECRET_ACCESS_KEY="key")
    usual = s3_client("https://s3:1", None, folder)._endpoint.http_session._verify
    assert usual != str(folder / "ca.crt")
    (folder / "ca.crt").write_text("-----BEGIN CERTIFICATE-----\n")
    assert s3_client("https://s3:1", None, folder)._endpoint.http_session._verify == str(folder / "ca.crt")


@pytest.mark.parametrize("pays", [True, False])
def test_requester_pays(tmp_path: Path, *, pays: bool) -> None:
    folder = secret(tmp_path / "s", AWS_ACCESS_KEY_ID="id", AWS_SECRET_ACCESS_KEY="key")
    client = s3_client("http://s3:1", None, folder, requester_pays=pays)
    sent: list[dict[str, str]] = []

    def record(request: AWSRequest, **_: object) -> AWSResponse:
        sent.append(dict(request.headers))
        return AWSResponse(request.url, 200, {"Content-Length": "0"}, EmptyBody())

    client.meta.events.register("before-send.s3", record)
    client.head_object(Bucket="b", Key="k")
    client.list_objects_v2(Bucket="b")
    reported = [value for headers in sent for name, value in headers.items() if name.lower() == "x-amz-request-payer"]
    assert [text.decode() if isinstance(text, bytes) else text for text in reported] == (
        ["requester"] * 2 if pays else []
    )


class EmptyBody(io.BytesIO):
    """The empty body of a response."""

    def stream(self) -> Iterator[bytes]:
        yield b""


def test_data_is_read_with_its_own_secret_or_that_of_the_storage(tmp_path: Path) -> None:
    env = pod(tmp_path)
    storage = Storage(uri="s3://models", endpoint="http://storage:1")
    job = config(storage=storage)
    secret(env.storage_secret_dir, AWS_ACCESS_KEY_ID="of-storage", AWS_SECRET_ACCESS_KEY="x")
    client = data_client(job, env)
    assert client.meta.endpoint_url == "http://storage:1"
    assert client._request_signer._credentials.access_key == "of-storage"

    secret(
        env.data_secret_dir,
        AWS_ACCESS_KEY_ID="of-data",
        AWS_SECRET_ACCESS_KEY="x",
        AWS_ENDPOINT_URL="http://data:2",
    )
    client = data_client(job, env)
    assert client.meta.endpoint_url == "http://data:2"
    assert client._request_signer._credentials.access_key == "of-data"
