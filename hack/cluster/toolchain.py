"""The programs of the cluster, built once from pinned Go modules and kept in a cache outside the checkout.

Each folder in ``tools/`` is one Go module, because their dependencies conflict. The cache key is the hash of all
inputs: go.mod, go.sum, the flags, and our own code, if any.
"""

import hashlib
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from cluster.model import ClusterError, Progress
from cluster.state import cache_folder, exclusive_lock

TOOLS = Path(__file__).parent / "tools"
KUBERNETES_VERSION = "v1.36.3"
HELM_VERSION = "v3.22.0"
_BUILD_SECONDS = 1800


@dataclass(frozen=True)
class ToolSet:
    """One Go module and the programs that are built from it."""

    name: str
    programs: dict[str, str]
    """Go package of each program, by its name."""
    variables: dict[str, str]
    """Linker variables, such as the version that a program reports."""
    tags: str = ""
    """Build tags, for example to leave out features that are not needed here."""

    @property
    def folder(self) -> Path:
        """The folder of its go.mod."""
        return TOOLS / self.name

    @property
    def flags(self) -> str:
        """The linker's flags."""
        return " ".join(["-s -w", *(f"-X {name}={value}" for name, value in self.variables.items())])

    @property
    def key(self) -> str:
        """The cache key."""
        digest = hashlib.sha256(f"{self.flags}{self.tags}".encode())
        for file in sorted(self.folder.iterdir()):
            digest.update(file.read_bytes())
        return f"{self.name}-{digest.hexdigest()[:16]}"


def _kubernetes(*names: str) -> dict[str, str]:
    return {name: f"k8s.io/kubernetes/cmd/{name}" for name in names}


def _kubernetes_variables(version: str) -> dict[str, str]:
    major, minor = version.removeprefix("v").split(".")[:2]
    return {
        f"k8s.io/{package}/version.{name}": value
        for package in ("component-base", "client-go/pkg")
        for name, value in (("gitVersion", version), ("gitMajor", major), ("gitMinor", minor))
    }


_MAJOR, _MINOR = KUBERNETES_VERSION.removeprefix("v").split(".")[:2]
_HELM_VARIABLES = {
    "helm.sh/helm/v3/internal/version.version": HELM_VERSION,
    # Without these, helm assumes the oldest Kubernetes that it knows, and refuses charts that need a newer one.
    "helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor": _MAJOR,
    "helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor": _MINOR,
    "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor": _MAJOR,
    "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor": _MINOR,
}

TOOL_SETS = (
    ToolSet(
        "kubernetes",
        _kubernetes("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"),
        _kubernetes_variables(KUBERNETES_VERSION),
    ),
    ToolSet("etcd", {"etcd": "go.etcd.io/etcd/server/v3"}, {}),
    ToolSet("coredns", {"coredns": "github.com/coredns/coredns"}, {}),
    ToolSet("helm", {"helm": "helm.sh/helm/v3/cmd/helm"}, _HELM_VARIABLES),
    ToolSet("versitygw", {"versitygw": "github.com/versity/versitygw/cmd/versitygw"}, {}),
    ToolSet("kubeconform", {"kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform"}, {}),
    ToolSet(
        "prometheus",
        {name: f"github.com/prometheus/prometheus/cmd/{name}" for name in ("prometheus", "promtool")},
        {},
        # Without service discovery in clouds.
        tags="remove_all_sd",
    ),
    ToolSet("glua", {"glua": "github.com/yuin/gopher-lua/cmd/glua"}, {}),
    ToolSet("kind", {"kind": "sigs.k8s.io/kind"}, {}),
    ToolSet("pause", {"pause": "."}, {}),
)
_SERVERS = ("kube-apiserver", "kube-controller-manager")
OLDER_SERVERS = {
    version: ToolSet(
        f"kubernetes-{version[1:].rpartition('.')[0]}", _kubernetes(*_SERVERS), _kubernetes_variables(version)
    )
    for version in ("v1.31.14", "v1.34.4")
}
"""API server and controllers of older releases, for tests, by version."""
_SET_OF = {program: tools for tools in TOOL_SETS for program in tools.programs}


def ensure(program: str, progress: Progress = print, tools: ToolSet | None = None) -> Path:
    """Return the path of a program. Build it if it is not in the cache.

    Raises
    ------
    ClusterError
        If it cannot be built. The message says what to install.
    """
    wanted = tools or _SET_OF[program]
    built = _target(program, wanted)
    if not built.exists():
        with exclusive_lock(built.parent / ".lock"):
            if not built.exists():
                _build(wanted, program, built, progress)
    return built


def ensure_all(programs: tuple[str, ...], progress: Progress = print) -> dict[str, Path]:
    """Return the paths of several programs by name."""
    return {program: ensure(program, progress) for program in programs}


def obstacle(*programs: str) -> str | None:
    """Return why these programs cannot be built here, or ``None`` if they are built already or can be built."""
    built = bool(programs) and all(_target(program, _SET_OF[program]).exists() for program in programs)
    if not built and shutil.which("go") is None:
        return "there is no Go compiler: install Go 1.26 or newer"
    return None


def _target(program: str, tools: ToolSet) -> Path:
    return cache_folder() / "tools" / tools.key / program


def _build(tools: ToolSet, program: str, target: Path, progress: Progress) -> None:
    if why := obstacle():
        raise ClusterError(f"{program} must be built, but {why}")
    progress(f"building {program} from Go modules (only once; this takes minutes)")
    started = time.monotonic()
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    flags = [f"-tags={tools.tags}", f"-ldflags={tools.flags}"]
    command = ["go", "build", "-mod=readonly", "-trimpath", *flags, "-o", str(partial)]
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}
    done = subprocess.run(
        [*command, tools.programs[program]],
        cwd=tools.folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=_BUILD_SECONDS,
    )
    if done.returncode != 0:
        raise ClusterError(f"building {program} failed:\n{done.stderr.strip()[-2000:]}")
    partial.rename(target)
    progress(f"built {program} in {time.monotonic() - started:.0f} s")
