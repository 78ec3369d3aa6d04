"""containerd: in a node's namespaces, with all it keeps inside the cluster's folder; and bare, to unpack images."""

import json
import shlex
from pathlib import Path

from cluster import layouts
from cluster.commands import run
from cluster.host_namespace import Namespace
from cluster.packages import CNI_FOLDER
from cluster.processes import ProcessTable, wait_for

SOCKET = "/run/containerd/containerd.sock"
"""The node has a /run of its own, so the usual place is nobody else's; paths of sockets must be short."""
PAUSE_IMAGE = "localhost/pause:1"
_IMPORT_SECONDS = 600
_NO_COLLECTION_BY_ITSELF = """\
[plugins."io.containerd.gc.v1.scheduler"]
  mutation_threshold = 0
  deletion_threshold = 1000000000
  startup_delay = "0s"
"""
"""While an image takes the place of an older one, nothing holds the layers of both, and unpacking would miss them.

A deletion threshold of 0, the default, does not mean never: the first deletion then starts a collection, and the end of
each import deletes its lease.
"""
_CONFIG = """\
version = 2
root = "{root}"
{collection}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # Without CAP_SYS_RESOURCE nobody may lower the score of a process, and every pod would fail on it.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_programs}"
    conf_dir = "{cni_config}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""
_STORE_CONFIG = """\
version = 2
root = "{root}"
state = "{state}"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
{collection}
[grpc]
  address = "{socket}"
"""


def root_of(folder: Path) -> Path:
    """Return where the containerd of a cluster keeps images and containers."""
    return folder / "containerd" / "root"


def start(table: ProcessTable, folder: Path, namespace: Namespace, pods: str) -> None:
    """Start containerd and wait until it answers. ``pods`` is the range of the pods' addresses."""
    settings = folder / "containerd"
    cni_config = settings / "cni"
    cni_config.mkdir()
    (cni_config / "10-pods.conflist").write_text(json.dumps(_cni(settings, pods), indent=2))
    config = settings / "config.toml"
    config.write_text(
        _CONFIG.format(
            root=root_of(folder),
            collection=_NO_COLLECTION_BY_ITSELF,
            pause=PAUSE_IMAGE,
            cni_programs=CNI_FOLDER,
            cni_config=cni_config,
        )
    )
    _serve(table, config, Path(f"/proc/{namespace.pid()}/root{SOCKET}"))


def start_store(table: ProcessTable, folder: Path, root: Path) -> Path:
    """Start a containerd that only keeps images, in ``root``; return its socket. ``folder`` must have a short path."""
    socket = folder / "containerd.sock"
    config = folder / "config.toml"
    config.write_text(
        _STORE_CONFIG.format(root=root, collection=_NO_COLLECTION_BY_ITSELF, state=folder / "state", socket=socket)
    )
    _serve(table, config, socket)
    return socket


def _serve(table: ProcessTable, config: Path, socket: Path) -> None:
    table.start("containerd", ("containerd", f"--config={config}"))

    def responds() -> bool:
        table.insist()
        return socket.exists()

    # The kubelet ends at once if the socket is not there.
    wait_for("containerd's socket", responds, 60, lambda: table.tail("containerd"))


def load(namespace: Namespace, folder: Path, image: Path) -> None:
    """Take over an image, under the name it holds, into a cluster's node that runs."""
    namespace.run(_import(SOCKET, root_of(folder), image), timeout=_IMPORT_SECONDS)


def take_over(socket: Path, root: Path, image: Path) -> None:
    """Take over an image into the containerd of a socket, which keeps its content in ``root``."""
    run(_import(str(socket), root, image), timeout=_IMPORT_SECONDS)


def collect(socket: Path) -> None:
    """Remove what no image of this containerd has any more: it does so when a lease ends."""
    leases = (*_ctr(str(socket)), "leases")
    lease = run((*leases, "create")).strip()  # a name of its own: one that a killed process left is in nobody's way
    run((*leases, "delete", "--sync", lease), timeout=_IMPORT_SECONDS)


def _import(socket: str, root: Path, image: Path) -> tuple[str, ...]:
    bring = (*_ctr(socket), "images", "import")
    if not layouts.is_layout(image):
        return (*bring, str(image))
    blobs = root / "io.containerd.content.v1.content" / "blobs" / "sha256"
    packed = layouts.pack(image, lambda digest: (blobs / digest).exists())
    return ("bash", "-o", "pipefail", "-c", f"{shlex.join(packed)} | {shlex.join(bring)} -")


def _ctr(socket: str) -> tuple[str, ...]:
    return ("ctr", f"--address={socket}", "--namespace=k8s.io")


def version(namespace: Namespace) -> str:
    """Return containerd's version."""
    return namespace.run(("containerd", "--version")).split()[2]


def _cni(folder: Path, pods: str) -> dict[str, object]:
    """A veth pair and a route for each pod, no bridge: every packet passes iptables, even between pods by a Service."""
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(folder / "addresses"),
    }
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {"type": "ptp", "ipMasq": False, "ipam": addresses},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }
