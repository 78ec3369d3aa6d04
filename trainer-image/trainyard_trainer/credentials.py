"""S3 clients from mounted Secrets, and conversion of S3 errors to messages with an exit code."""

import os
import re
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)

from trainyard_api.training import Storage
from trainyard_api.wire import TrainerConfig
from trainyard_trainer.environment import Environment
from trainyard_trainer.errors import ConfigError, InputMissing, NotPermitted, TrainerError, UpstreamUnavailable

ACCESS_KEY: Final = "AWS_ACCESS_KEY_ID"
SECRET_KEY: Final = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 - the name of a key
SESSION_TOKEN: Final = "AWS_SESSION_TOKEN"  # noqa: S105 - the name of a key
ENDPOINT_URL: Final = "AWS_ENDPOINT_URL"
REGION: Final = "AWS_REGION"
_KEYS = (ACCESS_KEY, SECRET_KEY, SESSION_TOKEN, ENDPOINT_URL, REGION)

CA_FILE: Final = "ca.crt"
"""Key of the Secret with trusted certificates, for a server with a private certificate authority."""

DEFAULT_REGION: Final = "us-east-1"
"""Servers other than AWS ignore the region, but a signature needs one."""

_REGIONS: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")
"""Variables in which a cloud sets the region of its pods."""

_CHECKSUMS = {"WhenRequired": "when_required", "WhenSupported": "when_supported"}

_MISSING = {"NoSuchBucket", "NoSuchKey", "404", "NotFound"}
_REFUSED = {
    "403",
    "AccessDenied",
    "AllAccessDisabled",
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "Forbidden",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
}
_IDENTITY = re.compile(r"User|Account|AccessKey|Credential|Signature|Token", re.IGNORECASE)
"""Error codes about the identity of the client, for any status. Some servers return 404 for a deleted access key."""
_FULL = ("Quota", "StorageFull", "InsufficientStorage")


def read_secret(folder: Path) -> dict[str, str]:
    """Return the known keys of a mounted Secret. Empty if none is mounted."""
    return {key: (folder / key).read_text().strip() for key in _KEYS if (folder / key).is_file()}


def s3_client(
    endpoint: str | None,
    region: str | None,
    secret_dir: Path,
    checksum_mode: str = "WhenRequired",
    *,
    requester_pays: bool = False,
) -> Any:
    """Return a boto3 client with limits on timeouts and retries.

    The specification has priority over the Secret, and the Secret over the environment. Without keys in the Secret, the
    credential chain of boto3 is used (the pod's identity on a cloud), in the same region. A custom endpoint uses
    path-style addresses, because few servers have a host name per bucket.
    """
    secret = read_secret(secret_dir)
    endpoint = endpoint or secret.get(ENDPOINT_URL) or None
    config = Config(
        connect_timeout=5,
        read_timeout=60,
        retries={"mode": "standard", "total_max_attempts": 4},
        request_checksum_calculation=_CHECKSUMS[checksum_mode],
        response_checksum_validation=_CHECKSUMS[checksum_mode],
        s3={"addressing_style": "path" if endpoint else "auto"},
    )
    location = region or secret.get(REGION) or next(filter(None, map(os.environ.get, _REGIONS)), DEFAULT_REGION)
    certificates = secret_dir / CA_FILE
    try:
        client = boto3.session.Session(region_name=location).client(
            "s3",
            endpoint_url=endpoint,
            verify=str(certificates) if certificates.is_file() else None,
            aws_access_key_id=secret.get(ACCESS_KEY),
            aws_secret_access_key=secret.get(SECRET_KEY),
            aws_session_token=secret.get(SESSION_TOKEN),
            config=config,
        )
    except ValueError as error:
        raise ConfigError(f"storage.endpoint {endpoint!r} is not a URL: write it as https://host:port") from error
    if requester_pays:
        for operation in ("GetObject", "HeadObject", "ListObjectsV2"):
            client.meta.events.register(f"provide-client-params.s3.{operation}", _pay)
    return client


def _pay(params: dict[str, Any], **_: Any) -> dict[str, Any]:
    return {**params, "RequestPayer": "requester"}


def storage_client(storage: Storage, env: Environment) -> Any:
    """Return the client that writes models."""
    return s3_client(storage.endpoint, storage.region, env.storage_secret_dir, storage.checksum_mode)


def data_client(config: TrainerConfig, env: Environment) -> Any:
    """Return the client that reads the data.

    With a separate Secret (``data.secretRef``), its endpoint is used if it has one. Otherwise the data has the endpoint
    of the models.
    """
    storage = config.spec.storage
    has_own_secret = bool(read_secret(env.data_secret_dir))
    secret_dir = env.data_secret_dir if has_own_secret else env.storage_secret_dir
    own_endpoint = read_secret(secret_dir).get(ENDPOINT_URL) if has_own_secret else None
    if storage is None or not storage.uri.startswith("s3://"):
        return s3_client(own_endpoint, None, secret_dir, requester_pays=bool(config.spec.data.requester_pays))
    return s3_client(
        own_endpoint or storage.endpoint,
        storage.region,
        secret_dir,
        storage.checksum_mode,
        requester_pays=bool(config.spec.data.requester_pays),
    )


def translate_s3_error(error: Exception, what: str, uri: str) -> TrainerError:
    """Convert an error of boto3 to an error with a message for the user.

    Parameters
    ----------
    what
        The action, e.g. ``"reading the data"``.
    uri
        The object or prefix of the request.
    """
    if isinstance(error, ClientError):
        return _translate_response(error, what, uri)
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return NotPermitted(
            f"{what}: no credentials for {uri}; set secretRef to a Secret with {ACCESS_KEY} and {SECRET_KEY}"
        )
    if isinstance(error, BotoConnectionError | HTTPClientError):
        return UpstreamUnavailable(f"{what}: the server of {uri} does not respond: {error}; check its endpoint")
    if isinstance(error, BotoCoreError):
        return ConfigError(f"{what}: {uri} cannot be used: {error}")
    return UpstreamUnavailable(f"{what}: {uri}: {type(error).__name__}: {error}")


def _translate_response(error: ClientError, what: str, uri: str) -> TrainerError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    bucket = uri.removeprefix("s3://").split("/", 1)[0]
    if code == "NoSuchBucket":
        return InputMissing(f"{what}: the bucket {bucket!r} of {uri} does not exist; create it or correct the address")
    if any(word in code for word in _FULL):
        return UpstreamUnavailable(f"{what}: the storage of {uri} is full or over its quota ({code}); free some space")
    if code in _REFUSED or _IDENTITY.search(code) or status in {401, 403}:
        return NotPermitted(
            f"{what}: access to {uri} was refused ({code or status}); check the keys in its Secret and their "
            "permissions"
        )
    if code in _MISSING or status == 404:
        return InputMissing(f"{what}: {uri} does not exist; check the bucket and the key")
    if status in {400, 405, 501}:
        return ConfigError(f"{what}: the server of {uri} refused the request: {error}")
    return UpstreamUnavailable(f"{what}: the server of {uri} returned {code or status}; try again later")
