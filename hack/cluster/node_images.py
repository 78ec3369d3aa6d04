"""The images that host nodes have from the start. They are unpacked once per machine, and then only linked.

Importing an image takes ten seconds or more of CPU time for each GB, a tree of hard links one or two. containerd never
changes the files of an image. It does change its databases, so these are copied.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cluster import containers
from cluster.commands import run
from cluster.model import Progress
from cluster.processes import ProcessTable
from cluster.state import cache_folder, exclusive_lock

_RECORD = "images.json"
_LINK_SECONDS = 300
_OWN_MOUNTS = ("unshare", "--mount", "--propagation=private", "--")
"""Unpacking mounts each layer. In a private namespace, no mount remains if the process is killed."""


def link(root: Path, images: Sequence[Path], progress: Progress) -> None:
    """Create containerd's folder for a new node, with these images and those of earlier nodes."""
    with _store(images, progress) as store:
        link = "--link" if store.stat().st_dev == root.parent.stat().st_dev else "--reflink=auto"
        run(("cp", "--archive", link, store, root), timeout=_LINK_SECONDS)
        for database in store.glob("*/*.db"):
            own = root / database.relative_to(store)
            own.unlink()
            shutil.copy2(database, own)


def prepare(images: Sequence[Path], progress: Progress) -> None:
    """Import these images for later nodes."""
    with _store(images, progress):
        pass


def has(root: Path, image: Path) -> bool:
    """Return whether a node has this image. In the cache, the name of a file has the hash of the content."""
    return image.parent == cache_folder() / "images" and _read(root).get(_name(image)) == image.name


def record(root: Path, image: Path) -> None:
    """Record that a node has an image, instead of an older one."""
    _write(root, {**_read(root), _name(image): image.name})


@contextmanager
def _store(images: Sequence[Path], progress: Progress) -> Iterator[Path]:
    """Yield the folder that nodes are linked to, with these images. It is locked meanwhile."""
    store = cache_folder() / "node-images"
    with exclusive_lock(store.with_suffix(".lock")):
        if missing := [image for image in images if not has(store, image)]:
            _import(store, missing, progress)
        yield store


def _import(store: Path, images: Sequence[Path], progress: Progress) -> None:
    store.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="trainyard-") as name:
        folder = Path(name)
        table = ProcessTable(folder, _OWN_MOUNTS)
        try:
            socket = containers.start_store(table, folder, store)
            for image in images:
                progress(f"unpacking {image.name} for this and all later nodes")
                containers.import_image(socket, store, image)
                record(store, image)
            containers.collect(socket)
        finally:
            table.stop("containerd")


def _name(image: Path) -> str:
    """Return the name of an image's file without the hash."""
    return image.name.rpartition("-")[0]


def _read(root: Path) -> dict[str, str]:
    file = root / _RECORD
    return dict(json.loads(file.read_text())) if file.exists() else {}


def _write(root: Path, images: dict[str, str]) -> None:
    """Replace the record in one step. A linked file does not change."""
    partial = root / f"{_RECORD}.partial"
    partial.write_text(json.dumps(images, indent=1, sort_keys=True))
    partial.rename(root / _RECORD)
