"""Images: built from the checkout and loaded into the node, each only if it has changed."""

import json
from collections.abc import Mapping
from pathlib import Path

from cluster import lifecycle
from cluster.host_node import HostBackend
from cluster.images import ImageBuild, build_image
from cluster.model import Cluster, Progress

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILES = {"operator": "Dockerfile.operator", "trainer": "Dockerfile.trainer", "server": "Dockerfile.trainer"}
"""The Dockerfile of each image."""
TAG = "demo"


def repository(part: str) -> str:
    """Return the name of an image without its tag. The registry is localhost, so no image is pulled."""
    return f"localhost/trainyard-{part}"


def build_images(progress: Progress) -> dict[str, Path]:
    """Return the images by part. Raises :class:`ClusterError` if one cannot be built."""
    return {part: _build(part, progress) for part in DOCKERFILES}


def build_torch_image(progress: Progress) -> Path:
    """Return the image of framework Torch, for the CPU. Raises :class:`ClusterError`."""
    return _build("trainer-torch", progress, {"TORCH_DEVICES": "cpu"})


def prepare_images(progress: Progress) -> None:
    """Build every image. If the best kind of cluster for this machine starts with unpacked images, unpack them too.

    Raises
    ------
    ClusterError
        One cannot be built or unpacked, or no cluster can run here.
    """
    kind = lifecycle.choose(None, progress)
    if kind != "process":
        images = [*build_images(progress).values(), build_torch_image(progress)]
        if kind == "host":
            HostBackend().prepare(images, progress)


def provide_images(cluster: Cluster, progress: Progress) -> str:
    """Build and load the images that the cluster needs. Return a text that changes if the pod of the operator must be
    replaced.

    Raises
    ------
    ClusterError
        An image cannot be built or loaded.
    """
    if cluster.kind == "process":
        progress("no images needed: the pods run the programs of this checkout")
    else:
        images = build_images(progress)
        _load(cluster, images, progress)
        return images["operator"].name
    return _newest_source()


def provide_torch_image(cluster: Cluster, progress: Progress) -> None:
    """Build and load the image of framework Torch for the CPU, on request, because it is as large as all others.

    Raises
    ------
    ClusterError
        It cannot be built or loaded.
    """
    if cluster.kind != "process":
        _load(cluster, {"trainer-torch": build_torch_image(progress)}, progress)


def _build(part: str, progress: Progress, arguments: Mapping[str, str] | None = None) -> Path:
    tag, dockerfile = f"{repository(part)}:{TAG}", ROOT / DOCKERFILES.get(part, "Dockerfile.trainer")
    return build_image(ImageBuild(dockerfile, ROOT, tag, target=part, build_args=arguments or {}), progress)


def _load(cluster: Cluster, images: dict[str, Path], progress: Progress) -> None:
    """Load the images that this cluster does not have yet. The record is in the folder of the cluster."""
    record = cluster.folder / "demo-images.json"
    loaded: dict[str, str] = json.loads(record.read_text()) if record.exists() else {}
    for part, image in images.items():
        if loaded.get(part) != image.name:
            lifecycle.backend(cluster.kind).load_image(cluster, image, progress)
            loaded[part] = image.name
            record.write_text(json.dumps(loaded))


def _newest_source() -> str:
    """Return the time of the last change of the operator's code."""
    folders = (ROOT / "crds", ROOT / "operator")
    return str(max(file.stat().st_mtime_ns for folder in folders for file in folder.rglob("*.py")))
