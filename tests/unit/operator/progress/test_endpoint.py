import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from tests.unit.operator.progress.cluster import (
    JOB_UID,
    NAME,
    NAMESPACE,
    POD,
    UID,
    FakeCluster,
    facts,
    identity,
    pod,
    token,
)
from trainyard_api import meta
from trainyard_api.wire import REPORT_MAX_BYTES
from trainyard_operator.kinds.base import Key
from trainyard_operator.kube.errors import UnavailableError
from trainyard_operator.progress.authentication import INVALID_TOKEN_BURST
from trainyard_operator.progress.server import ProgressEndpoint
from trainyard_operator.runtime.reports import Reports

NOW = datetime(2026, 11, 21, 7, 30, tzinfo=UTC)
PATH = meta.progress_path(NAMESPACE, NAME)
TARGET = f"trainingjobs {NAMESPACE}/{NAME}"
REPORT = {"trainerStatus": {"progressPercentage": 42, "stage": "train"}}
KEP = {
    "trainerStatus": {
        "progressPercentage": 42,
        "estimatedRemainingSeconds": 120,
        "metrics": [{"name": "loss", "value": "0.123"}],
        "lastUpdatedTime": "2020-06-12T03:00:00Z",
    }
}


class Endpoint:
    """The endpoint of one test, its cluster, and the keys that it notified."""

    def __init__(self, reports_per_minute: int) -> None:
        self.cluster = FakeCluster()
        self.woken: list[Key] = []
        self.reports = Reports(wake=self.woken.append)
        self.app = ProgressEndpoint(
            self.cluster, self.cluster, self.reports, reports_per_minute=reports_per_minute, clock=lambda: NOW
        ).application()
        self.client: TestClient[Any, Any]

    async def post(
        self, body: Any = REPORT, *, bearer: str | None = None, path: str = PATH, **options: Any
    ) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {token() if bearer is None else bearer}"} if bearer != "" else {}
        data = body if isinstance(body, bytes | io.BytesIO) else json.dumps(body)
        async with self.client.post(path, data=data, headers=headers, **options) as response:
            content = await response.read()
            assert response.status == 200 or len(content) < 600  # responses to unauthenticated clients are small
            if response.status == 429:
                assert int(response.headers["Retry-After"]) >= 1
            return response.status, json.loads(content)

    @property
    def stored(self) -> Any:
        return self.reports.latest(Key(NAMESPACE, NAME), UID, 2)


@pytest.fixture
def reports_per_minute() -> int:
    return 6000


@pytest.fixture
async def endpoint(reports_per_minute: int) -> AsyncIterator[Endpoint]:
    endpoint = Endpoint(reports_per_minute)
    async with TestClient(TestServer(endpoint.app)) as client:
        endpoint.client = client
        yield endpoint


async def test_a_report_is_stored_numbered_and_returned(endpoint: Endpoint) -> None:
    endpoint.cluster.jobs[NAMESPACE, NAME] = facts(last_sequence=7)
    code, body = await endpoint.post()
    assert code == 200
    assert body == {
        "trainerStatus": {
            "progressPercentage": 42,
            "stage": "train",
            "lastUpdatedTime": "2026-11-21T07:30:00Z",
            "sequence": 8,
        }
    }
    assert endpoint.stored.progress_percentage == 42
    assert endpoint.woken == [Key(NAMESPACE, NAME)]


async def test_a_body_of_kep_2779_is_accepted_without_its_clock(endpoint: Endpoint) -> None:
    code, body = await endpoint.post(KEP)
    assert code == 200
    assert body["trainerStatus"]["metrics"] == [{"name": "loss", "value": "0.123"}]
    assert body["trainerStatus"]["lastUpdatedTime"] == "2026-11-21T07:30:00Z"


@pytest.mark.parametrize("body", [{}, {"trainerStatus": {}}])
async def test_an_empty_report_changes_nothing(endpoint: Endpoint, body: Any) -> None:
    assert await endpoint.post(body) == (200, {})
    assert endpoint.stored is None


async def test_many_reports_cost_one_review_and_one_pod(endpoint: Endpoint) -> None:
    codes = {(await endpoint.post())[0] for _ in range(100)}
    assert codes == {200}
    assert (endpoint.cluster.reviews, endpoint.cluster.gets) == (1, 1)
    assert endpoint.stored.sequence == 100


async def test_concurrent_reports_cost_one_review_and_one_pod(endpoint: Endpoint) -> None:
    responses = await asyncio.gather(*(endpoint.post() for _ in range(50)))
    assert {code for code, _ in responses} == {200}
    assert sorted(body["trainerStatus"]["sequence"] for _, body in responses) == list(range(1, 51))
    assert (endpoint.cluster.reviews, endpoint.cluster.gets) == (1, 1)


def assert_refused(
    endpoint: Endpoint, response: tuple[int, dict[str, Any]], code: int, reason: str, expected: str
) -> None:
    assert response[0] == code
    status = response[1]
    assert (status["kind"], status["apiVersion"], status["status"]) == ("Status", "v1", "Failure")
    assert (status["code"], status["reason"]) == (code, reason)
    assert expected in status["message"]
    assert endpoint.stored is None
    assert endpoint.woken == []


@pytest.mark.parametrize(
    ("bearer", "expected"),
    [
        ("", "no bearer token"),
        ("abc", "not a JSON web token"),
        ("a.b.c", "not a JSON web token"),
        ("a.!!!.c", "not a JSON web token"),
        ("a.W10.c", "not a JSON web token"),
        ("a.e30.c", "not a service account token"),
        ("a." + "W1tb" * 500 + ".c", "not a JSON web token"),
    ],
)
async def test_a_malformed_token_is_refused_without_an_api_call(endpoint: Endpoint, bearer: str, expected: str) -> None:
    assert_refused(endpoint, await endpoint.post(bearer=bearer), 401, "Unauthorized", expected)
    assert endpoint.cluster.reviews == 0


@pytest.mark.parametrize(
    ("bearer", "expected"),
    [
        (token(name="other"), f"not valid for {TARGET}"),
        (token(aud=["https://kubernetes.default.svc"]), f"not valid for {TARGET}"),
        (token(bound_to="elsewhere"), f"not valid for {TARGET}"),
        (token(uid="earlier"), "an earlier object"),
    ],
)
async def test_a_token_for_another_job_is_refused_without_an_api_call(
    endpoint: Endpoint, bearer: str, expected: str
) -> None:
    assert_refused(endpoint, await endpoint.post(bearer=bearer), 403, "Forbidden", expected)
    assert endpoint.cluster.reviews == 0


async def test_an_invalid_token_is_refused_and_cached(endpoint: Endpoint) -> None:
    for _ in range(3):
        assert_refused(
            endpoint, await endpoint.post(bearer=token(signature="forged")), 401, "Unauthorized", "is invalid"
        )
    assert endpoint.cluster.reviews == 1


async def test_a_valid_token_of_another_jobs_pod_is_refused(endpoint: Endpoint) -> None:
    """Any pod of a namespace can request any audience. Only the owner of the pod identifies the job of a report."""
    endpoint.cluster.objects["pods", NAMESPACE, POD] = pod(job_uid="another-job")
    assert_refused(endpoint, await endpoint.post(), 403, "Forbidden", f"not part of {TARGET}")


async def test_a_pod_of_an_unobserved_job_may_try_again(endpoint: Endpoint) -> None:
    """The response to the creation of the Job was lost, and the watch is late."""
    endpoint.cluster.objects["pods", NAMESPACE, POD] = pod(of=UID)
    endpoint.cluster.jobs[NAMESPACE, NAME] = facts(attempt_job_uids={}, current_attempt=0)
    headers = {"Authorization": f"Bearer {token()}"}
    async with endpoint.client.post(PATH, json=REPORT, headers=headers) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "5")
        assert (await response.json())["message"] == "the Job of this pod is not known yet"
    endpoint.cluster.jobs[NAMESPACE, NAME] = facts()
    assert (await endpoint.post())[0] == 200


@pytest.mark.parametrize(
    "stranger",
    [
        pod(uid="recreated"),
        pod(kind="ReplicaSet"),
        pod(controller=False),
        {"metadata": {"name": POD, "uid": "pod-uid"}},
    ],
)
async def test_a_pod_without_a_job_of_trainyard_is_refused(endpoint: Endpoint, stranger: dict[str, Any]) -> None:
    endpoint.cluster.objects["pods", NAMESPACE, POD] = stranger
    assert_refused(endpoint, await endpoint.post(), 403, "Forbidden", f"not part of {TARGET}")


async def test_a_pod_that_is_gone_is_refused(endpoint: Endpoint) -> None:
    del endpoint.cluster.objects["pods", NAMESPACE, POD]
    assert_refused(endpoint, await endpoint.post(), 403, "Forbidden", f"not part of {TARGET}")


async def test_a_token_that_is_not_bound_to_a_pod_is_refused(endpoint: Endpoint) -> None:
    endpoint.cluster.identities[token()] = identity(pod_name=())
    assert_refused(endpoint, await endpoint.post(), 403, "Forbidden", "not bound to a pod")


async def test_an_unknown_job_is_not_found(endpoint: Endpoint) -> None:
    path = meta.progress_path(NAMESPACE, "gone")
    assert_refused(endpoint, await endpoint.post(path=path, bearer=token(name="gone")), 404, "NotFound", "team/gone")
    assert endpoint.cluster.reviews == 0


async def test_a_foreign_token_does_not_reveal_which_jobs_exist(endpoint: Endpoint) -> None:
    path = meta.progress_path(NAMESPACE, "gone")
    assert_refused(
        endpoint, await endpoint.post(path=path), 403, "Forbidden", f"not valid for trainingjobs {NAMESPACE}/gone"
    )


async def test_a_path_that_names_a_kind_without_reports(endpoint: Endpoint) -> None:
    path = meta.progress_path(NAMESPACE, NAME, plural="modelversions")
    bearer = token(aud=[meta.token_audience(NAMESPACE, NAME, UID, plural="modelversions")])
    assert_refused(
        endpoint, await endpoint.post(path=path), 403, "Forbidden", f"not valid for modelversions {NAMESPACE}/{NAME}"
    )
    assert_refused(endpoint, await endpoint.post(bearer=bearer, path=path), 404, "NotFound", "is not known")


async def test_a_report_for_a_finished_job_is_a_conflict(endpoint: Endpoint) -> None:
    endpoint.cluster.jobs[NAMESPACE, NAME] = facts(terminal=True)
    assert_refused(endpoint, await endpoint.post(), 409, "Conflict", "has ended")


async def test_a_report_for_a_finished_attempt_is_a_conflict(endpoint: Endpoint) -> None:
    endpoint.cluster.objects["pods", NAMESPACE, POD] = pod(job_uid="job-uid-1")
    assert_refused(endpoint, await endpoint.post(), 409, "Conflict", "attempt 1 is not the current one")


async def test_a_body_of_one_mebibyte_is_refused(endpoint: Endpoint) -> None:
    huge = io.BytesIO(b'{"trainerStatus": {"message": "' + b"x" * 2**20 + b'"}}')
    assert_refused(endpoint, await endpoint.post(huge), 413, "RequestEntityTooLarge", str(REPORT_MAX_BYTES))
    assert endpoint.cluster.reviews == 0


@pytest.mark.parametrize("compress", [None, "gzip"])
async def test_a_body_of_unknown_size_is_refused_at_the_limit(endpoint: Endpoint, compress: str | None) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"x" * 16384

    headers = {"Authorization": f"Bearer {token()}"}
    try:
        async with endpoint.client.post(PATH, data=chunks(), headers=headers, compress=compress) as response:
            assert response.status == 413
    except aiohttp.ClientConnectionError:
        pass  # the connection was closed while the rest was still being sent
    assert (endpoint.stored, endpoint.cluster.reviews) == (None, 0)


async def test_a_body_of_exactly_the_limit_is_accepted(endpoint: Endpoint) -> None:
    report = json.dumps(REPORT).encode()
    assert (await endpoint.post(report + b" " * (REPORT_MAX_BYTES - len(report))))[0] == 200
    assert (await endpoint.post(report + b" " * (REPORT_MAX_BYTES - len(report) + 1)))[0] == 413


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "not JSON"),
        (b"progress", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 5000, "not JSON"),
        ([], "body: "),
        ({"trainerStatus": 7}, "trainerStatus: "),
        ({"trainerStatus": {"progressPercentage": 101}}, "trainerStatus.progressPercentage: "),
        ({"trainerStatus": {"progressPercentage": "half"}}, "trainerStatus.progressPercentage: "),
        ({"trainerStatus": {"estimatedRemainingSeconds": -1}}, "trainerStatus.estimatedRemainingSeconds: "),
        ({"trainerStatus": {"metrics": [{"name": "loss", "value": "NaN"}]}}, "trainerStatus.metrics.0.value: "),
        ({"trainerStatus": {"stage": "x" * 65}}, "trainerStatus.stage: "),
    ],
)
async def test_an_invalid_body_is_refused_with_its_field(endpoint: Endpoint, body: Any, expected: str) -> None:
    assert_refused(endpoint, await endpoint.post(body), 422, "Invalid", expected)


async def test_other_paths_and_methods_are_refused(endpoint: Endpoint) -> None:
    assert (await endpoint.post(path="/"))[1]["reason"] == "NotFound"
    assert (await endpoint.post(path=meta.progress_path(NAMESPACE, "No_Name")))[0] == 404
    assert (await endpoint.post(path=meta.progress_path("a" * 300, NAME)))[0] == 404
    async with endpoint.client.get(PATH) as response:
        assert (response.status, (await response.json())["reason"]) == (405, "MethodNotAllowed")


@pytest.mark.parametrize("reports_per_minute", [60])
async def test_a_job_that_reports_too_often_is_limited(endpoint: Endpoint) -> None:
    codes = [(await endpoint.post())[0] for _ in range(100)]
    assert codes[:10] == [200] * 10
    assert codes.count(429) >= 85
    assert (endpoint.cluster.reviews, endpoint.cluster.gets) == (1, 1)


async def test_many_forged_tokens_change_nothing_and_cost_few_api_calls(endpoint: Endpoint) -> None:
    responses = await asyncio.gather(*(endpoint.post(bearer=token(signature=f"forged-{n}")) for n in range(300)))
    codes = [code for code, _ in responses]
    assert set(codes) == {401, 429}
    assert endpoint.cluster.reviews <= INVALID_TOKEN_BURST + 10
    assert (endpoint.stored, endpoint.woken) == (None, [])


async def test_valid_tokens_do_not_count_against_the_limit_of_an_address(endpoint: Endpoint) -> None:
    good = [token(signature=f"good-{n}") for n in range(int(INVALID_TOKEN_BURST) * 2)]
    endpoint.cluster.identities = {bearer: identity() for bearer in good}
    assert {(await endpoint.post(bearer=bearer))[0] for bearer in good} == {200}


async def test_forged_reports_do_not_affect_real_ones(endpoint: Endpoint) -> None:
    real = [endpoint.post() for _ in range(10)]
    forged = [
        endpoint.post({"trainerStatus": {"progressPercentage": 99}}, bearer=token(signature="x")) for _ in range(90)
    ]
    responses = await asyncio.gather(*real, *forged)
    assert [code for code, _ in responses[:10]] == [200] * 10
    assert endpoint.stored.progress_percentage == 42
    assert endpoint.stored.sequence == 10


async def test_a_report_during_an_outage_may_be_sent_again(endpoint: Endpoint) -> None:
    endpoint.cluster.down = UnavailableError(0, "Timeout", "no answer")
    assert_refused(endpoint, await endpoint.post(), 503, "ServiceUnavailable", "cannot verify the token")
    endpoint.cluster.down = None
    assert (await endpoint.post())[0] == 200


async def test_after_a_new_attempt_the_old_one_is_refused(endpoint: Endpoint) -> None:
    assert (await endpoint.post())[0] == 200
    endpoint.cluster.jobs[NAMESPACE, NAME] = facts(current_attempt=3, attempt_job_uids={JOB_UID: 2, "job-uid-3": 3})
    assert (await endpoint.post())[0] == 409


async def test_a_bug_is_a_500_in_the_usual_form(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    endpoint.cluster.jobs[NAMESPACE, NAME] = None  # type: ignore[assignment]
    endpoint.cluster.find = lambda *_: 1 / 0  # type: ignore[assignment,method-assign]
    assert_refused(endpoint, await endpoint.post(), 500, "InternalError", "see the log of the operator")
    assert "could not be processed" in caplog.text


async def test_no_token_is_ever_logged(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for bearer in (token(), token(signature="forged"), token(name="other")):
        await endpoint.post(bearer=bearer)
    endpoint.cluster.find = lambda *_: 1 / 0  # type: ignore[assignment,method-assign]
    await endpoint.post()
    for part in token().split("."):
        assert part not in caplog.text
