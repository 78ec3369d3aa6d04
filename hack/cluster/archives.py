"""Image archives without an image builder: one layer, in the format of ``docker save``.

This format has the name of the image, and containerd, kind, docker and buildah read it.
"""

import hashlib
import io
import json
import platform
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

_CREATED = "1970-01-01T00:00:00Z"
"""Constant, so that equal input gives equal bytes. The cache of buildah needs one dated entry for each layer."""
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def write_archive(archive: Path, ref: str, files: Mapping[str, Path], entrypoint: Sequence[str]) -> Path:
    """Write an image of some executables (path in the image to file). Equal input gives equal bytes."""
    with tempfile.TemporaryDirectory() as folder:
        layer = Path(folder) / "layer.tar"
        with tarfile.open(layer, mode="w") as tar:
            for name, file in files.items():
                _add(tar, name.lstrip("/"), file.read_bytes(), 0o755)
        return write_layer_archive(archive, ref, layer, {"Entrypoint": list(entrypoint), "User": "65532:65532"})


def write_layer_archive(archive: Path, ref: str, layer: Path, settings: Mapping[str, str | Sequence[str]]) -> Path:
    """Write an image of one layer, an uncompressed tar, with the settings of an image's ``config``."""
    with layer.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    machine = platform.machine()
    config = json.dumps(
        {
            "architecture": _ARCHITECTURES.get(machine, machine),
            "os": "linux",
            "config": dict(settings),
            "created": _CREATED,
            "history": [{"created": _CREATED, "created_by": "trainyard hack/cluster"}],
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    ).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    layer_name = f"{digest}/layer.tar"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [ref], "Layers": [layer_name]}]).encode()
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent) as own:  # another process may write the same archive
        partial = Path(own) / archive.name
        with tarfile.open(partial, mode="w") as tar:
            _add(tar, config_name, config)
            entry = tarfile.TarInfo(layer_name)
            entry.size = layer.stat().st_size
            with layer.open("rb") as content:
                tar.addfile(entry, content)
            _add(tar, "manifest.json", manifest)
        partial.rename(archive)
    return archive


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))
