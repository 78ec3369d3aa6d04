"""Keys and certificates of a cluster, as files. Each cluster has its own certificate authority."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from trainyard_operator.progress import pki

_DAYS = 365


@dataclass(frozen=True)
class Identity:
    """A certificate with its key, as files."""

    certificate: Path
    key: Path


class Authority:
    """A new certificate authority, with its files in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._folder = folder
        self._authority = pki.make_authority("trainyard-cluster", datetime.now(UTC), _DAYS)
        self.files = self._write("ca", self._authority.pem.encode(), pki.key_pem(self._authority.key))

    def issue(
        self, file: str, common_name: str, *, organization: str = "", names: Sequence[str] = (), server: bool = False
    ) -> Identity:
        """Return a certificate for a client, or for a server with these DNS names and IP addresses."""
        usages = [pki.CLIENT, *([pki.SERVER] if server else [])]
        now = datetime.now(UTC)
        certificate, key = pki.issue(
            self._authority, common_name, now, _DAYS, usages=usages, names=names, organization=organization
        )
        return self._write(file, pki.certificate_pem(certificate), pki.key_pem(key))

    def service_account_keys(self) -> Identity:
        """Return the RSA key pair that signs service account tokens. The "certificate" is the public key."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        return self._write("service-account", public, private, suffix="pub")

    def _write(self, file: str, certificate: bytes, key: bytes, *, suffix: str = "crt") -> Identity:
        public, secret = self._folder / f"{file}.{suffix}", self._folder / f"{file}.key"
        public.write_bytes(certificate)
        secret.touch(mode=0o600)
        secret.write_bytes(key)
        return Identity(public, secret)
