"""Images from this project's Dockerfiles: built by a Docker daemon, or by buildah on a Debian base."""

import configparser
import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cluster import layouts, packages
from cluster.archives import write_layer_archive
from cluster.commands import run, succeeds
from cluster.model import ClusterError, Progress
from cluster.state import cache_folder, exclusive_lock

_SUITE = "trixie"
_BASE_PACKAGES = "python3,python3-venv,ca-certificates,libgomp1"
_BASE_FORMAT = 2
"""Increase it when the steps below change."""
_NOT_IN_BASE = ("./var/cache/apt/*", "./var/lib/apt/lists/*", "./var/log/*", "./usr/share/doc/*", "./usr/share/man/*")
_BUILD_SECONDS = 1800
_KEPT_LAYERS = 400
"""A build of the four images creates about 45 layers, a rebuild after a change of the code about 12."""
_PARTIAL = ".partial"
_CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
_COPY = re.compile(r"^COPY\s+(?!--from)(?P<words>.+)$", re.MULTILINE)


@dataclass(frozen=True)
class ImageBuild:
    """The inputs of an image."""

    dockerfile: Path
    context: Path
    tag: str
    """The image's full name in the cluster, for example localhost/trainyard-operator:dev."""
    target: str = ""
    build_args: Mapping[str, str] = field(default_factory=dict)

    def digest(self, base: str) -> str:
        """Return a hash of all inputs. An image with the same hash need not be built again."""
        content = hashlib.sha256(repr((self.tag, self.target, sorted(self.build_args.items()), base)).encode())
        for file in (self.dockerfile, *self._sources()):
            content.update(f"{file.relative_to(self.context)} {file.stat().st_mode:o}\n".encode())
            content.update(file.read_bytes())
        return content.hexdigest()[:16]

    def _sources(self) -> Iterator[Path]:
        for match in _COPY.finditer(self.dockerfile.read_text()):
            for word in (word for word in match["words"].split()[:-1] if not word.startswith("--")):
                source = self.context / word
                files = sorted(source.rglob("*")) if source.is_dir() else [source]
                yield from (file for file in files if file.is_file() and "__pycache__" not in file.parts)


def build_image(build: ImageBuild, progress: Progress) -> Path:
    """Return an image: an archive of docker, or a layout of buildah. It is built only if an input has changed.

    Raises
    ------
    ClusterError
        If no builder can run here, or the build fails; with the end of its output.
    """
    docker = has_docker()
    base = "" if docker else _base_key()  # docker pulls the base that the Dockerfile names
    stem = re.sub(r"[^a-z0-9.]+", "-", build.tag.lower())
    folder = cache_folder() / "images"
    image = folder / f"{stem}-{build.digest(base)}{'.tar' if docker else ''}"
    with exclusive_lock(folder / ".lock"):
        if image.exists():
            progress(f"image {build.tag}: unchanged")
            return image
        progress(f"image {build.tag}: building with {'docker' if docker else 'buildah'}")
        partial = image.with_name(f"{image.name}{_PARTIAL}")
        _remove(partial)
        if docker:
            _build_with_docker(build, partial)
        else:
            _build_with_buildah(build, partial, progress)
        partial.rename(image)
        ours = re.compile(rf"{re.escape(stem)}-[0-9a-f]{{16}}(\.tar)?({re.escape(_PARTIAL)})?")
        for other in folder.glob(f"{stem}-*"):
            if other != image and ours.fullmatch(other.name):
                _remove(other)
        if not docker:
            layouts.remove_unused(folder)
    return image


def _remove(image: Path) -> None:
    if image.is_dir():
        shutil.rmtree(image)
    else:
        image.unlink(missing_ok=True)


def has_docker() -> bool:
    """Return whether a Docker daemon responds."""
    return shutil.which("docker") is not None and succeeds(("docker", "info"))


def _build_with_docker(build: ImageBuild, archive: Path) -> None:
    _run(("docker", "build", "--tag", build.tag, *_build_options(build), str(build.context)))
    _run(("docker", "save", "--output", str(archive), build.tag))


def _build_with_buildah(build: ImageBuild, layout: Path, progress: Progress) -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ClusterError(
            f"image {build.tag} cannot be built: start a Docker daemon, or be root on Debian or Ubuntu (for buildah)"
        )
    packages.ensure(packages.IMAGE_PACKAGES, progress)
    buildah = _buildah()
    _bound_storage(buildah, progress)
    base = base_name()
    if not succeeds((*buildah, "inspect", "--type", "image", base)):
        _run((*buildah, "pull", f"docker-archive:{base_archive(progress)}"))
    with tempfile.TemporaryDirectory() as folder:
        mounts = (f"--volume={host}:{inside}:ro" for host, inside in pip_files(Path(folder)))
        how = ("--isolation=chroot", "--network=host", "--layers", "--format=docker", *mounts)
        _run(
            (
                *buildah,
                "build",
                *how,
                "--tag",
                build.tag,
                *_build_options(build),
                f"--build-arg=BASE_IMAGE={base}",
                str(build.context),
            )
        )
    _copy_out(buildah, build.tag, layout)


def _copy_out(buildah: tuple[str, ...], tag: str, layout: Path) -> None:
    """Copy an image from buildah's storage with skopeo, without the layers that other layouts have."""
    root, runroot, driver = (option.partition("=")[2] for option in buildah[1:])
    shared = layouts.blob_folder(layout.parent)
    options = ("--quiet", "--dest-oci-accept-uncompressed-layers", f"--dest-shared-blob-dir={shared}")
    source = f"containers-storage:[{driver}@{root}+{runroot}]{tag}"
    _run(("skopeo", "--insecure-policy", "copy", *options, source, f"oci:{layout}"))
    layouts.name(layout, tag)


def _build_options(build: ImageBuild) -> list[str]:
    return [
        *("--file", str(build.dockerfile)),
        *(("--target", build.target) if build.target else ()),
        *(f"--build-arg={name}={value}" for name, value in build.build_args.items()),
    ]


def _buildah() -> tuple[str, ...]:
    """Return the command of buildah with its own storage. The driver depends on the file system."""
    storage = cache_folder() / "buildah"
    for driver in ("overlay", "vfs"):
        root = storage / driver
        command = ("buildah", f"--root={root}", f"--runroot={root}-run", f"--storage-driver={driver}")
        if succeeds((*command, "info")):
            return command
    raise ClusterError(f"buildah cannot store images in {storage}: see `{' '.join(command)} info`")


def _bound_storage(buildah: tuple[str, ...], progress: Progress) -> None:
    """Remove all layers if there are too many from earlier builds."""
    kept = run((*buildah, "images", "--all", "--quiet")).splitlines()
    if len(kept) > _KEPT_LAYERS:
        progress(f"removing {len(kept)} layers of earlier image builds")
        _run((*buildah, "rmi", "--all", "--force"))


def pip_files(folder: Path) -> list[tuple[Path, str]]:
    """Return the files that give pip in a build the configuration and the trusted CAs of this machine."""
    listed = run((sys.executable, "-m", "pip", "config", "list")).splitlines()
    settings = configparser.RawConfigParser()
    settings["global"] = {}
    for line in listed:
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        if section in {"global", ":env:"} and key not in {"cert", "find-links", "cache-dir"}:
            settings["global"][key] = value.strip("'\"")
    files = []
    if _CA_BUNDLE.exists():
        settings["global"]["cert"] = str(_CA_BUNDLE)
        files.append((_CA_BUNDLE, str(_CA_BUNDLE)))
    config = folder / "pip.conf"
    with config.open("w") as target:
        settings.write(target)
    return [*files, (config, "/etc/pip.conf")]


def _base_key() -> str:
    content = repr((_BASE_FORMAT, _SUITE, _BASE_PACKAGES, _NOT_IN_BASE))
    return f"{_SUITE}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"


def base_name() -> str:
    """Return the name of the image in :func:`base_archive`."""
    return f"localhost/trainyard-base:{_base_key()}"


def base_archive(progress: Progress) -> Path:
    """Return the archive of an image with Debian and Python. It is created once, without an image registry."""
    archive = cache_folder() / "base" / f"{_base_key()}.tar"
    if archive.exists():
        return archive
    packages.ensure(packages.BASE_PACKAGES, progress)
    progress(f"creating the base image: Debian {_SUITE} with Python (only once)")
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        root, layer = Path(folder) / "root", Path(folder) / "layer.tar"
        _run(("debootstrap", "--variant=minbase", f"--include={_BASE_PACKAGES}", _SUITE, str(root)))
        without = [f"--exclude={pattern}" for pattern in _NOT_IN_BASE]
        _run(("tar", f"--directory={root}", "--numeric-owner", *without, "--create", f"--file={layer}", "."))
        write_layer_archive(archive, base_name(), layer, {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"]})
    return archive


def _run(command: tuple[str, ...]) -> None:
    run(command, timeout=_BUILD_SECONDS)
