import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from tests.unit.operator.progress.cluster import FakeCluster, token
from trainyard_api import meta
from trainyard_operator.core.config import ProgressServer
from trainyard_operator.progress.server import ProgressEndpoint, ProgressListener
from trainyard_operator.progress.tls import (
    AUTHORITY_DAYS,
    ServerCertificate,
    TlsSecretError,
    ensure_authority,
    make_authority,
    server_names,
)
from trainyard_operator.runtime.reports import Reports

SECRET = ("secrets", "ops", "trainyard-tls")


def now() -> datetime:
    return datetime.now(UTC)


async def test_the_authority_is_created_once() -> None:
    cluster = FakeCluster()
    made = await ensure_authority(cluster, "ops", "trainyard-tls", now=now())
    again = await ensure_authority(cluster, "ops", "trainyard-tls", now=now())
    assert made.pem == again.pem
    secret = cluster.objects[SECRET]
    assert secret["type"] == "kubernetes.io/tls"
    assert base64.b64decode(secret["data"]["tls.crt"]).decode() == made.pem


async def test_operators_that_start_together_share_one_authority() -> None:
    cluster = FakeCluster()
    made = await asyncio.gather(*(ensure_authority(cluster, "ops", "trainyard-tls", now=now()) for _ in range(5)))
    assert len({authority.pem for authority in made}) == 1


def _another_key(secret: Any) -> None:
    other = FakeCluster()
    asyncio.run(ensure_authority(other, "ops", "trainyard-tls", now=now()))
    secret["data"]["tls.key"] = other.objects[SECRET]["data"]["tls.key"]


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        (lambda secret: secret.update(data=None), "contains no valid certificate authority"),
        (lambda secret: secret["data"].pop("tls.key"), "contains no valid certificate authority"),
        (lambda secret: secret["data"].update({"tls.crt": "aGVsbG8="}), "contains no valid certificate authority"),
        (_another_key, "do not match"),
    ],
)
def test_an_invalid_secret_is_refused(break_it: Any, expected: str) -> None:
    cluster = FakeCluster()
    asyncio.run(ensure_authority(cluster, "ops", "trainyard-tls", now=now()))
    break_it(cluster.objects[SECRET])
    with pytest.raises(TlsSecretError, match=f"Secret ops/trainyard-tls .*{expected}"):
        asyncio.run(ensure_authority(cluster, "ops", "trainyard-tls", now=now()))


async def test_an_authority_that_expires_soon_is_reported() -> None:
    cluster = FakeCluster()
    later = now() + timedelta(days=AUTHORITY_DAYS - 20)
    await ensure_authority(cluster, "ops", "trainyard-tls", now=now())
    with pytest.raises(TlsSecretError, match="delete the Secret and restart"):
        await ensure_authority(cluster, "ops", "trainyard-tls", now=later)


@pytest.mark.parametrize(
    ("url", "names"),
    [
        (
            "https://ty.ops.svc:8443",
            ["ty.ops.svc", "ty", "ty.ops", "ty.ops.svc.cluster.local"],
        ),
        (
            "https://ty.ops.svc.example.org",
            ["ty.ops.svc.example.org", "ty", "ty.ops", "ty.ops.svc", "ty.ops.svc.cluster.local"],
        ),
        ("https://127.0.0.1:9", ["127.0.0.1"]),
        ("https://reports.example.org", ["reports.example.org"]),
        ("", ["localhost"]),
    ],
)
def test_server_names_of_a_url(url: str, names: list[str]) -> None:
    assert server_names(url) == names


@pytest.fixture
async def listener() -> AsyncIterator[tuple[ProgressListener, ServerCertificate, str]]:
    authority = make_authority(now())
    certificate = ServerCertificate(authority, ["127.0.0.1", "localhost"])
    cluster = FakeCluster()
    endpoint = ProgressEndpoint(cluster, cluster, Reports(wake=lambda _: None), reports_per_minute=60, clock=now)
    listener = ProgressListener(endpoint, ProgressServer(bind="127.0.0.1", port=0), certificate.context)
    assert listener.port is None
    await listener.start()
    yield listener, certificate, authority.pem
    await listener.stop()


async def _post(port: int | None, pem: str, host: str = "127.0.0.1") -> int:
    trust = ssl.create_default_context(cadata=pem)
    trust.verify_flags |= ssl.VERIFY_X509_STRICT
    url = f"https://{host}:{port}{meta.progress_path('team', 'demand')}"
    headers = {"Authorization": f"Bearer {token()}"}
    report = {"trainerStatus": {"stage": "load"}}
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json=report, ssl=trust, headers=headers) as response,
    ):
        return response.status


async def _presented(port: int | None) -> str:
    assert port is not None
    return await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))


async def test_a_pod_that_trusts_the_authority_can_report(
    listener: tuple[ProgressListener, ServerCertificate, str],
) -> None:
    server, _, pem = listener
    assert await _post(server.port, pem) == 200
    assert await _post(server.port, pem, "localhost") == 200


async def test_a_renewed_certificate_is_used_without_a_restart(
    listener: tuple[ProgressListener, ServerCertificate, str],
) -> None:
    server, certificate, pem = listener
    before = await _presented(server.port)
    certificate.renew()
    assert await _presented(server.port) != before
    assert await _post(server.port, pem) == 200


async def test_another_authority_is_not_trusted(listener: tuple[ProgressListener, ServerCertificate, str]) -> None:
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await _post(listener[0].port, make_authority(now()).pem)


async def test_a_certificate_is_renewed_before_it_expires() -> None:
    moments = iter([now(), now() + timedelta(days=61), now() + timedelta(days=61)])
    last = now() + timedelta(days=61)
    certificate = ServerCertificate(make_authority(now()), ["h"], clock=lambda: next(moments, last))
    first = certificate.expires
    task = asyncio.ensure_future(certificate.keep_fresh())
    async with asyncio.timeout(30):  # wait until the certificate is renewed
        while certificate.expires == first:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0)
    task.cancel()
    assert certificate.expires > first
