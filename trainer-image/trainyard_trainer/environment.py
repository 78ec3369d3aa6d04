"""The environment of the trainer: paths of its files, and the number of processors that it can use."""

import math
import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Self

from trainyard_api import meta
from trainyard_trainer.errors import ConfigError

_CGROUP_V1_CONTROLLERS = ("cpu,cpuacct", "cpu")
"""The folder name of the CPU controller differs between distributions."""

COMPLETION_INDEX_ENV: Final = "JOB_COMPLETION_INDEX"
"""Set by Kubernetes in the pods of an Indexed Job."""

THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
DEFAULT_MAX_DOWNLOAD_BYTES: Final = 16 << 30


@dataclass(frozen=True)
class Environment:
    """The folders of a trainer pod. Each can be changed by a variable, for nodes that cannot mount."""

    config_dir: Path
    data_secret_dir: Path
    storage_secret_dir: Path
    claims_dir: Path
    work_dir: Path
    termination_log: Path
    input_dir: Path = Path(meta.INPUT_DIR)
    output_dir: Path = Path(meta.OUTPUT_DIR)
    tracking_secret_dir: Path = Path(meta.TRACKING_SECRET_DIR)
    output_secret_dir: Path = Path(meta.OUTPUT_SECRET_DIR)
    script_dir: Path = Path(meta.SCRIPT_DIR)
    max_download: str = ""
    completion_index: str = ""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the variables of :mod:`trainyard_api.meta`. The default of each is the path in a real pod."""

        def path(variable: str, default: str) -> Path:
            return Path(environ.get(variable) or default)

        return cls(
            config_dir=path(meta.CONFIG_DIR_ENV, meta.CONFIG_DIR),
            data_secret_dir=path(meta.DATA_SECRET_DIR_ENV, meta.DATA_SECRET_DIR),
            storage_secret_dir=path(meta.STORAGE_SECRET_DIR_ENV, meta.STORAGE_SECRET_DIR),
            claims_dir=path(meta.CLAIMS_DIR_ENV, meta.CLAIMS_DIR),
            work_dir=path(meta.WORK_DIR_ENV, meta.WORK_DIR),
            termination_log=path(meta.TERMINATION_LOG_ENV, meta.TERMINATION_LOG),
            input_dir=path(meta.INPUT_DIR_ENV, meta.INPUT_DIR),
            output_dir=path(meta.OUTPUT_DIR_ENV, meta.OUTPUT_DIR),
            script_dir=path(meta.SCRIPT_DIR_ENV, meta.SCRIPT_DIR),
            tracking_secret_dir=path(meta.TRACKING_SECRET_DIR_ENV, meta.TRACKING_SECRET_DIR),
            output_secret_dir=path(meta.OUTPUT_SECRET_DIR_ENV, meta.OUTPUT_SECRET_DIR),
            max_download=environ.get(meta.MAX_DOWNLOAD_BYTES_ENV, ""),
            completion_index=environ.get(COMPLETION_INDEX_ENV, ""),
        )

    @property
    def config_file(self) -> Path:
        """The TrainerConfig as JSON."""
        return self.config_dir / meta.CONFIG_FILE

    @property
    def token_file(self) -> Path:
        """The token for the progress endpoint. It must be read each time, because the kubelet renews it."""
        return self.config_dir / meta.TOKEN_FILE

    @property
    def ca_file(self) -> Path:
        """The certificate authority of the progress endpoint (PEM)."""
        return self.config_dir / meta.CA_FILE

    @property
    def max_download_bytes(self) -> int:
        """The maximum size of a file from a web server. Raises ConfigError if the variable is not a number."""
        if not self.max_download:
            return DEFAULT_MAX_DOWNLOAD_BYTES
        if not self.max_download.isdecimal():
            raise ConfigError(f"{meta.MAX_DOWNLOAD_BYTES_ENV} is {self.max_download!r}: write a whole number of bytes")
        return int(self.max_download)

    def claim_path(self, uri: str) -> Path:
        """Return the local path of ``pvc://claim/path``.

        Raises
        ------
        ConfigError
            If the address has no claim, or leaves it with ``..``.
        """
        claim, _, inner = uri.removeprefix("pvc://").partition("/")
        if not claim or ".." in (claim, *PurePosixPath(inner).parts):
            raise ConfigError(f"{uri} is not of the form pvc://<claim>/<path>, without '..' in the path")
        return self.claims_dir / claim / inner.lstrip("/")


def worker_count(requested: int) -> int:
    """Return the number of processes: ``requested``, or for 0 the CPU quota rounded down, at least one."""
    return requested if requested > 0 else max(1, math.floor(cpu_quota()))


def limit_threads(environ: MutableMapping[str, str], processes: int) -> None:
    """Set the number of threads of numeric libraries before they are imported. Settings of the user are kept.

    Otherwise each library starts one thread per processor of the node. With 64 processors and a quota of 2, threads
    mostly wait for each other. Arrow also uses ``OMP_NUM_THREADS``.
    """
    for name in THREAD_VARIABLES:
        environ.setdefault(name, str(processes))


def cpu_quota(root: Path = Path("/")) -> float:
    """Return the number of processors for this process: the minimum of its cgroup quotas and its affinity mask.

    In a container, ``os.cpu_count()`` returns all processors of the node. A pool of that size would be throttled by a
    small quota. ``root`` is the root of the file system, for tests.
    """
    quotas = [float(len(os.sched_getaffinity(0)))]
    for folder in _cgroup_folders(root):
        quota = _quota_v2(folder) or _quota_v1(folder)
        if quota is not None:
            quotas.append(quota)
    return min(quotas)


def memory_left(root: Path = Path("/")) -> int | None:
    """Return the available memory in bytes: the minimum of what is left of the cgroup's limit and of the node's memory.

    Return ``None`` if neither can be read. ``root`` is the root of the file system, for tests.
    """
    found = []
    status, node = root / "proc/self/status", root / "proc/meminfo"
    own = _kilobytes(status, "VmRSS:") or 0
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        file = root / "sys/fs/cgroup" / name
        text = file.read_text().strip() if file.exists() else "max"
        if text.isdecimal():
            found.append(int(text) - own)
    available = _kilobytes(node, "MemAvailable:")
    return min([*found, *([] if available is None else [available])], default=None)


def _kilobytes(file: Path, label: str) -> int | None:
    lines = file.read_text().splitlines() if file.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(label)), None)


def _cgroup_folders(root: Path) -> list[Path]:
    """Return the cgroup folders of this process, leaf first, with all parents, because each can have a quota.

    In a container, the path in ``/proc/self/cgroup`` can be that of the node, which is not mounted. Then only the mount
    itself is used, which is the cgroup of the container.
    """
    cgroups = root / "sys/fs/cgroup"
    own = root / "proc/self/cgroup"
    folders: list[Path] = []
    for line in own.read_text().splitlines() if own.exists() else []:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mounts = [cgroups]
        elif "cpu" in controllers.split(","):
            mounts = [cgroups / name for name in (controllers, *_CGROUP_V1_CONTROLLERS)]
        else:
            continue
        inner = PurePosixPath(path.lstrip("/"))
        folders += [mount / part for mount in mounts for part in (inner, *inner.parents)]
    return list(dict.fromkeys(folder for folder in folders if folder.is_dir()))


def _quota_v2(folder: Path) -> float | None:
    file = folder / "cpu.max"
    if not file.exists():
        return None
    quota, _, period = file.read_text().strip().partition(" ")
    return None if quota == "max" else int(quota) / int(period)


def _quota_v1(folder: Path) -> float | None:
    quota_file, period_file = folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us"
    if not (quota_file.exists() and period_file.exists()):
        return None
    quota = int(quota_file.read_text())
    return None if quota <= 0 else quota / int(period_file.read_text())
