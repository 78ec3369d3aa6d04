"""Images as OCI image layouts. Each image has its own folder, and all images share one folder of blobs.

After a change of the code, a rebuild writes only the new blobs, and a node gets only these.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

_INDEX = "index.json"
_BLOBS = Path("blobs", "sha256")
_NAME = "io.containerd.image.name"
"""The annotation from which containerd takes the full name of an image. The standard has only its tag."""


def blob_folder(images: Path) -> Path:
    """Return the folder that the layouts in ``images`` share, for ``skopeo copy --dest-shared-blob-dir``."""
    return images / _BLOBS.parent


def is_layout(image: Path) -> bool:
    """Return whether an image is a layout, not an archive."""
    return (image / _INDEX).is_file()


def name(layout: Path, ref: str) -> None:
    """Set the full name of the image in a layout."""
    index = _read(layout / _INDEX)
    [described] = index["manifests"]
    described["annotations"] = {_NAME: ref}
    (layout / _INDEX).write_text(json.dumps(index))


def pack(layout: Path, known: Callable[[str], bool]) -> list[str]:
    """Return the command that writes the layout as a tar, without the blobs that the reader has already."""
    new = [str(_BLOBS / digest) for digest in _blobs(layout) if not known(digest)]
    blobs = [f"--directory={layout.parent}", *new] if new else []  # tar refuses a folder without files
    return ["tar", "--create", *blobs, f"--directory={layout}", "oci-layout", _INDEX]


def remove_unused(images: Path) -> None:
    """Remove the blobs that no layout in this folder uses."""
    used = {digest for index in images.glob(f"*/{_INDEX}") for digest in _blobs(index.parent)}
    for blob in (images / _BLOBS).iterdir():
        if blob.name not in used:
            blob.unlink()


def _blobs(layout: Path) -> list[str]:
    """Return the digests of the image's manifest, configuration and layers."""
    [described] = _read(layout / _INDEX)["manifests"]
    manifest = _hex(described)
    content = _read(layout.parent / _BLOBS / manifest)
    return [manifest, _hex(content["config"]), *map(_hex, content["layers"])]


def _hex(described: dict[str, Any]) -> str:
    return str(described["digest"]).removeprefix("sha256:")


def _read(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.read_text())
    return content
