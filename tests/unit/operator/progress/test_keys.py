"""Tokens are verified with the public keys of the API server, with the same checks as a TokenReview."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.unit.operator.progress.cluster import NAME, NAMESPACE, POD, POD_UID, UID, FakeCluster, pod
from trainyard_api import meta
from trainyard_operator.kube.errors import ApiError, ForbiddenError
from trainyard_operator.progress import keys
from trainyard_operator.progress.keys import ISSUER_PATH, KEEP_SECONDS, KEYS_PATH, IssuerKeys

NOW = datetime(2026, 11, 29, 2, 0, tzinfo=UTC)
ISSUER = "https://kubernetes.default.svc.cluster.local"
AUDIENCE = meta.token_audience(NAMESPACE, NAME, UID)
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def number(value: int, size: int) -> str:
    return encode(value.to_bytes(size, "big"))


def rsa_jwk(key: rsa.RSAPrivateKey = RSA_KEY, kid: str = "r") -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    return {"kty": "RSA", "kid": kid, "alg": "RS256", "n": number(numbers.n, 256), "e": number(numbers.e, 3)}


def ec_jwk() -> dict[str, str]:
    numbers = EC_KEY.public_key().public_numbers()
    return {"kty": "EC", "kid": "e", "crv": "P-256", "x": number(numbers.x, 32), "y": number(numbers.y, 32)}


def signed(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = RSA_KEY, head: dict[str, str] | None = None, **claims: Any
) -> str:
    """Return a token as the API server issues it. ``claims`` replace those of a valid token."""
    own = {
        "iss": ISSUER,
        "aud": [AUDIENCE],
        "exp": NOW.timestamp() + 600,
        "nbf": NOW.timestamp() - 60,
        "sub": "system:serviceaccount:team:default",
        "kubernetes.io": {"namespace": NAMESPACE, "pod": {"name": POD, "uid": POD_UID}},
        **claims,
    }
    kind = {"alg": "RS256", "kid": "r"} if isinstance(key, rsa.RSAPrivateKey) else {"alg": "ES256", "kid": "e"}
    text = ".".join(encode(json.dumps(part).encode()) for part in ({**kind, **(head or {})}, own))
    if isinstance(key, rsa.RSAPrivateKey):
        return f"{text}.{encode(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"
    r, s = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{text}.{encode(r.to_bytes(32) + s.to_bytes(32))}"


class Api:
    """The published keys of the API server, and the existing pods."""

    def __init__(self) -> None:
        self.keys = [rsa_jwk(), ec_jwk(), {"kty": "oct", "kid": "o", "k": "AAAA"}]
        self.reads = 0
        self.down: ApiError | None = None
        self.seconds = 0.0
        self.now = NOW
        self.cluster = FakeCluster()
        self.reviewer = IssuerKeys(
            self,
            self.cluster,  # type: ignore[arg-type]
            clock=lambda: self.now,
            steady=lambda: self.seconds,
        )

    async def read(self, path: str) -> dict[str, Any]:
        if self.down is not None:
            raise self.down
        self.reads += path == KEYS_PATH
        return {ISSUER_PATH: {"issuer": ISSUER}, KEYS_PATH: {"keys": self.keys}}[path]

    async def review(self, token: str) -> Any:
        return await self.reviewer.review_token(token, AUDIENCE)


@pytest.mark.parametrize("key", [RSA_KEY, EC_KEY], ids=["rsa", "ec"])
async def test_a_valid_token_names_its_pod(key: Any) -> None:
    found = await Api().review(signed(key))
    assert found.username == "system:serviceaccount:team:default"
    assert found.extra == {keys.POD_NAME: (POD,), keys.POD_UID: (POD_UID,)}


@pytest.mark.parametrize(
    "token",
    [
        signed(iss="https://elsewhere"),
        signed(aud=["another"]),
        signed(aud=None),
        signed(exp=NOW.timestamp() - 60),
        signed(exp="later"),
        signed(exp=None),
        signed(nbf=NOW.timestamp() + 60),
        signed(head={"alg": "none"}),
        signed(head={"alg": "HS256"}),
        signed(head={"alg": "ES256"}),
        signed(head={"alg": "RS1"}),
        signed(head={"kid": "unknown"}),
        signed(head={"kid": "e"}),
        signed(head={"kid": "o"}),
        signed(rsa.generate_private_key(public_exponent=65537, key_size=2048)),
        signed().rpartition(".")[0] + ".",
        signed(EC_KEY)[:-4],
        ".".join([*signed().split(".")[:1], signed(sub="system:admin").split(".")[1], signed().split(".")[2]]),
        signed(**{"kubernetes.io": {"namespace": NAMESPACE, "pod": {"name": POD, "uid": "of-an-earlier-pod"}}}),
        signed(**{"kubernetes.io": {"namespace": "other", "pod": {"name": POD, "uid": POD_UID}}}),
        "a.b.c",
        "",
        "..",
    ],
)
async def test_an_invalid_token_is_refused(token: str) -> None:
    assert await Api().review(token) is None


async def test_the_token_of_a_deleted_pod_is_refused() -> None:
    api = Api()
    assert await api.review(signed()) is not None
    del api.cluster.objects["pods", NAMESPACE, POD]
    assert await api.review(signed()) is None
    api.cluster.objects["pods", NAMESPACE, POD] = pod(uid="of-its-successor")
    assert await api.review(signed()) is None


async def test_a_token_without_a_pod_names_no_pod() -> None:
    found = await Api().review(signed(**{"kubernetes.io": {"namespace": NAMESPACE}}))
    assert found.extra == {}, "the endpoint refuses the token, because it is not bound to a pod"


async def test_new_keys_are_found_and_old_ones_dropped() -> None:
    api, new = Api(), rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert await api.review(signed()) is not None
    api.keys = [rsa_jwk(new, kid="new")]
    assert await api.review(signed(new, head={"kid": "new"})) is None, "the keys were read just now"
    assert api.reads == 1, "an unknown key must not cause repeated requests"
    api.seconds += keys.AGAIN_SECONDS + 1
    assert await api.review(signed(new, head={"kid": "new"})) is not None
    assert await api.review(signed()) is None
    assert api.reads == 2
    api.seconds += KEEP_SECONDS + 1
    api.now += timedelta(seconds=1)
    assert await api.review(signed(new, head={"kid": "new"})) is not None
    assert api.reads == 3


async def test_an_error_while_reading_keys_is_raised() -> None:
    api = Api()
    api.down = ForbiddenError(403, "Forbidden", "no")
    with pytest.raises(ForbiddenError):
        await api.review(signed())
