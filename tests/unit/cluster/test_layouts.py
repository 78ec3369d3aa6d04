"""Image layouts that share their blobs: what is packed for a reader, and what is removed."""

import json
import subprocess
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest

from cluster import layouts


def keep(images: Path, content: bytes) -> str:
    digest = sha256(content).hexdigest()
    (images / "blobs/sha256").mkdir(parents=True, exist_ok=True)
    (images / "blobs/sha256" / digest).write_bytes(content)
    return digest


def described(digest: str) -> dict[str, str]:
    return {"digest": f"sha256:{digest}"}


def image(images: Path, name: str, *layers: bytes) -> list[str]:
    """Write a layout as skopeo does; return its digests: the layers, the configuration, the manifest."""
    parts = [keep(images, layer) for layer in layers]
    config = keep(images, f"configuration of {name}".encode())
    manifest = json.dumps({"config": described(config), "layers": [described(part) for part in parts]})
    digest = keep(images, manifest.encode())
    (images / name).mkdir()
    (images / name / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (images / name / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [described(digest)]}))
    return [*parts, config, digest]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return tmp_path / "images"


def test_known_blobs_are_not_packed(images: Path):
    library, code, *rest = image(images, "one", b"a library", b"the code")
    layouts.name(images / "one", "localhost/one:demo")
    packed = subprocess.run(layouts.pack(images / "one", {library}.__contains__), check=True, capture_output=True)
    tar = images / "one.tar"
    tar.write_bytes(packed.stdout)
    with tarfile.open(tar) as content:
        names = set(content.getnames())
        index = content.extractfile("index.json")
        assert index is not None
        assert json.load(index)["manifests"][0]["annotations"] == {"io.containerd.image.name": "localhost/one:demo"}
    assert names == {"oci-layout", "index.json", *(f"blobs/sha256/{digest}" for digest in (code, *rest))}


def test_only_unused_blobs_are_removed(images: Path):
    image(images, "old", b"a library", b"the old code")
    kept = image(images, "new", b"a library", b"the new code")
    (images / "old" / "index.json").unlink()
    layouts.remove_unused(images)
    assert {blob.name for blob in (images / "blobs/sha256").iterdir()} == set(kept)


def test_an_archive_is_not_a_layout(images: Path):
    image(images, "one", b"a layer")
    (images / "one.tar").write_bytes(b"")
    assert [layouts.is_layout(images / name) for name in ("one", "one.tar", "none")] == [True, False, False]
