"""The images that host nodes begin with: taken over once per machine, unpacked, and then only linked.

Taking over costs a core ten seconds and more for each GB, a tree of hard links one or two. What containerd keeps of
images never changes once it is written, its databases apart: those are copied.
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
from cluster.state import cache_folder, only_one

_RECORD = "images.json"
_LINK_SECONDS = 300
_OWN_MOUNTS = ("unshare", "--mount", "--propagation=private", "--")
"""Unpacking mounts each layer for a moment: even a hard kill leaves nothing on the machine."""


def begin(root: Path, images: Sequence[Path], progress: Progress) -> None:
    """Make containerd's folder for a new node that has these images, and any others that an earlier node began with."""
    with _store(images, progress) as store:
        link = "--link" if store.stat().st_dev == root.parent.stat().st_dev else "--reflink=auto"
        run(("cp", "--archive", link, store, root), timeout=_LINK_SECONDS)
        for database in store.glob("*/*.db"):
            own = root / database.relative_to(store)
            own.unlink()
            shutil.copy2(database, own)


def prepare(images: Sequence[Path], progress: Progress) -> None:
    """Take these images over, so that the next node begins with them at once."""
    with _store(images, progress):
        pass


def has(root: Path, image: Path) -> bool:
    """Tell whether a node has this very image. Only in the cache does a name tell the content."""
    return image.parent == cache_folder() / "images" and _read(root).get(_name(image)) == image.name


def record(root: Path, image: Path) -> None:
    """Note that a node has taken over an image, in the place of an older one."""
    _write(root, {**_read(root), _name(image): image.name})


@contextmanager
def _store(images: Sequence[Path], progress: Progress) -> Iterator[Path]:
    """Yield what nodes are linked to, once it has these images; nobody changes it meanwhile."""
    store = cache_folder() / "node-images"
    with only_one(store.with_suffix(".lock")):
        if missing := [image for image in images if not has(store, image)]:
            _take_over(store, missing, progress)
        yield store


def _take_over(store: Path, images: Sequence[Path], progress: Progress) -> None:
    store.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="trainyard-") as name:
        folder = Path(name)
        table = ProcessTable(folder, _OWN_MOUNTS)
        try:
            socket = containers.start_store(table, folder, store)
            for image in images:
                progress(f"unpacking {image.name} for this and all later nodes")
                containers.take_over(socket, store, image)
                record(store, image)
            containers.collect(socket)
        finally:
            table.stop("containerd")


def _name(image: Path) -> str:
    """Return the name of an image's file without the hash of its content."""
    return image.name.rpartition("-")[0]


def _read(root: Path) -> dict[str, str]:
    file = root / _RECORD
    return dict(json.loads(file.read_text())) if file.exists() else {}


def _write(root: Path, images: dict[str, str]) -> None:
    """Replace the record, all at once: a file that is linked stays as it is."""
    partial = root / f"{_RECORD}.partial"
    partial.write_text(json.dumps(images, indent=1, sort_keys=True))
    partial.rename(root / _RECORD)
