"""Credentials for the API server: a service account inside a cluster, or a kubeconfig outside."""

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SERVICE_ACCOUNT_DIR_ENV = "TRAINYARD_SERVICE_ACCOUNT_DIR"
SERVICE_ACCOUNT_DIR = "/var/run/secrets/kubernetes.io/serviceaccount"
UNSUPPORTED_USER = ("exec", "auth-provider", "username", "password")
UNSUPPORTED_CLUSTER = ("proxy-url", "tls-server-name")


class CredentialsError(Exception):
    """No usable credentials. The message names the places that were searched and says what to do."""


class TokenFile:
    """A bearer token in a file. The kubelet replaces it long before it expires, so it is read again when it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._token = ""

    def current(self) -> str:
        """Return the current token in the file.

        Raises
        ------
        CredentialsError
            If the file is gone or unreadable.
        """
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_ino)
            if stamp != self._stamp:
                self._token = self._path.read_text("utf-8").strip()
                self._stamp = stamp
        except OSError as error:
            raise CredentialsError(
                f"the token file {self._path} cannot be read ({error.strerror}); mount a service account token"
            ) from error
        return self._token


@dataclass(frozen=True)
class FixedToken:
    """A literal bearer token from a kubeconfig; empty if a client certificate is used."""

    value: str = ""

    def current(self) -> str:
        """Return the token."""
        return self.value

    def __repr__(self) -> str:
        return "FixedToken(...)"


@dataclass(frozen=True)
class Credentials:
    """One API server and one identity.

    Attributes
    ----------
    server
        Base URL without a trailing slash.
    tls
        TLS context with the cluster's CA and the client certificate, if any; ``None`` for plain HTTP.
    token
        Read before every request, because it may rotate.
    """

    server: str
    tls: ssl.SSLContext | None
    token: TokenFile | FixedToken


def load_credentials(env: Mapping[str, str]) -> Credentials:
    """Find credentials: explicit environment variables first, then the cluster of this pod, then the home directory.

    Raises
    ------
    CredentialsError
        If none are found or they cannot be used.
    """
    home = Path(env.get("HOME", "~")).expanduser() / ".kube" / "config"
    if folder := env.get(SERVICE_ACCOUNT_DIR_ENV):
        return from_service_account(Path(folder), env)
    if files := env.get("KUBECONFIG"):
        return from_kubeconfig([Path(file).expanduser() for file in files.split(os.pathsep) if file])
    if env.get("KUBERNETES_SERVICE_HOST"):
        return from_service_account(Path(SERVICE_ACCOUNT_DIR), env)
    if home.exists():
        return from_kubeconfig([home])
    raise CredentialsError(
        "no credentials for a Kubernetes API server: this process is not in a pod (KUBERNETES_SERVICE_HOST is not set) "
        f"and there is no {home}; set KUBECONFIG to a kubeconfig file"
    )


def from_service_account(folder: Path, env: Mapping[str, str]) -> Credentials:
    """Return the credentials of the service account that the kubelet mounted at ``folder``.

    Raises
    ------
    CredentialsError
        If they cannot be used.
    """
    host, port = env.get("KUBERNETES_SERVICE_HOST"), env.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise CredentialsError(f"{folder} contains a service account, but KUBERNETES_SERVICE_HOST is not set; set it")
    authority = f"[{host}]" if ":" in host else host
    token = TokenFile(folder / "token")
    token.current()
    return Credentials(f"https://{authority}:{port}", _trusting(folder / "ca.crt", None), token)


def from_kubeconfig(files: list[Path]) -> Credentials:
    """Return the credentials of the current context.

    If several files define a value, the first one wins, as with kubectl.

    Raises
    ------
    CredentialsError
        If a file cannot be read, a name is not defined, or a login method is not supported.
    """
    merged: dict[str, dict[str, tuple[Path, Mapping[str, Any]]]] = {"clusters": {}, "contexts": {}, "users": {}}
    chosen = ""
    for file in files:
        content = _read(file)
        chosen = chosen or content.get("current-context") or ""
        for section, known in merged.items():
            for entry in content.get(section) or []:
                known.setdefault(entry.get("name", ""), (file.parent, entry.get(section[:-1]) or {}))
    where = os.pathsep.join(map(str, files))
    _, context = _named(merged["contexts"], "context", chosen, where)
    cluster_dir, cluster = _named(merged["clusters"], "cluster", context.get("cluster", ""), where)
    user_dir, user = _named(merged["users"], "user", context.get("user", ""), where)
    _refuse(cluster, UNSUPPORTED_CLUSTER, f"cluster {context.get('cluster')!r} of {where}")
    _refuse(user, UNSUPPORTED_USER, f"user {context.get('user')!r} of {where}")
    server = str(cluster.get("server", "")).rstrip("/")
    if not server.startswith(("http://", "https://")):
        raise CredentialsError(f"cluster {context.get('cluster')!r} of {where} has no server; set its URL")
    return Credentials(
        server,
        _tls(cluster, cluster_dir, user, user_dir) if server.startswith("https") else None,
        _token(user, user_dir),
    )


def _read(file: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CredentialsError(f"the kubeconfig {file} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise CredentialsError(f"the kubeconfig {file} contains no clusters, contexts and users; use another file")
    return content


def _named(
    known: Mapping[str, tuple[Path, Mapping[str, Any]]], what: str, name: str, where: str
) -> tuple[Path, Mapping[str, Any]]:
    if name not in known:
        raise CredentialsError(
            f"the kubeconfig {where} defines no {what} {name!r}; set current-context to a complete context"
        )
    return known[name]


def _refuse(section: Mapping[str, Any], keys: tuple[str, ...], where: str) -> None:
    for key in keys:
        if section.get(key):
            raise CredentialsError(f"{where} uses {key}, which is not supported; use a token or a client certificate")


def _token(user: Mapping[str, Any], folder: Path) -> TokenFile | FixedToken:
    if file := user.get("tokenFile"):
        return TokenFile(folder / file)
    return FixedToken(str(user.get("token") or ""))


def _tls(cluster: Mapping[str, Any], cluster_dir: Path, user: Mapping[str, Any], user_dir: Path) -> ssl.SSLContext:
    """Build the TLS context.

    Python's ssl reads keys only from files, so inline keys are written to a private directory.
    """
    with tempfile.TemporaryDirectory() as private:
        directory = Path(private)
        context = _trusting(
            _as_file(cluster, "certificate-authority", cluster_dir, directory),
            _as_file(user, "client-certificate", user_dir, directory),
            _as_file(user, "client-key", user_dir, directory),
        )
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _as_file(section: Mapping[str, Any], key: str, folder: Path, directory: Path) -> Path | None:
    if data := section.get(f"{key}-data"):
        file = directory / key
        try:
            file.write_bytes(base64.b64decode(data, validate=True))
        except (binascii.Error, ValueError) as error:
            raise CredentialsError(f"{key}-data in the kubeconfig is not base64: {error}") from error
        return file
    return folder / section[key] if section.get(key) else None


def _trusting(ca: Path | None, certificate: Path | None, key: Path | None = None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(ca) if ca else None)
        if certificate is not None:
            context.load_cert_chain(certificate, key)
    except OSError as error:  # ssl.SSLError is one
        raise CredentialsError(
            f"the certificates for the API server cannot be used ({error.strerror or error}): "
            f"CA {ca or 'of the system'}, client certificate {certificate or 'none'}"
        ) from error
    return context
