"""Image archives without an image builder: one layer from files, in the format of ``docker save``.

That format carries the image's name, and containerd, kind, docker and buildah all read it.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path


def write_archive(archive: Path, ref: str, files: Mapping[str, Path], entrypoint: Sequence[str]) -> Path:
    """Write an image of some executable files (path in the image to file); equal input gives equal bytes."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for name, file in files.items():
            _add(tar, name.lstrip("/"), file.read_bytes(), 0o755)
    return write_layer_archive(archive, ref, layer.getvalue(), {"Entrypoint": list(entrypoint), "User": "65532:65532"})


def write_layer_archive(archive: Path, ref: str, layer: bytes, settings: Mapping[str, object]) -> Path:
    """Write an image of one layer, an uncompressed tar."""
    digest = hashlib.sha256(layer).hexdigest()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": dict(settings),
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    ).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [ref], "Layers": [f"{digest}/layer.tar"]}]).encode()
    archive.parent.mkdir(parents=True, exist_ok=True)
    partial = archive.with_suffix(".partial")
    with tarfile.open(partial, mode="w") as tar:
        for name, content in ((config_name, config), (f"{digest}/layer.tar", layer), ("manifest.json", manifest)):
            _add(tar, name, content, 0o644)
    partial.rename(archive)
    return archive


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))
