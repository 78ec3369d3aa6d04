"""Pure parts of the host node, its images and its programs."""

import json
import re
import socket
import ssl
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from cluster import addons, toolchain
from cluster.archives import write_archive
from cluster.host_network import Network, first_free
from cluster.images import ImageBuild
from cluster.model import ClusterError
from cluster.pki import Authority


def test_network_parts_do_not_overlap():
    network = Network(140)
    services, pods, link = ip_network(network.services), ip_network(network.pods), ip_network("10.140.0.0/30")
    assert not services.overlaps(pods)
    assert not link.overlaps(services)
    assert not link.overlaps(pods)
    assert all(part.subnet_of(ip_network(network.range)) for part in (services, pods, link))
    assert ip_address(network.dns_ip) in services
    assert ip_address(network.node_ip) in link
    assert len(f"{network.interface}n") <= 15, "Linux takes no longer names of interfaces"


def test_network_avoids_clusters_and_routes():
    assert first_free([], []).number == 130
    assert first_free([130], ["10.131.7.0/24", "192.0.2.1", "10.132.0.0/14"]).number == 136
    with pytest.raises(ClusterError, match="take down a cluster"):
        first_free([], ["10.0.0.0/8"])


def test_archive_is_what_docker_save_writes(tmp_path: Path):
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    first, second = (
        write_archive(tmp_path / name, "localhost/it:1", {"/bin/it": program}, ["/bin/it"]) for name in ("a", "b")
    )
    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as tar:
        manifest = json.load(tar.extractfile("manifest.json") or pytest.fail("no manifest"))[0]
        config = json.load(tar.extractfile(manifest["Config"]) or pytest.fail("no config"))
        with tarfile.open(fileobj=tar.extractfile(manifest["Layers"][0])) as layer:
            assert [(entry.name, entry.mode) for entry in layer] == [("bin/it", 0o755)]
    assert manifest["RepoTags"] == ["localhost/it:1"]
    assert config["config"]["Entrypoint"] == ["/bin/it"]
    assert len(config["rootfs"]["diff_ids"]) == len(config["history"]) == 1


def test_several_may_write_one_archive_at_a_time(tmp_path: Path):
    program, archive = tmp_path / "program", tmp_path / "images" / "it.tar"
    program.write_bytes(b"x" * 2**20)
    with ThreadPoolExecutor(8) as pool:
        written = [
            pool.submit(write_archive, archive, "localhost/it:1", {"/bin/it": program}, ["/bin/it"]) for _ in range(64)
        ]
    assert {each.result() for each in written} == {archive}
    assert [each.name for each in archive.parent.iterdir()] == ["it.tar"]


def test_an_image_is_built_again_only_if_an_input_changes(tmp_path: Path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("1")
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("FROM base AS one\nCOPY code /code\nFROM base\nCOPY --from=one /code /code\n")
    build = ImageBuild(dockerfile, tmp_path, "localhost/it:1")
    before = build.digest("base")
    (tmp_path / "README").write_text("not copied")
    (tmp_path / "code" / "__pycache__").mkdir()
    (tmp_path / "code" / "__pycache__" / "a.pyc").write_text("not copied")
    assert build.digest("base") == before
    assert build.digest("other base") != before
    (tmp_path / "code" / "a.py").write_text("2")
    assert build.digest("base") != before


_ALL_SETS = (*toolchain.TOOL_SETS, *toolchain.OLDER_SERVERS.values())


@pytest.mark.parametrize("tools", _ALL_SETS, ids=lambda tools: tools.name)
def test_programs_are_pinned(tools: toolchain.ToolSet):
    declared = re.findall(r"^(?:tool |\t)([^\s(]+)$", (tools.folder / "go.mod").read_text(), re.MULTILINE)
    assert set(tools.programs.values()) <= {*declared, "."}
    assert tools.key.startswith(f"{tools.name}-")


_NEWEST = next(tools for tools in toolchain.TOOL_SETS if tools.name == "kubernetes")


@pytest.mark.parametrize(
    ("version", "tools"), [(toolchain.KUBERNETES_VERSION, _NEWEST), *toolchain.OLDER_SERVERS.items()]
)
def test_kubernetes_reports_its_version(version: str, tools: toolchain.ToolSet):
    assert re.search(
        rf"k8s\.io/kubernetes {version}(?: // indirect)?$", (tools.folder / "go.mod").read_text(), re.MULTILINE
    )
    assert f"component-base/version.gitVersion={version}" in tools.flags


@pytest.mark.parametrize("forward", [True, False])
def test_dns_forwards_only_to_existing_name_servers(*, forward: bool):
    corefile = next(each for each in addons.core_dns("10.130.64.10", forward=forward) if each["kind"] == "ConfigMap")
    assert ("forward . /etc/resolv.conf" in corefile["data"]["Corefile"]) is forward


def test_certificates_satisfy_the_strictest_client(tmp_path: Path):
    authority = Authority(tmp_path)
    server = authority.issue("server", "kube-apiserver", names=("localhost", "127.0.0.1"), server=True)
    client = authority.issue("client", "system:node:n", organization="system:nodes")
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.files.certificate))
    serving.load_cert_chain(server.certificate, server.key)
    serving.verify_mode = ssl.CERT_REQUIRED
    asking = ssl.create_default_context(cafile=str(authority.files.certificate))
    asking.load_cert_chain(client.certificate, client.key)
    for context in (serving, asking):
        context.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    left, right = socket.socketpair()
    served: list[ssl.SSLSocket] = []
    thread = threading.Thread(target=lambda: served.append(serving.wrap_socket(left, server_side=True)))
    thread.start()
    with asking.wrap_socket(right, server_hostname="localhost"):
        thread.join(10)
        (connection,) = served
        subject = {part[0] for part in (connection.getpeercert() or {})["subject"]}
        connection.close()
    assert subject == {("organizationName", "system:nodes"), ("commonName", "system:node:n")}
