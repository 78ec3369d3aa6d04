"""A report reaches the leader, whichever replica the Service selects."""

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.unit.operator.progress.cluster import NAME, NAMESPACE, UID, FakeCluster, token
from trainyard_api import meta
from trainyard_operator.core.config import ProgressServer
from trainyard_operator.kinds.base import Key
from trainyard_operator.progress.forward import FORWARDED, Forwarder, no_leader
from trainyard_operator.progress.server import ProgressEndpoint, ProgressListener
from trainyard_operator.progress.tls import Authority, ServerCertificate, make_authority
from trainyard_operator.runtime.reports import Reports

NOW = datetime.now(UTC)
SERVICE = "trainyard.ops.svc"
REPORT = {"trainerStatus": {"progressPercentage": 42}}


class Replica:
    """An endpoint on a socket that leads, or knows the address of the leader."""

    def __init__(self, authority: Authority, *, leads: bool, names: tuple[str, ...] = (SERVICE, "127.0.0.1")) -> None:
        self.leads = leads
        self.address = ""
        self.cluster = FakeCluster()
        self.reports = Reports(wake=lambda _: None)
        endpoint = ProgressEndpoint(
            self.cluster,  # type: ignore[arg-type]
            self.cluster,
            self.reports,
            reports_per_minute=60,
            clock=lambda: NOW,
            leadership=self,
        )
        context = ServerCertificate(authority, list(names)).context
        self.listener = ProgressListener(endpoint, ProgressServer(bind="127.0.0.1", port=0), context)
        self._forwarder = Forwarder(authority.pem, SERVICE)
        self._trust = ssl.create_default_context(cadata=authority.pem)

    async def start(self, stack: AsyncExitStack) -> "Replica":
        stack.push_async_callback(self._forwarder.close)
        await self.listener.start()
        stack.push_async_callback(self.listener.stop)
        return self

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.listener.port}"

    async def forward(self, request: web.Request, body: bytes) -> web.Response:
        return await self._forwarder.send(self.address, request, body)

    async def post(self, bearer: str | None = None, **headers: str) -> tuple[int, Any, Any]:
        sent = {"Authorization": f"Bearer {bearer or token()}", **headers}
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                self.url + meta.progress_path(NAMESPACE, NAME),
                json=REPORT,
                headers=sent,
                ssl=self._trust,
                server_hostname=SERVICE,
            ) as response,
        ):
            return response.status, await response.json(), response.headers

    @property
    def stored(self) -> Any:
        return self.reports.latest(Key(NAMESPACE, NAME), UID, 2)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def leader(stack: AsyncExitStack) -> Replica:
    return await Replica(AUTHORITY, leads=True).start(stack)


@pytest.fixture
async def follower(stack: AsyncExitStack, leader: Replica) -> Replica:
    follower = await Replica(AUTHORITY, leads=False).start(stack)
    follower.address = leader.url
    return follower


AUTHORITY = make_authority(NOW)


async def test_a_follower_forwards_reports_to_the_leader(leader: Replica, follower: Replica) -> None:
    code, response, _ = await follower.post()
    assert (code, response["trainerStatus"]["progressPercentage"]) == (200, 42)
    assert (await follower.post())[1]["trainerStatus"]["sequence"] == 2
    assert leader.stored.progress_percentage == 42
    assert follower.stored is None


async def test_a_forged_token_is_refused_by_the_follower(leader: Replica, follower: Replica) -> None:
    assert (await follower.post(token(signature="forged")))[0] == 401
    assert (leader.cluster.reviews, follower.cluster.reviews) == (0, 1)


async def test_a_refusal_by_the_leader_is_returned(leader: Replica, follower: Replica) -> None:
    leader.cluster.jobs.clear()
    code, status, _ = await follower.post()
    assert (code, status["reason"]) == (404, "NotFound")


async def test_without_a_leader_the_sender_is_asked_to_retry(leader: Replica, follower: Replica) -> None:
    await leader.listener.stop()
    for address in (follower.address, ""):
        follower.address = address
        code, status, headers = await follower.post()
        assert (code, status["reason"], headers["Retry-After"]) == (503, "ServiceUnavailable", "5")
    assert no_leader().code == 503


async def test_a_report_is_forwarded_once(leader: Replica, follower: Replica) -> None:
    """While the Lease changes hands, two replicas may each take the other for the leader."""
    leader.leads, leader.address = False, follower.url
    assert (await follower.post())[0] == 503
    assert (await follower.post(**{FORWARDED: "1"}))[0] == 503


async def test_a_token_is_sent_only_to_a_replica(stack: AsyncExitStack, follower: Replica) -> None:
    """The address comes from a Lease. A server without a certificate of our authority gets no token."""
    for thief in (
        Replica(make_authority(NOW), leads=True),
        Replica(AUTHORITY, leads=True, names=("other.ops.svc", "127.0.0.1")),
    ):
        await thief.start(stack)
        follower.address = thief.url
        assert (await follower.post())[0] == 503
        assert thief.stored is None
        assert thief.cluster.reviews == 0
