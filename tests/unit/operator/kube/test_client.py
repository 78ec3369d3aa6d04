import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from tests.unit.operator.kube.scripted_api import (
    BROKEN,
    RecordedRequest,
    ScriptedApi,
    ScriptedResponse,
    failure,
    scripted_api,
)
from trainyard_operator.core.config import ClientLimits
from trainyard_operator.kube.client import THROTTLE_ATTEMPTS, KubeClient
from trainyard_operator.kube.credentials import Credentials, TokenFile
from trainyard_operator.kube.errors import (
    AlreadyExistsError,
    ApiError,
    AwayError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    NotHeldError,
    ThrottledError,
    UnauthorizedError,
    UnavailableError,
)
from trainyard_operator.kube.port import JOBS, MODEL_VERSIONS, PODS, TRAINING_JOBS, KubePort, TokenIdentity

LIMITS = ClientLimits(qps=10_000, burst=10_000, connections=4)


@pytest.fixture
async def api() -> AsyncIterator[ScriptedApi]:
    async with scripted_api() as api:
        yield api


@pytest.fixture
async def client(api: ScriptedApi) -> AsyncIterator[KubePort]:
    async with KubeClient(api.credentials, LIMITS, timeout_seconds=30.0) as client:
        yield client


async def test_get_requests_one_object_with_the_token(api: ScriptedApi, client: KubePort) -> None:
    api.responses = [ScriptedResponse({"metadata": {"name": "p"}, "anything": {"else": 1}})]
    assert await client.get(PODS, "ns", "p") == {"metadata": {"name": "p"}, "anything": {"else": 1}}
    (request,) = api.requests
    assert (request.method, request.path) == ("GET", "/api/v1/namespaces/ns/pods/p")
    assert request.headers["Authorization"] == "Bearer secret-token"


async def test_create_is_strict_and_names_the_field_manager(api: ScriptedApi, client: KubePort) -> None:
    await client.create(JOBS, "ns", {"metadata": {"name": "j"}})
    (request,) = api.requests
    assert (request.method, request.path) == ("POST", "/apis/batch/v1/namespaces/ns/jobs")
    assert request.query == {"fieldManager": "trainyard-operator", "fieldValidation": "Strict"}
    assert request.body == {"metadata": {"name": "j"}}


async def test_status_is_a_merge_patch_of_the_subresource(api: ScriptedApi, client: KubePort) -> None:
    patch = {"metadata": {"resourceVersion": "7"}, "status": {"phase": "Running", "queuePosition": None}}
    await client.patch_status(TRAINING_JOBS, "ns", "tj", patch)
    (request,) = api.requests
    assert request.method == "PATCH"
    assert request.path == "/apis/trainyard.dev/v1alpha1/namespaces/ns/trainingjobs/tj/status"
    assert request.headers["Content-Type"] == "application/merge-patch+json"
    assert request.body == patch


async def test_delete_has_a_uid_precondition_and_foreground_propagation(api: ScriptedApi, client: KubePort) -> None:
    await client.delete(JOBS, "ns", "j", uid="u1")
    (request,) = api.requests
    assert request.method == "DELETE"
    assert request.body["preconditions"] == {"uid": "u1"}
    assert request.body["propagationPolicy"] == "Foreground"


async def test_delete_can_have_a_resource_version_precondition(api: ScriptedApi, client: KubePort) -> None:
    await client.delete(JOBS, "ns", "j", uid="u1", resource_version="7")
    (request,) = api.requests
    assert request.body["preconditions"] == {"uid": "u1", "resourceVersion": "7"}


async def test_annotations_are_patched_with_a_resource_version(api: ScriptedApi, client: KubePort) -> None:
    await client.annotate(JOBS, "ns", "j", {"trainyard.dev/saved-status": "{}"}, resource_version="7")
    (request,) = api.requests
    assert (request.method, request.path) == ("PATCH", "/apis/batch/v1/namespaces/ns/jobs/j")
    assert request.headers["Content-Type"] == "application/merge-patch+json"
    assert request.body == {"metadata": {"resourceVersion": "7", "annotations": {"trainyard.dev/saved-status": "{}"}}}


async def test_deleting_a_missing_object_succeeds(api: ScriptedApi, client: KubePort) -> None:
    api.responses = [failure(404, "NotFound")]
    await client.delete(JOBS, "ns", "j", uid="u1")


async def test_deleting_leaves_a_new_object_of_the_same_name_alone(api: ScriptedApi, client: KubePort) -> None:
    api.responses = [failure(409, "Conflict"), ScriptedResponse({"metadata": {"uid": "u2"}})]
    await client.delete(JOBS, "ns", "j", uid="u1")
    api.responses = [failure(409, "Conflict"), failure(404, "NotFound")]
    await client.delete(JOBS, "ns", "j", uid="u1")


async def test_a_real_conflict_on_delete_is_raised(api: ScriptedApi, client: KubePort) -> None:
    api.responses = [failure(409, "Conflict"), ScriptedResponse({"metadata": {"uid": "u1"}})]
    with pytest.raises(ConflictError):
        await client.delete(JOBS, "ns", "j", uid="u1")


async def test_lists_are_paged_and_keep_the_selector(api: ScriptedApi, client: KubePort) -> None:
    api.responses = [
        ScriptedResponse({"metadata": {"continue": "a/b=="}, "items": [{"n": 1}, {"n": 2}]}),
        ScriptedResponse({"metadata": {}, "items": [{"n": 3}]}),
    ]
    found = [item["n"] async for item in client.list(JOBS, selector="a=b,c", limit=2)]
    assert found == [1, 2, 3]
    assert [request.path for request in api.requests] == ["/apis/batch/v1/jobs"] * 2
    assert api.requests[0].query == {"limit": "2", "labelSelector": "a=b,c"}
    assert api.requests[1].query == {"limit": "2", "labelSelector": "a=b,c", "continue": "a/b=="}


async def test_an_expired_page_starts_the_list_again(api: ScriptedApi, client: KubePort) -> None:
    first = ScriptedResponse({"metadata": {"continue": "old"}, "items": [{"n": 1}]})
    api.responses = [first, failure(410, "Expired"), first, ScriptedResponse({"metadata": {}, "items": None})]
    assert [item["n"] async for item in client.list(MODEL_VERSIONS, "ns")] == [1, 1]
    assert [request.query.get("continue") for request in api.requests] == [None, "old", None, "old"]


async def test_a_list_that_always_expires_fails(api: ScriptedApi, client: KubePort) -> None:
    def rule(request: RecordedRequest) -> ScriptedResponse:
        return (
            failure(410, "Expired")
            if "continue" in request.query
            else ScriptedResponse({"metadata": {"continue": "x"}})
        )

    api.rule = rule
    with pytest.raises(ApiError) as raised:
        _ = [item async for item in client.list(JOBS)]
    assert raised.value.status == 410


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        (400, "BadRequest", InvalidError),
        (401, "Unauthorized", UnauthorizedError),
        (403, "Forbidden", ForbiddenError),
        (404, "NotFound", NotFoundError),
        (405, "MethodNotAllowed", ApiError),
        (409, "AlreadyExists", AlreadyExistsError),
        (409, "Conflict", ConflictError),
        (413, "RequestEntityTooLarge", InvalidError),
        (422, "Invalid", InvalidError),
        (500, "InternalError", UnavailableError),
        (503, "ServiceUnavailable", AwayError),
    ],
)
async def test_every_status_has_its_error(
    api: ScriptedApi, client: KubePort, status: int, reason: str, expected: type[ApiError]
) -> None:
    api.responses = [failure(status, reason, "because")]
    with pytest.raises(ApiError) as raised:
        await client.create(JOBS, "ns", {})
    assert type(raised.value) is expected
    assert (raised.value.status, raised.value.reason, raised.value.message) == (status, reason, "because")
    assert len(api.requests) == 1


async def test_an_error_page_of_a_proxy_is_quoted(api: ScriptedApi, client: KubePort) -> None:
    api.responses = [ScriptedResponse(status=502, raw=b"<html>bad gateway</html>")]
    with pytest.raises(UnavailableError, match="502 Http502: <html>bad gateway</html>"):
        await client.get(JOBS, "ns", "j")


async def test_a_successful_response_without_json_is_an_error(api: ScriptedApi, client: KubePort) -> None:
    api.responses = [ScriptedResponse(raw=b"hello")]
    with pytest.raises(UnavailableError, match="is not JSON"):
        await client.get(JOBS, "ns", "j")


async def test_throttled_requests_wait_as_the_server_asks(api: ScriptedApi, client: KubePort) -> None:
    busy = ScriptedResponse({"reason": "TooManyRequests"}, 429, {"Retry-After": "0.2"})
    api.responses = [busy, busy, ScriptedResponse({"ok": True})]
    start = time.monotonic()
    assert await client.get(JOBS, "ns", "j") == {"ok": True}
    assert time.monotonic() - start >= 0.4
    assert len(api.requests) == 3


async def test_permanent_throttling_is_an_error(api: ScriptedApi, client: KubePort) -> None:
    api.rule = lambda _: ScriptedResponse({"reason": "TooManyRequests", "message": "busy"}, 429, {"Retry-After": "0"})
    with pytest.raises(ThrottledError) as raised:
        await client.get(JOBS, "ns", "j")
    assert raised.value.retry_after == 0.0
    assert len(api.requests) == THROTTLE_ATTEMPTS


async def test_a_write_is_not_repeated_after_a_broken_connection(api: ScriptedApi, client: KubePort) -> None:
    api.responses = [BROKEN]
    with pytest.raises(UnavailableError) as raised:
        await client.create(JOBS, "ns", {})
    assert raised.value.status == 0
    assert len(api.requests) == 1


async def test_a_refused_connection_is_an_error(api: ScriptedApi) -> None:
    nowhere = Credentials("http://127.0.0.1:1", None, api.credentials.token)
    async with KubeClient(nowhere, LIMITS) as client:
        with pytest.raises(UnavailableError, match="NoConnection: GET /apis/batch/v1/namespaces/ns/jobs/j"):
            await client.get(JOBS, "ns", "j")


async def test_a_silent_server_times_out(api: ScriptedApi) -> None:
    api.hold = asyncio.Event()
    async with KubeClient(api.credentials, LIMITS, timeout_seconds=0.1) as client:
        with pytest.raises(UnavailableError, match="Timeout"):
            await client.get(JOBS, "ns", "j")


async def test_no_more_connections_than_allowed(api: ScriptedApi, client: KubePort) -> None:
    api.hold = asyncio.Event()
    reads = [asyncio.ensure_future(client.get(JOBS, "ns", str(n))) for n in range(20)]
    async with asyncio.timeout(20):  # wait until all allowed connections are in use
        for _ in range(LIMITS.connections):
            await api.arrived.acquire()
    api.hold.set()
    await asyncio.gather(*reads)
    assert api.most_open == LIMITS.connections


async def test_the_rate_limit_delays_requests(api: ScriptedApi) -> None:
    async with KubeClient(api.credentials, ClientLimits(qps=50, burst=5)) as client:
        start = time.monotonic()
        await asyncio.gather(*(client.get(JOBS, "ns", str(n)) for n in range(15)))
        assert time.monotonic() - start >= 0.19


async def test_a_rotated_token_is_used_at_once(api: ScriptedApi, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one\n")
    async with KubeClient(Credentials(api.url, None, TokenFile(file)), LIMITS) as client:
        await client.get(JOBS, "ns", "j")
        fresh = tmp_path / "fresh"
        fresh.write_text("two\n")
        fresh.replace(file)
        await client.get(JOBS, "ns", "j")
        file.unlink()
        with pytest.raises(UnauthorizedError, match="cannot be read"):
            await client.get(JOBS, "ns", "j")
    assert [request.headers["Authorization"] for request in api.requests] == ["Bearer one", "Bearer two"]


async def test_requests_are_counted(api: ScriptedApi, client: KubePort) -> None:
    def count() -> float:
        labels = {"verb": "get", "resource": "jobs", "code": "404"}
        return REGISTRY.get_sample_value("trainyard_api_requests_total", labels) or 0.0

    before = count()
    api.responses = [failure(404, "NotFound")]
    with pytest.raises(NotFoundError):
        await client.get(JOBS, "ns", "j")
    assert count() == before + 1


async def test_a_valid_token_has_an_identity(api: ScriptedApi, client: KubePort) -> None:
    name = "system:serviceaccount:ns:sa"
    user = {"username": name, "extra": {"k/pod-name": ["p"]}}
    api.responses = [ScriptedResponse({"status": {"authenticated": True, "audiences": ["a"], "user": user}}, 201)]
    assert await client.review_token("t", "a") == TokenIdentity(name, ("a",), {"k/pod-name": ("p",)})
    (request,) = api.requests
    assert request.path == "/apis/authentication.k8s.io/v1/tokenreviews"
    assert request.body["spec"] == {"token": "t", "audiences": ["a"]}


@pytest.mark.parametrize(
    "status",
    [
        {"authenticated": False, "error": "expired"},
        {},
        {"authenticated": True, "user": {"username": "x"}},
        {"authenticated": True, "audiences": ["other"], "user": {"username": "x"}},
    ],
)
async def test_an_invalid_token_has_no_identity(api: ScriptedApi, client: KubePort, status: dict[str, object]) -> None:
    api.responses = [ScriptedResponse({"status": status}, 201)]
    assert await client.review_token("t", "a") is None


async def test_a_fence_blocks_writes_and_allows_reads(api: ScriptedApi) -> None:
    checked: list[str] = []

    def fence(namespace: str) -> None:
        checked.append(namespace)
        raise NotHeldError("not the leader")

    async with KubeClient(api.credentials, ClientLimits(), fence=fence) as client:
        await client.get(JOBS, "team", "a")
        for write in (
            client.create(JOBS, "team", {"metadata": {"name": "a"}}),
            client.apply(JOBS, "team", {"metadata": {"name": "a"}}, force=True),
            client.replace(JOBS, "team", "a", {"metadata": {"name": "a"}}),
            client.patch_status(JOBS, "team", "a", {"status": {}}),
            client.delete(JOBS, "team", "a", uid="u"),
        ):
            with pytest.raises(NotHeldError):
                await write
        await client.review_token("token", "audience")
    assert [each.method for each in api.requests] == ["GET", "POST"]
    assert checked == ["team"] * 5


async def test_the_fence_is_checked_again_right_before_the_body(api: ScriptedApi) -> None:
    """The headers wait for the body. If the lead is lost in between, nothing is sent."""
    checked: list[str] = []

    def fence(namespace: str) -> None:
        checked.append(namespace)
        if len(checked) == 2:
            raise NotHeldError("not the leader")

    async with KubeClient(api.credentials, ClientLimits(), fence=fence) as client:
        with pytest.raises(NotHeldError):
            await client.create(JOBS, "team", {"metadata": {"name": "a"}})
        assert checked == ["team"] * 2
        await client.create(JOBS, "team", {"metadata": {"name": "b"}})
    assert [each.body["metadata"]["name"] for each in api.requests] == ["b"]


async def test_the_fence_is_checked_after_the_wait_for_a_connection(api: ScriptedApi) -> None:
    """The second write waits for the only connection, and the lead is lost meanwhile."""
    api.hold, leads = asyncio.Event(), [True]

    def fence(_: str) -> None:
        if not leads[0]:
            raise NotHeldError("not the leader")

    async with KubeClient(api.credentials, ClientLimits(connections=1), fence=fence) as client:
        first = asyncio.create_task(client.create(JOBS, "team", {"metadata": {"name": "a"}}))
        await api.arrived.acquire()
        second = asyncio.create_task(client.create(JOBS, "team", {"metadata": {"name": "b"}}))
        await asyncio.sleep(0)
        leads[0] = False
        api.hold.set()
        await first
        with pytest.raises(NotHeldError):
            await second
    assert [each.body["metadata"]["name"] for each in api.requests] == ["a"]
