"""Client of the API server over aiohttp: dicts in, dicts out, one session.

It is not a client library, for measured reasons: docs/decisions/0001-own-api-client.md.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
from prometheus_client import Counter
from yarl import URL

from trainyard_api import meta
from trainyard_operator.core.config import ClientLimits
from trainyard_operator.core.plan import Body
from trainyard_operator.kube.credentials import Credentials, CredentialsError
from trainyard_operator.kube.errors import (
    AlreadyExistsError,
    ApiError,
    AwayError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    ThrottledError,
    UnauthorizedError,
    UnavailableError,
)
from trainyard_operator.kube.port import Resource, TokenIdentity
from trainyard_operator.kube.ratelimit import TokenBucket
from trainyard_operator.kube.reach import SICK, Reach

REQUESTS = Counter(
    "trainyard_api_requests_total", "Requests to the API server; code 0: no response", ["verb", "resource", "code"]
)

TOKEN_REVIEWS = Resource("authentication.k8s.io", "v1", "tokenreviews")

JSON = "application/json"
DOCUMENT = "application/json, application/jwk-set+json"
"""Accepted content types of a document. The API server serves its keys only as the second one."""
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
TIMEOUT_SECONDS = 30.0
CONNECT_SECONDS = 10.0
THROTTLE_ATTEMPTS = 5
"""Maximum number of times that a request with response 429 is sent."""
THROTTLE_MAX_SECONDS = 10.0
THROTTLE_DEFAULT_SECONDS = 1.0
LIST_RESTARTS = 3
"""Maximum number of restarts of a list whose snapshot expired between two pages."""
MESSAGE_CHARS = 2000

Fence = Callable[[str], None]
"""Called before each write with its namespace. It raises an :class:`ApiError` if nothing may be written now."""

ERRORS: dict[int, type[ApiError]] = {
    400: InvalidError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    413: InvalidError,
    415: InvalidError,
    422: InvalidError,
    429: ThrottledError,
}


class KubeClient:
    """Client that implements :class:`~trainyard_operator.kube.port.KubePort`.

    Construct it inside a running event loop, and close it at the end. Every request first waits for the client-side
    rate limit. A response 429 is retried as the server's ``Retry-After`` says. Nothing else is retried: after a
    time-out, it is not known whether a write happened. The next reconcile of the caller decides better than a blind
    retry.
    """

    def __init__(
        self,
        credentials: Credentials,
        limits: ClientLimits,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        reach: Reach | None = None,
        fence: Fence = lambda _: None,
    ) -> None:
        """Create a client. ``reach`` records for each request whether the API server responded.

        ``fence`` is called just before the headers of a write are sent, because opening a connection may take time.
        """
        self._fence = fence
        self._server = credentials.server
        self._reach = reach if reach is not None else Reach(credentials.server)
        self._token = credentials.token
        self._bucket = TokenBucket(limits.qps, limits.burst)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, limit_per_host=limits.connections, ssl=credentials.tls if credentials.tls is not None else True
            ),
            timeout=aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=CONNECT_SECONDS),
            headers={"Accept": JSON, "User-Agent": meta.FIELD_MANAGER},
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=[_asking_fence()],
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def get(self, resource: Resource, namespace: str, name: str) -> Body:
        """Read one object."""
        return await self._call("get", resource, "GET", _path(resource, namespace, name))

    async def read(self, path: str) -> Body:
        """Return a document that is no object: an OpenAPI description, or the keys that sign tokens."""
        document = Resource("", "", path.strip("/").partition("/")[0])
        return await self._call("get", document, "GET", path, accept=DOCUMENT)

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        selector: str = "",
        fields: str = "",
        limit: int = 500,
    ) -> AsyncIterator[Body]:
        """Iterate over objects, page by page.

        If a snapshot expires between two pages (410), the list starts again. Objects may occur twice, and none is
        missed.
        """
        wanted = {"labelSelector": selector, "fieldSelector": fields}
        query = {"limit": str(limit), **{key: value for key, value in wanted.items() if value}}
        path = _path(resource, namespace)
        token, restarts = "", 0
        while True:
            page = f"{path}?{urlencode({**query, 'continue': token} if token else query)}"
            try:
                response = await self._call("list", resource, "GET", page)
            except ApiError as error:
                if error.status != HTTPStatus.GONE or not token or restarts == LIST_RESTARTS:
                    raise
                token, restarts = "", restarts + 1
                continue
            for item in response.get("items") or ():
                yield item
            token = response.get("metadata", {}).get("continue") or ""
            if not token:
                return

    async def create(self, resource: Resource, namespace: str, body: Body) -> Body:
        """Create an object and return it as stored. An unknown field is an error."""
        path = f"{_path(resource, namespace)}?fieldManager={meta.FIELD_MANAGER}&fieldValidation=Strict"
        return await self._call("create", resource, "POST", path, body, within=namespace)

    async def replace(self, resource: Resource, namespace: str, name: str, body: Body) -> Body:
        """Replace an object that has not changed since its ``metadata.resourceVersion``, and return it as stored."""
        path = f"{_path(resource, namespace, name)}?fieldManager={meta.FIELD_MANAGER}&fieldValidation=Strict"
        return await self._call("update", resource, "PUT", path, body, within=namespace)

    async def apply(self, resource: Resource, namespace: str, body: Body, *, force: bool) -> Body:
        """Apply a body on the server: create the object, or update the fields in the body."""
        query = f"fieldManager={meta.FIELD_MANAGER}&fieldValidation=Strict&force={str(force).lower()}"
        path = f"{_path(resource, namespace, body['metadata']['name'])}?{query}"
        return await self._call("apply", resource, "PATCH", path, body, content_type=APPLY_PATCH, within=namespace)

    async def patch_status(self, resource: Resource, namespace: str, name: str, patch: Body) -> Body:
        """Merge ``patch`` through ``/status``."""
        path = f"{_path(resource, namespace, name)}/status?fieldManager={meta.FIELD_MANAGER}"
        return await self._call("patch", resource, "PATCH", path, patch, content_type=MERGE_PATCH, within=namespace)

    async def annotate(
        self, resource: Resource, namespace: str, name: str, annotations: Mapping[str, str], *, resource_version: str
    ) -> Body:
        """Merge annotations into an object that is unchanged since ``resource_version``."""
        path = f"{_path(resource, namespace, name)}?fieldManager={meta.FIELD_MANAGER}"
        patch = {"metadata": {"resourceVersion": resource_version, "annotations": dict(annotations)}}
        return await self._call("patch", resource, "PATCH", path, patch, content_type=MERGE_PATCH, within=namespace)

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str, resource_version: str | None = None
    ) -> None:
        """Delete exactly the object with this uid. If it is gone, or if the name has another uid, this succeeds."""
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        options = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "preconditions": {key: value for key, value in preconditions.items() if value is not None},
            "propagationPolicy": "Foreground",
        }
        path = _path(resource, namespace, name)
        try:
            await self._call("delete", resource, "DELETE", path, options, within=namespace)
        except NotFoundError:
            return
        except ConflictError:
            if await self._uid(resource, namespace, name) == uid:
                raise

    async def _uid(self, resource: Resource, namespace: str, name: str) -> str | None:
        try:
            found = await self.get(resource, namespace, name)
        except NotFoundError:
            return None
        return str(found["metadata"]["uid"])

    async def review_token(self, token: str, audience: str) -> TokenIdentity | None:
        """Return the identity of ``token`` if it is valid for ``audience``, ``None`` otherwise."""
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [audience]},
        }
        response = await self._call("create", TOKEN_REVIEWS, "POST", _path(TOKEN_REVIEWS, None), review)
        status = response.get("status", {})
        audiences = tuple(status.get("audiences") or ())
        if not status.get("authenticated") or audience not in audiences:
            return None
        user = status.get("user", {})
        extra = {key: tuple(values) for key, values in (user.get("extra") or {}).items()}
        return TokenIdentity(user.get("username", ""), audiences, extra)

    async def _call(
        self,
        verb: str,
        resource: Resource,
        method: str,
        path: str,
        body: Body | None = None,
        *,
        content_type: str = JSON,
        accept: str = JSON,
        within: str | None = None,
    ) -> Body:
        """Send a request. ``within`` is the namespace of a write, which is passed to the fence."""
        url = URL(self._server + path, encoded=True)
        data = json.dumps(body, separators=(",", ":")).encode() if body is not None else None
        for attempt in range(1, THROTTLE_ATTEMPTS + 1):
            await self._bucket.take()
            status, retry_after, raw, started = 0, None, b"", self._reach.now()
            try:
                status, retry_after, raw = await self._send(
                    method, url, data, {**self._headers(data, content_type), "Accept": accept}, within
                )
            finally:
                REQUESTS.labels(verb, resource.plural, status).inc()
            if status < HTTPStatus.BAD_REQUEST:
                return _parsed(status, raw)
            error = self._judged(error_of(status, raw, retry_after), method, url, started)
            if status != HTTPStatus.TOO_MANY_REQUESTS or attempt == THROTTLE_ATTEMPTS:
                break
            wait = THROTTLE_DEFAULT_SECONDS if retry_after is None else retry_after
            await asyncio.sleep(min(wait, THROTTLE_MAX_SECONDS))
        raise error

    def _headers(self, data: bytes | None, content_type: str) -> dict[str, str]:
        try:
            token = self._token.current()
        except CredentialsError as error:
            raise UnauthorizedError(0, "NoToken", str(error)) from error
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if data is not None:
            headers["Content-Type"] = content_type
        return headers

    async def _send(
        self, method: str, url: URL, data: bytes | None, headers: dict[str, str], within: str | None
    ) -> tuple[int, float | None, bytes]:
        started = self._reach.now()
        ask = _FenceCheck(self._fence, within) if within is not None else None
        try:
            async with self._session.request(
                method, url, data=data, headers=headers, trace_request_ctx=ask
            ) as response:
                raw = await response.read()
        except TimeoutError as error:
            raise self._unanswered("Timeout", f"{method} {url.path}: no answer in time", started) from error
        except asyncio.CancelledError as error:
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise
            # when kopf ends, it cancels all younger tasks, including those in which aiohttp opens a connection
            raise UnavailableError(
                0, "Cancelled", f"{method} {url.path}: the connection attempt was cancelled"
            ) from error
        except aiohttp.ClientError as error:
            if ask is not None and ask.refusal is not None:
                raise ask.refusal from None
            message = f"{method} {url.path}: {error or type(error).__name__}"
            raise self._unanswered("NoConnection", message, started) from error
        if response.status not in SICK:
            self._reach.answered()
        return response.status, _seconds(response.headers.get("Retry-After")), raw

    def _unanswered(self, reason: str, message: str, started: float) -> UnavailableError:
        away = self._reach.failed(message, started)
        return (AwayError if away else UnavailableError)(0, reason, message)

    def _judged(self, error: ApiError, method: str, url: URL, started: float) -> ApiError:
        """Return the error, as :class:`AwayError` if the API server itself is unreachable."""
        if error.status in SICK and self._reach.failed(f"{method} {url.path}: {error}", started):
            return AwayError(error.status, error.reason, error.message, error.retry_after)
        return error


class _FenceCheck:
    """Calls the fence for one write, and keeps its error, because aiohttp reports it as a connection error."""

    def __init__(self, fence: Fence, namespace: str) -> None:
        self._fence = fence
        self._namespace = namespace
        self.refusal: Exception | None = None

    def __call__(self) -> None:
        """Call the fence. Raises its error."""
        try:
            self._fence(self._namespace)
        except Exception as error:
            self.refusal = error
            raise


def _asking_fence() -> aiohttp.TraceConfig:
    """Return a trace configuration that calls the fence as late as possible, after all waiting.

    The headers may be sent alone. Usually they are sent with the body, which a separate task writes. Other tasks run
    before that task, and the process may be paused in between. So the fence is called again right before the body is
    written.
    """

    async def about_to_send(_: aiohttp.ClientSession, context: SimpleNamespace, __: Any) -> None:
        if context.trace_request_ctx is not None:
            context.trace_request_ctx()

    config = aiohttp.TraceConfig()
    config.on_request_headers_sent.append(about_to_send)
    config.on_request_chunk_sent.append(about_to_send)
    return config


def _path(resource: Resource, namespace: str | None, name: str = "") -> str:
    within = f"/namespaces/{namespace}" if namespace is not None else ""
    return f"{resource.base}{within}/{resource.plural}" + (f"/{name}" if name else "")


def _seconds(text: str | None) -> float | None:
    """Parse ``Retry-After``. The API server sends seconds; the HTTP date form is ignored."""
    try:
        return max(0.0, float(text)) if text is not None else None
    except ValueError:
        return None


def _parsed(status: int, raw: bytes) -> Body:
    try:
        body: Any = json.loads(raw)
    except ValueError as error:
        raise UnavailableError(status, "NotJson", f"a response of {len(raw)} bytes is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise UnavailableError(status, "NotJson", "a response is not a JSON object")
    return body


def error_of(status: int, raw: bytes, retry_after: float | None = None) -> ApiError:
    """Return the error of an unsuccessful response.

    The body is a ``metav1.Status``, unless a proxy sent the response.
    """
    reason, message = "", ""
    try:
        body = json.loads(raw)
        reason, message = str(body.get("reason") or ""), str(body.get("message") or "")
    except (ValueError, AttributeError):
        message = raw[:MESSAGE_CHARS].decode("utf-8", "replace").strip()
    reason = reason or f"Http{status}"
    return _type_of(status, reason)(status, reason, message[:MESSAGE_CHARS], retry_after)


def _type_of(status: int, reason: str) -> type[ApiError]:
    if status == HTTPStatus.CONFLICT:
        return AlreadyExistsError if reason == "AlreadyExists" else ConflictError
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return UnavailableError
    return ERRORS.get(status, ApiError)
