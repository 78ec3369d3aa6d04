"""containerd: in the namespaces of a node, with its data in the cluster's folder; and alone, to unpack images."""

import json
import shlex
from pathlib import Path

from cluster import layouts
from cluster.commands import run
from cluster.host_namespace import Namespace
from cluster.packages import CNI_FOLDER
from cluster.processes import ProcessTable, wait_for

SOCKET = "/run/containerd/containerd.sock"
"""The node has its own /run, so this path is free. The path of a socket must be short."""
PAUSE_IMAGE = "localhost/pause:1"
_IMPORT_SECONDS = 600
_NO_AUTOMATIC_COLLECTION = """\
[plugins."io.containerd.gc.v1.scheduler"]
  mutation_threshold = 0
  deletion_threshold = 1000000000
  startup_delay = "0s"
"""
"""While a new image replaces an older one, nothing refers to their layers. A collection would delete them too early.

With the default deletion threshold of 0, the first deletion starts a collection, and each import ends with the
deletion of its lease.
"""
_CONFIG = """\
version = 2
root = "{root}"
{collection}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # Lowering the score of a process needs CAP_SYS_RESOURCE. Without this setting, each pod would fail.
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
    """Return the folder with the images and containers of a cluster."""
    return folder / "containerd" / "root"


def start(table: ProcessTable, folder: Path, namespace: Namespace, pods: str) -> None:
    """Start containerd and wait until it is ready. ``pods`` is the range of the pods' addresses."""
    settings = folder / "containerd"
    cni_config = settings / "cni"
    cni_config.mkdir()
    (cni_config / "10-pods.conflist").write_text(json.dumps(_cni(settings, pods), indent=2))
    config = settings / "config.toml"
    config.write_text(
        _CONFIG.format(
            root=root_of(folder),
            collection=_NO_AUTOMATIC_COLLECTION,
            pause=PAUSE_IMAGE,
            cni_programs=CNI_FOLDER,
            cni_config=cni_config,
        )
    )
    _serve(table, config, Path(f"/proc/{namespace.pid()}/root{SOCKET}"))


def start_store(table: ProcessTable, folder: Path, root: Path) -> Path:
    """Start a containerd for images only, in ``root``. Return its socket. The path of ``folder`` must be short."""
    socket = folder / "containerd.sock"
    config = folder / "config.toml"
    config.write_text(
        _STORE_CONFIG.format(root=root, collection=_NO_AUTOMATIC_COLLECTION, state=folder / "state", socket=socket)
    )
    _serve(table, config, socket)
    return socket


def _serve(table: ProcessTable, config: Path, socket: Path) -> None:
    table.start("containerd", ("containerd", f"--config={config}"))

    def responds() -> bool:
        table.check_running()
        return socket.exists()

    # The kubelet exits if the socket does not exist.
    wait_for("containerd's socket", responds, 60, lambda: table.tail("containerd"))


def load(namespace: Namespace, folder: Path, image: Path) -> None:
    """Import an image into a running node, with the name that it contains."""
    namespace.run(_import(SOCKET, root_of(folder), image), timeout=_IMPORT_SECONDS)


def import_image(socket: Path, root: Path, image: Path) -> None:
    """Import an image into the containerd with this socket, whose data is in ``root``."""
    run(_import(str(socket), root, image), timeout=_IMPORT_SECONDS)


def collect(socket: Path) -> None:
    """Remove the data that no image of this containerd uses. The end of a lease starts this."""
    leases = (*_ctr(str(socket)), "leases")
    lease = run((*leases, "create")).strip()  # a new name, because a killed process may have left a lease
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


def _cni(folder: Path, pods: str) -> dict[str, object]:
    """Return a network with a veth pair and a route for each pod, without a bridge.

    So every packet passes iptables, also a packet from a pod through a Service to a pod of the same node.
    """
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
