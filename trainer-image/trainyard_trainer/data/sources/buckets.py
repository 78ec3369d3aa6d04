"""Files of an object store: one by its key, or all below a prefix."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol


class ObjectStore(Protocol):
    """A protocol that reads objects into files. Errors are TrainerErrors that name the bucket and the key."""

    def download(self, bucket: str, key: str, target: Path, received: Callable[[int], None]) -> None:
        """Write the object to ``target``.

        ``received`` is called with the size of each piece. If it raises an error, the download ends.
        """
        ...

    def keys(self, bucket: str, prefix: str) -> list[str]:
        """Return all keys that start with ``prefix``."""
        ...


class S3Store:
    """The object store of ``s3://``. Its client is created on first use."""

    def __init__(self, make_client: Callable[[], Any]) -> None:
        self._make_client = make_client

    @functools.cached_property
    def _client(self) -> Any:
        return self._make_client()

    def download(self, bucket: str, key: str, target: Path, received: Callable[[int], None]) -> None:
        """Download ranges in parallel, with the retries of boto3."""
        import boto3.exceptions
        import botocore.exceptions

        from trainyard_trainer.credentials import translate_s3_error

        client = self._client
        try:
            try:
                client.download_file(bucket, key, str(target), Callback=received)
            except botocore.exceptions.ClientError as error:
                # download_file starts with HEAD, whose 404 has no body. GET shows whether the bucket or the key is
                # missing.
                if error.response["ResponseMetadata"].get("HTTPStatusCode") == 404:
                    client.get_object(Bucket=bucket, Key=key)["Body"].close()
                raise
        except (botocore.exceptions.BotoCoreError, boto3.exceptions.Boto3Error) as error:
            raise translate_s3_error(error, "reading the data", f"s3://{bucket}/{key}") from error
        except botocore.exceptions.ClientError as error:
            raise translate_s3_error(error, "reading the data", f"s3://{bucket}/{key}") from error

    def keys(self, bucket: str, prefix: str) -> list[str]:
        """Return all keys with the prefix, listed page by page."""
        import botocore.exceptions

        from trainyard_trainer.credentials import translate_s3_error

        try:
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            return [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            raise translate_s3_error(error, "listing the data", f"s3://{bucket}/{prefix}") from error
