"""Token verification with the API server's public keys, for an operator without the permission for TokenReview.

TokenReview needs a cluster-wide permission. The keys of service account tokens are readable for every service account
(ClusterRole ``system:service-account-issuer-discovery``), so the signature is checked here. TokenReview also checks
whether the token's pod exists. Here, the pod is read for that.
"""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from trainyard_operator.core.plan import Body
from trainyard_operator.kube.errors import NotFoundError
from trainyard_operator.kube.port import PODS, KubePort, TokenIdentity
from trainyard_operator.progress.token import CLAIM

POD_NAME = "authentication.kubernetes.io/pod-name"
POD_UID = "authentication.kubernetes.io/pod-uid"

ISSUER_PATH = "/.well-known/openid-configuration"
KEYS_PATH = "/openid/v1/jwks"
KEEP_SECONDS = 600.0
"""How long keys are cached. A removed key is accepted no longer than this."""
AGAIN_SECONDS = 10.0
"""Minimum time between two reads for an unknown key, which may be a new one."""
LEEWAY_SECONDS = 10.0
"""Maximum difference between the clocks of the API server and the operator."""

_HASHES: Mapping[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
_CURVES: Mapping[str, Callable[[], ec.EllipticCurve]] = {
    "P-256": ec.SECP256R1,
    "P-384": ec.SECP384R1,
    "P-521": ec.SECP521R1,
}

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


class TokenReviewer(Protocol):
    """Interface for token reviews."""

    async def review_token(self, token: str, audience: str) -> TokenIdentity | None:
        """Return the owner of a token, ``None`` if it is not valid for ``audience``.

        Raises
        ------
        ApiError
            If the API server does not respond.
        """
        ...


class Documents(Protocol):
    """Interface for the documents of the API server."""

    async def read(self, path: str) -> Body:
        """Return the JSON at a path.

        Raises
        ------
        ApiError
            If the API server does not respond, or refuses the request.
        """
        ...


class IssuerKeys:
    """Verify tokens by their signature, their claims, and their pod."""

    def __init__(
        self,
        documents: Documents,
        port: KubePort,
        *,
        clock: Callable[[], datetime],
        steady: Callable[[], float],
    ) -> None:
        """Create a verifier. ``clock`` returns the time for the expiry of tokens; ``steady`` counts seconds."""
        self._documents = documents
        self._port = port
        self._clock = clock
        self._steady = steady
        self._issuer = ""
        self._keys: dict[str, PublicKey] = {}
        self._read = float("-inf")

    async def review_token(self, token: str, audience: str) -> TokenIdentity | None:
        """Return the owner of a token, ``None`` if it is not valid for ``audience``.

        Raises
        ------
        ApiError
            If the API server does not respond, or does not allow reading its keys.
        """
        try:
            head, claims, signed, signature = _parts(token)
        except (ValueError, binascii.Error, RecursionError):
            return None
        key = await self._key(str(head.get("kid", "")))
        if key is None or not _is_signed(key, str(head.get("alg", "")), signed, signature):
            return None
        if claims.get("iss") != self._issuer or not self._is_current(claims):
            return None
        audiences = claims.get("aud")
        named = tuple(str(each) for each in ([audiences] if isinstance(audiences, str) else audiences or ()))
        pod = (claims.get(CLAIM) or {}).get("pod") or {}
        if audience not in named or not await self._is_there(claims, pod):
            return None
        extra = {POD_NAME: (str(pod["name"]),), POD_UID: (str(pod["uid"]),)} if pod else {}
        return TokenIdentity(str(claims.get("sub", "")), named, extra)

    async def _key(self, name: str) -> PublicKey | None:
        age = self._steady() - self._read
        if age > KEEP_SECONDS or (name not in self._keys and age > AGAIN_SECONDS):
            issuer = await self._documents.read(ISSUER_PATH)
            found = await self._documents.read(KEYS_PATH)
            self._issuer = str(issuer.get("issuer", ""))
            self._keys = {str(each.get("kid", "")): key for each in found.get("keys") or () if (key := _public(each))}
            self._read = self._steady()
        return self._keys.get(name)

    def _is_current(self, claims: Mapping[str, Any]) -> bool:
        now = self._clock().timestamp()
        begins, ends = claims.get("nbf", 0), claims.get("exp")
        if not isinstance(ends, int | float) or not isinstance(begins, int | float):
            return False
        return begins - LEEWAY_SECONDS <= now < ends + LEEWAY_SECONDS

    async def _is_there(self, claims: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
        """Return whether the pod of a token exists. A token without a pod passes, because the caller checks it."""
        if not pod:
            return True
        try:
            found = await self._port.get(PODS, str(claims[CLAIM].get("namespace", "")), str(pod.get("name", "")))
        except NotFoundError:
            return False
        return bool(found["metadata"].get("uid") == pod.get("uid"))


def _parts(token: str) -> tuple[Body, Body, bytes, bytes]:
    """Return the header, the claims, the signed part and the signature of a token.

    Raises
    ------
    ValueError
        If the text is not a token.
    """
    head, claims, signature = token.split(".")
    parsed = [json.loads(_decode(part)) for part in (head, claims)]
    if not all(isinstance(part, dict) for part in parsed) or not isinstance(parsed[1].get(CLAIM, {}), dict):
        raise ValueError("not a JSON web token of a service account")
    return parsed[0], parsed[1], f"{head}.{claims}".encode(), _decode(signature)


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _number(text: str) -> int:
    return int.from_bytes(_decode(text), "big")


def _public(key: Mapping[str, Any]) -> PublicKey | None:
    """Parse a JSON web key. Return ``None`` for a type that signs no Kubernetes tokens."""
    match key.get("kty"):
        case "RSA":
            return rsa.RSAPublicNumbers(_number(key["e"]), _number(key["n"])).public_key()
        case "EC" if key.get("crv") in _CURVES:
            curve = _CURVES[key["crv"]]()
            return ec.EllipticCurvePublicNumbers(_number(key["x"]), _number(key["y"]), curve).public_key()
        case _:
            return None


def _is_signed(key: PublicKey, algorithm: str, signed: bytes, signature: bytes) -> bool:
    """Return whether a signature is valid. The type of the key decides which algorithms are allowed."""
    digest = _HASHES.get(algorithm[2:])
    try:
        if digest is None:
            return False
        if isinstance(key, rsa.RSAPublicKey) and algorithm.startswith("RS"):
            key.verify(signature, signed, padding.PKCS1v15(), digest)
            return True
        if isinstance(key, ec.EllipticCurvePublicKey) and algorithm.startswith("ES"):
            half = len(signature) // 2
            numbers = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
            key.verify(encode_dss_signature(*numbers), signed, ec.ECDSA(digest))
            return True
    except InvalidSignature:
        return False
    return False
