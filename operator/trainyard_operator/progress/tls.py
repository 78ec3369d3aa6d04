"""Certificate authority of the progress endpoint, and its server certificates.

Only the authority is stored in the Secret. Pods get its certificate with their Job, so it must outlive the operator.
Server certificates exist only in memory. Each start creates one, and a running operator renews it in time. Therefore
the operator needs no permission to change or delete a Secret. Two operators use different certificates of the same
authority.
"""

import asyncio
import base64
import binascii
import ssl
import tempfile
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
from trainyard_operator.runtime.clock import Clock

AUTHORITY_DAYS = 3650
LAST_DAYS = 30
"""Minimum remaining time of an authority. A start with less is refused while there is still time to replace it."""
SERVER_DAYS = 90
RENEW_DAYS = 30
"""A server certificate is renewed when this much time remains."""
CERTIFICATE_KEY = "tls.crt"
PRIVATE_KEY = "tls.key"


class TlsSecretError(Exception):
    """The Secret contains no usable authority. The message says what to do."""


async def ensure_authority(port: KubePort, namespace: str, name: str, *, now: datetime) -> Authority:
    """Return the authority in the Secret ``namespace/name``. It is created if the Secret does not exist.

    If two operators start together, they use the same authority: the second one reads the Secret of the first one.

    Raises
    ------
    TlsSecretError
        If the Secret contains something else, or an authority that expires soon.
    ApiError
        If the API server does not respond, or refuses the request.
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
            f"the certificate authority in Secret {namespace}/{name} expires on "
            f"{authority.certificate.not_valid_after_utc:%Y-%m-%d}; delete the Secret and restart the operator"
        )
    return authority


def make_authority(now: datetime) -> Authority:
    """Return a new authority for the progress endpoint."""
    return pki.make_authority("trainyard progress endpoint", now, AUTHORITY_DAYS)


def server_names(url: str) -> list[str]:
    """Return the names for the certificate: the host in the URL and, for a Service, its shorter and longer forms.

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
    """TLS context whose certificate is renewed before it expires. Open connections keep their certificate."""

    def __init__(self, authority: Authority, names: list[str], *, clock: Clock = lambda: datetime.now(UTC)) -> None:
        self._authority = authority
        self._names = names
        self._clock = clock
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.expires = self.renew()

    def renew(self) -> datetime:
        """Create a new certificate for all later handshakes, and return its expiry time."""
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
        """Renew the certificate in time, forever."""
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
            f"{where} contains no valid certificate authority ({type(error).__name__} in {CERTIFICATE_KEY} or "
            f"{PRIVATE_KEY}); delete the Secret, or set another one in progress.tlsSecret"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise TlsSecretError(f"{where} contains a key and a certificate that do not match; delete the Secret")
    return Authority(certificate, key)
