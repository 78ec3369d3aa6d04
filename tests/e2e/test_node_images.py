"""The containerd that unpacks images does not delete layers by itself. So an import finds the layers it shares."""

import io
import json
import os
import tarfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from cluster import containers, layouts, packages
from cluster.commands import run
from cluster.host_node import HostBackend
from cluster.processes import ProcessTable

_OWN_MOUNTS = ("unshare", "--mount", "--propagation=private", "--")
_ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
_REF = "localhost/it:demo"


@pytest.fixture
def socket(tmp_path: Path) -> Iterator[Path]:
    if why := HostBackend().obstacle():
        if os.environ.get("CI") == "true":
            pytest.fail(f"the host node cannot run here: {why}")
        pytest.skip(f"the host node cannot run here: {why}")
    packages.ensure(packages.NODE_PACKAGES, print)
    table = ProcessTable(tmp_path, _OWN_MOUNTS)
    try:
        yield containers.start_store(table, tmp_path, tmp_path / "store")
    finally:
        table.stop("containerd")


def layer(content: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        entry = tarfile.TarInfo("content")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content.encode()))
    return stream.getvalue()


def write_blob(images: Path, content: bytes, media: str) -> dict[str, object]:
    digest = sha256(content).hexdigest()
    (images / "blobs/sha256").mkdir(parents=True, exist_ok=True)
    (images / "blobs/sha256" / digest).write_bytes(content)
    return {"mediaType": f"application/vnd.oci.image.{media}", "digest": f"sha256:{digest}", "size": len(content)}


def image(images: Path, name: str, *contents: str) -> Path:
    """Write an image that containerd can unpack. Return its layout."""
    layers = [write_blob(images, layer(content), "layer.v1.tar") for content in contents]
    root = {"type": "layers", "diff_ids": [part["digest"] for part in layers]}
    settings = json.dumps({"architecture": _ARCHITECTURE, "os": "linux", "rootfs": root})
    config = write_blob(images, settings.encode(), "config.v1+json")
    manifest = json.dumps({"schemaVersion": 2, "config": config, "layers": layers})
    described = write_blob(images, manifest.encode(), "manifest.v1+json")
    (images / name).mkdir()
    (images / name / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (images / name / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [described]}))
    layouts.name(images / name, _REF)
    return images / name


def ctr(socket: Path, *words: str) -> str:
    return run(("ctr", f"--address={socket}", "--namespace=k8s.io", *words))


def snapshots(socket: Path) -> int:
    return len(ctr(socket, "snapshots", "list").splitlines()) - 1


def test_layers_stay_until_a_garbage_collection_is_requested(socket: Path, tmp_path: Path):
    containers.import_image(socket, tmp_path / "store", image(tmp_path / "images", "old", "a library", "the old code"))
    assert snapshots(socket) == 2
    ctr(socket, "images", "remove", _REF)
    for _ in range(20):  # as imports do; by default, the first deletion starts a garbage collection
        ctr(socket, "leases", "delete", ctr(socket, "leases", "create").strip())
    assert snapshots(socket) == 2

    newer = image(tmp_path / "images", "new", "a library", "the new code")
    containers.import_image(socket, tmp_path / "store", newer)
    containers.collect(socket)
    assert snapshots(socket) == 2, "the library and the new code"


def test_an_image_whose_blobs_exist_can_be_imported_again(socket: Path, tmp_path: Path):
    complete = image(tmp_path / "images", "it", "a library", "the code")
    containers.import_image(socket, tmp_path / "store", complete)
    ctr(socket, "images", "remove", _REF)
    containers.import_image(socket, tmp_path / "store", complete)
    assert _REF in ctr(socket, "images", "list", "--quiet").split()
