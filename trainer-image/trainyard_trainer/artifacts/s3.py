"""Artifacts in an S3 bucket. Conditional writes (``If-None-Match: *``) decide between concurrent writers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from trainyard_trainer.artifacts.store import MODEL_STORAGE, Naming, Stored
from trainyard_trainer.credentials import translate_s3_error
from trainyard_trainer.errors import ConfigError, InputMissing

_PART_BYTES: Final = 64 * 1024 * 1024
_TRANSFER = TransferConfig(multipart_threshold=_PART_BYTES, multipart_chunksize=_PART_BYTES, max_concurrency=2)
_DELETED_AT_ONCE: Final = 1000
"""Maximum number of keys per S3 request."""

_TEXT = {"ContentType": "application/json"}
_TYPES = {".html": "text/html; charset=utf-8", ".json": "application/json", ".txt": "text/plain; charset=utf-8"}

_LOST = {"PreconditionFailed", "412"}
_CONFLICT = {"ConditionalRequestConflict", "409"}
_ABSENT = {"NoSuchKey", "404", "NotFound"}
_REFUSED = {"AccessDenied", "403", "Forbidden"}


class _WriteConflictError(Exception):
    """Two concurrent writers (409): the result is not decided yet, so try again."""


class S3Store:
    """Keys below ``s3://bucket/prefix``.

    Parameters
    ----------
    encryption
        The value of ``ServerSideEncryption`` (``AES256``, ``aws:kms``); empty means the default of the bucket.
    kms_key
        The key for ``aws:kms``; empty means the default of the account.
    """

    def __init__(
        self, client: Any, uri: str, encryption: str = "", kms_key: str = "", naming: Naming = MODEL_STORAGE
    ) -> None:
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        if not bucket:
            raise ConfigError(f"{naming.field} {uri} has no bucket: write s3://<bucket>/<prefix>")
        self._naming = naming
        self._client = client
        self._bucket = bucket
        self._prefix = prefix.strip("/")
        wanted = {"ServerSideEncryption": encryption, "SSEKMSKeyId": kms_key}
        self._encryption = {name: value for name, value in wanted.items() if value}

    def address(self, key: str) -> str:
        """Return ``s3://bucket/prefix/key``."""
        return f"s3://{self._bucket}/{self._key(key)}"

    def put_file(self, key: str, source: Path) -> None:
        """Upload a file, above 64 MiB in parts."""
        content_type = _TYPES.get(source.suffix, "application/octet-stream")
        with self._errors("writing", key), source.open("rb") as stream:
            self._client.upload_fileobj(
                stream,
                self._bucket,
                self._key(key),
                ExtraArgs={"ContentType": content_type, **self._encryption},
                Config=_TRANSFER,
            )

    def put_if_absent(self, key: str, body: bytes) -> bool:
        """Put with ``If-None-Match: *``. 412 means that the key exists; 409 is tried again."""
        retrying = Retrying(
            retry=retry_if_exception_type(_WriteConflictError),
            wait=wait_random_exponential(multiplier=0.05, max=2),
            stop=stop_after_attempt(10),
            reraise=True,
        )
        with self._errors("writing", key):
            try:
                return retrying(self._conditional_put, key, body)
            except _WriteConflictError as conflict:
                raise conflict.__cause__ or conflict from None

    def _conditional_put(self, key: str, body: bytes) -> bool:
        try:
            self._client.put_object(
                Bucket=self._bucket, Key=self._key(key), Body=body, IfNoneMatch="*", **_TEXT, **self._encryption
            )
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _LOST:
                return False
            if code in _CONFLICT:
                raise _WriteConflictError from error
            raise
        return True

    def replace(self, key: str, body: bytes) -> None:
        """Put without a condition."""
        with self._errors("writing", key):
            self._client.put_object(Bucket=self._bucket, Key=self._key(key), Body=body, **self._encryption)

    def remove(self, keys: Sequence[str]) -> None:
        """Delete a thousand objects per request."""
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            some = [{"Key": self._key(key)} for key in keys[start : start + _DELETED_AT_ONCE]]
            with self._errors("removing", keys[start]):
                response = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": some, "Quiet": True})
                if response.get("Errors"):
                    raise ClientError({"Error": response["Errors"][0]}, "DeleteObjects")

    def get(self, key: str) -> bytes | None:
        """Read a whole object."""
        with self._errors("reading", key):
            try:
                body: bytes = self._client.get_object(Bucket=self._bucket, Key=self._key(key))["Body"].read()
            except ClientError as error:
                if self._is_absent(error, key):
                    return None
                raise
        return body

    def download(self, key: str, target: Path) -> None:
        """Download an object, large ones in parts."""
        with self._errors("reading", key), target.open("wb") as stream:
            try:
                self._client.download_fileobj(self._bucket, self._key(key), stream, Config=_TRANSFER)
            except ClientError as error:
                if error.response["Error"]["Code"] in _REFUSED and self._is_absent(error, key):
                    raise InputMissing(f"reading {self._naming.name}: {self.address(key)} does not exist") from error
                raise

    def size(self, key: str) -> int | None:
        """Return the size, read with HEAD."""
        with self._errors("reading", key):
            try:
                return int(self._client.head_object(Bucket=self._bucket, Key=self._key(key))["ContentLength"])
            except ClientError as error:
                if self._is_absent(error, key):
                    return None
                raise

    def children(self, prefix: str) -> list[str]:
        """List with a delimiter, page by page."""
        start = self._key(prefix) + "/" if prefix else self._key("")
        names: set[str] = set()
        with self._errors("listing", prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=start, Delimiter="/"
            )
            for page in pages:
                names.update(item["Key"].removeprefix(start) for item in page.get("Contents", ()))
                names.update(item["Prefix"].removeprefix(start).rstrip("/") for item in page.get("CommonPrefixes", ()))
        return sorted(names - {""})

    def walk(self, prefix: str) -> Iterator[Stored]:
        """List without a delimiter, page by page."""
        with self._errors("listing", prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._key(prefix) + "/"
            )
            for page in pages:
                for item in page.get("Contents", ()):
                    if not item["Key"].endswith("/"):  # a folder marker of another tool
                        key = item["Key"].removeprefix(f"{self._prefix}/") if self._prefix else item["Key"]
                        yield Stored(key, int(item["Size"]), item["LastModified"])

    def _is_absent(self, error: ClientError, key: str) -> bool:
        """Return whether an error means that the object does not exist.

        A server may deny access to a missing object if the permission to list is limited to a prefix. Then a listing
        decides.
        """
        code = error.response["Error"]["Code"]
        if code in _REFUSED:
            found = self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._key(key), MaxKeys=1)
            return all(item["Key"] != self._key(key) for item in found.get("Contents", ()))
        return code in _ABSENT

    def _key(self, key: str) -> str:
        return f"{self._prefix}/{key}" if self._prefix else key

    @contextmanager
    def _errors(self, act: str, key: str) -> Iterator[None]:
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            raise translate_s3_error(error, f"{act} {self._naming.name}", self.address(key)) from error
