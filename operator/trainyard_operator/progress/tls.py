"""The endpoint's own certificate authority and the server certificates it signs.

Only the authority lies in the Secret: pods get its certificate with their Job, so it must outlive the operator. Server
certificates live in memory; every start makes one, and a long-running operator makes the next in time. So the operator
needs no right to change or delete a Secret, and two of them at once present different certificates of one authority.
"""

import asyncio
import base64
import binascii
import ssl
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from trainyard_api import meta
from trainyard_operator.core.plan import Body
from trainyard_operator.kube.errors import AlreadyExistsError, NotFoundError
from trainyard_operator.kube.port import SECRETS, KubePort
from trainyard_operator.progress import pki
from trainyard_operator.progress.pki import Authority

AUTHORITY_DAYS = 3650
LAST_DAYS = 30
"""An authority with less time than this is refused at start, while there is time to replace it in peace."""
SERVER_DAYS = 90
RENEW_DAYS = 30
"""A server certificate is replaced when this is left of it."""
CERTIFICATE_KEY = "tls.crt"
PRIVATE_KEY = "tls.key"

Clock = Callable[[], datetime]


class TlsSecretError(Exception):
    """The Secret holds no usable authority; the message is one sentence that says what to do."""


async def ensure_authority(port: KubePort, namespace: str, name: str, *, now: datetime) -> Authority:
    """Return the authority of the Secret ``namespace/name``, which is made if there is none.

    Two operators that start together end with one authority: the later one reads what the earlier one made.

    Raises
    ------
    TlsSecretError
        When the Secret holds something else, or an authority that ends soon.
    ApiError
        When the API server does not let us.
    """
    try:
        secret = await port.get(SECRETS, namespace, name)
    except NotFoundError:
        try:
            secret = await port.create(SECRETS, namespace, _secret(name, make_authority(now)))
        except AlreadyExistsError:
            secret = await port.get(SECRETS, namespace, name)
    authority = _authority(secret, f"Secret {namespace}/{name}")
    if authority.certificate.not_valid_after_utc - now < timedelta(days=LAST_DAYS):
        raise TlsSecretError(
            f"the certificate authority in Secret {namespace}/{name} ends at "
            f"{authority.certificate.not_valid_after_utc:%Y-%m-%d}; delete the Secret and restart the operator"
        )
    return authority


def make_authority(now: datetime) -> Authority:
    """Make an authority for the progress endpoint alone."""
    return pki.make_authority("trainyard progress endpoint", now, AUTHORITY_DAYS)


def server_names(url: str) -> list[str]:
    """Return the names to certify: the host that pods are told and, for a Service, its shorter and longer forms.

    ``https://trainyard.ops.svc:8443`` gives ``trainyard.ops.svc``, ``trainyard``, ``trainyard.ops`` and
    ``trainyard.ops.svc.cluster.local``.
    """
    host = urlsplit(url).hostname or "localhost"
    parts = host.split(".")
    if len(parts) < 3 or parts[2] != "svc":
        return [host]
    service, namespace = parts[0], parts[1]
    names = [host, service, f"{service}.{namespace}", f"{service}.{namespace}.svc"]
    return list(dict.fromkeys([*names, f"{service}.{namespace}.svc.cluster.local"]))


class ServerCertificate:
    """A TLS context whose certificate is replaced before it ends; open connections keep the one they began with."""

    def __init__(self, authority: Authority, names: list[str], *, clock: Clock = lambda: datetime.now(UTC)) -> None:
        self._authority = authority
        self._names = names
        self._clock = clock
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.expires = self.renew()

    def renew(self) -> datetime:
        """Make a new certificate and use it from the next handshake on; return when it ends."""
        names = self._names
        certificate, key = pki.issue(
            self._authority, names[0], self._clock(), SERVER_DAYS, usages=[pki.SERVER], names=names
        )
        with tempfile.TemporaryDirectory() as private:  # Python's ssl reads keys from files only
            chain, secret = Path(private, "chain.pem"), Path(private, "key.pem")
            chain.write_bytes(pki.certificate_pem(certificate))
            secret.write_bytes(pki.key_pem(key))
            self.context.load_cert_chain(chain, secret)
        self.expires = certificate.not_valid_after_utc
        return self.expires

    async def keep_fresh(self) -> None:
        """Renew in time, for as long as the process runs."""
        while True:
            left = self.expires - timedelta(days=RENEW_DAYS) - self._clock()
            await asyncio.sleep(max(0.0, left.total_seconds()))
            self.renew()


def _secret(name: str, authority: Authority) -> Body:
    content = {CERTIFICATE_KEY: authority.pem.encode(), PRIVATE_KEY: pki.key_pem(authority.key)}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": {meta.MANAGED_BY_LABEL: meta.MANAGED_BY}},
        "type": "kubernetes.io/tls",
        "data": {key: base64.b64encode(value).decode() for key, value in content.items()},
    }


def _authority(secret: Body, where: str) -> Authority:
    data = secret.get("data") or {}
    try:
        certificate = x509.load_pem_x509_certificate(base64.b64decode(data[CERTIFICATE_KEY]))
        key = serialization.load_pem_private_key(base64.b64decode(data[PRIVATE_KEY]), password=None)
    except (KeyError, ValueError, TypeError, binascii.Error) as error:
        raise TlsSecretError(
            f"{where} holds no certificate authority ({type(error).__name__} on {CERTIFICATE_KEY} or {PRIVATE_KEY}); "
            "delete it, or name another in progress.tlsSecret"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise TlsSecretError(f"{where} holds a key and a certificate that do not belong together; delete it")
    return Authority(certificate, key)
