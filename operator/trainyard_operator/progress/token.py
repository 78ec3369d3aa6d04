"""Claims in a service account token. They are not verified, so they can only justify a refusal."""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from trainyard_operator.progress.refused import RefusedError

SCHEME = "bearer"
CLAIM = "kubernetes.io"
"""Claim of a bound service account token with namespace, pod and service account."""


@dataclass(frozen=True)
class ClaimedToken:
    """A bearer token with its unverified claims."""

    value: str
    audiences: tuple[str, ...]
    namespace: str

    def __repr__(self) -> str:
        return "ClaimedToken(...)"

    @property
    def digest(self) -> bytes:
        """A cache key, so that no token stays in memory longer than its request."""
        return hashlib.sha256(self.value.encode()).digest()

    @classmethod
    def from_header(cls, header: str | None) -> Self:
        """Parse the Authorization header.

        Raises
        ------
        RefusedError
            401 if it does not contain a pod's token.
        """
        scheme, _, value = (header or "").partition(" ")
        value = value.strip()
        if scheme.lower() != SCHEME or not value:
            raise RefusedError(401, "no bearer token; send the projected token of the trainer's pod")
        claims = _claims(value)
        audiences = claims.get("aud")
        listed = [audiences] if isinstance(audiences, str) else audiences
        bound = claims.get(CLAIM)
        if not isinstance(listed, list) or not isinstance(bound, Mapping):
            raise RefusedError(401, "the bearer token is not a service account token of a pod")
        return cls(value, tuple(str(audience) for audience in listed), str(bound.get("namespace", "")))


def _claims(token: str) -> Mapping[str, Any]:
    parts = token.split(".")
    if len(parts) != 3:
        raise RefusedError(401, "the bearer token is not a JSON web token")
    try:
        claims = json.loads(base64.b64decode(parts[1] + "=" * (-len(parts[1]) % 4), altchars=b"-_"))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise RefusedError(401, "the bearer token is not a JSON web token") from error
    if not isinstance(claims, dict):
        raise RefusedError(401, "the bearer token is not a JSON web token")
    return claims
