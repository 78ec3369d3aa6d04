import base64
import ssl
from pathlib import Path
from typing import Any

import pytest
import yaml

from trainyard_operator.kube.credentials import CredentialsError, FixedToken, TokenFile, load_credentials
from trainyard_operator.progress.tls import make_authority
from trainyard_operator.runtime.clock import utc_now


@pytest.fixture(scope="module")
def ca() -> str:
    return make_authority(utc_now()).pem


def kubeconfig(folder: Path, *, cluster: dict[str, Any], user: dict[str, Any], name: str = "config") -> Path:
    file = folder / name
    content = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
    }
    file.write_text(yaml.safe_dump(content))
    return file


def service_account(folder: Path, ca: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "token").write_text("sa-token\n")
    (folder / "ca.crt").write_text(ca)
    return folder


def test_a_pod_uses_its_service_account(tmp_path: Path, ca: str) -> None:
    folder = service_account(tmp_path / "sa", ca)
    env = {"TRAINYARD_SERVICE_ACCOUNT_DIR": str(folder), "KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBECONFIG": "/else"}
    found = load_credentials(env)
    assert (found.server, found.token.current()) == ("https://10.0.0.1:443", "sa-token")
    assert found.tls is not None
    assert found.tls.verify_mode is ssl.CERT_REQUIRED


def test_an_ipv6_address_is_put_in_brackets(tmp_path: Path, ca: str) -> None:
    folder = service_account(tmp_path / "sa", ca)
    env = {
        "TRAINYARD_SERVICE_ACCOUNT_DIR": str(folder),
        "KUBERNETES_SERVICE_HOST": "fd00::1",
        "KUBERNETES_SERVICE_PORT": "6443",
    }
    assert load_credentials(env).server == "https://[fd00::1]:6443"


def test_a_kubeconfig_with_inline_data_and_a_token(tmp_path: Path, ca: str) -> None:
    cluster = {"server": "https://h:6443/", "certificate-authority-data": base64.b64encode(ca.encode()).decode()}
    found = load_credentials({"KUBECONFIG": str(kubeconfig(tmp_path, cluster=cluster, user={"token": "s3cr3t"}))})
    assert (found.server, found.token.current()) == ("https://h:6443", "s3cr3t")
    assert "s3cr3t" not in repr(found)


def test_relative_paths_start_at_the_kubeconfig(tmp_path: Path, ca: str) -> None:
    (tmp_path / "ca.crt").write_text(ca)
    (tmp_path / "token").write_text("from-file")
    cluster = {"server": "https://h", "certificate-authority": "ca.crt"}
    found = load_credentials({"KUBECONFIG": str(kubeconfig(tmp_path, cluster=cluster, user={"tokenFile": "token"}))})
    assert isinstance(found.token, TokenFile)
    assert found.token.current() == "from-file"


def test_a_broken_client_certificate_is_refused(tmp_path: Path, ca: str) -> None:
    broken = {"client-certificate-data": base64.b64encode(ca.encode()).decode(), "client-key-data": "bm8="}
    cluster = {"server": "https://h", "insecure-skip-tls-verify": True}
    with pytest.raises(CredentialsError, match="client certificate"):
        load_credentials({"KUBECONFIG": str(kubeconfig(tmp_path, cluster=cluster, user=broken))})


def test_tls_verification_is_off_only_if_the_kubeconfig_says_so(tmp_path: Path) -> None:
    cluster = {"server": "https://h", "insecure-skip-tls-verify": True}
    found = load_credentials({"KUBECONFIG": str(kubeconfig(tmp_path, cluster=cluster, user={}))})
    assert found.tls is not None
    assert found.tls.verify_mode is ssl.CERT_NONE
    assert found.token == FixedToken("")


def test_the_home_folder_is_read_last(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    kubeconfig(tmp_path / ".kube", cluster={"server": "http://h"}, user={})
    found = load_credentials({"HOME": str(tmp_path)})
    assert (found.server, found.tls) == ("http://h", None)


def test_the_first_of_several_files_is_used(tmp_path: Path) -> None:
    one = kubeconfig(tmp_path, cluster={"server": "http://one"}, user={}, name="one")
    two = kubeconfig(tmp_path, cluster={"server": "http://two"}, user={"token": "t"}, name="two")
    assert load_credentials({"KUBECONFIG": f"{one}:{two}"}).server == "http://one"


@pytest.mark.parametrize(
    ("cluster", "user", "expected"),
    [
        ({"server": "https://h"}, {"exec": {"command": "aws"}}, "user 'u' of .* uses exec, which is not supported"),
        ({"server": "https://h"}, {"username": "a", "password": "b"}, "uses username"),
        ({"server": "https://h", "proxy-url": "http://p"}, {}, "cluster 'c' of .* uses proxy-url"),
        ({}, {}, "has no server"),
        ({"server": "https://h", "certificate-authority": "missing.crt"}, {}, "certificates .* cannot be used"),
        ({"server": "https://h", "certificate-authority-data": "%%%"}, {}, "not base64"),
    ],
)
def test_unsupported_settings_are_named(
    tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any], expected: str
) -> None:
    file = kubeconfig(tmp_path, cluster=cluster, user=user)
    with pytest.raises(CredentialsError, match=expected):
        load_credentials({"KUBECONFIG": str(file)})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "cannot be read"),
        ("a: [", "cannot be read"),
        ("just text", "contains no clusters"),
        ("current-context: gone", "defines no context 'gone'"),
        ("{}", "defines no context ''"),
    ],
)
def test_a_broken_kubeconfig_is_named(tmp_path: Path, text: str | None, expected: str) -> None:
    file = tmp_path / "config"
    if text is not None:
        file.write_text(text)
    with pytest.raises(CredentialsError, match=expected):
        load_credentials({"KUBECONFIG": str(file)})


def test_without_any_credentials_the_message_names_kubeconfig(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="set KUBECONFIG"):
        load_credentials({"HOME": str(tmp_path)})


def test_a_service_account_without_a_token_is_refused(tmp_path: Path) -> None:
    env = {"TRAINYARD_SERVICE_ACCOUNT_DIR": str(tmp_path), "KUBERNETES_SERVICE_HOST": "h"}
    with pytest.raises(CredentialsError, match="token cannot be read"):
        load_credentials(env)


def test_a_service_account_without_a_server_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="KUBERNETES_SERVICE_HOST is not set"):
        load_credentials({"TRAINYARD_SERVICE_ACCOUNT_DIR": str(tmp_path)})
