"""containerd: in a node's namespaces, with all it keeps inside the cluster's folder; and bare, to unpack images."""

import json
from pathlib import Path

from cluster.commands import run
from cluster.host_namespace import Namespace
from cluster.packages import CNI_FOLDER
from cluster.processes import ProcessTable, wait_for

SOCKET = "/run/containerd/containerd.sock"
"""The node has a /run of its own, so the usual place is nobody else's; paths of sockets must be short."""
PAUSE_IMAGE = "localhost/pause:1"
_IMPORT_SECONDS = 600
_CONFIG = """\
version = 2
root = "{root}"
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
        _CONFIG.format(root=root_of(folder), pause=PAUSE_IMAGE, cni_programs=CNI_FOLDER, cni_config=cni_config)
    )
    _serve(table, config, Path(f"/proc/{namespace.pid()}/root{SOCKET}"))


def start_store(table: ProcessTable, folder: Path, root: Path) -> Path:
    """Start a containerd that only keeps images, in ``root``; return its socket. ``folder`` must have a short path."""
    socket = folder / "containerd.sock"
    config = folder / "config.toml"
    config.write_text(_STORE_CONFIG.format(root=root, state=folder / "state", socket=socket))
    _serve(table, config, socket)
    return socket


def _serve(table: ProcessTable, config: Path, socket: Path) -> None:
    table.start("containerd", ("containerd", f"--config={config}"))

    def answers() -> bool:
        table.insist()
        return socket.exists()

    # The kubelet ends at once if the socket is not there.
    wait_for("containerd's socket", answers, 60, lambda: table.tail("containerd"))


def load(namespace: Namespace, archive: Path) -> None:
    """Take over the images of an archive, under the names it holds, into a node that runs."""
    namespace.run(_import(SOCKET, archive), timeout=_IMPORT_SECONDS)


def take_over(socket: Path, archive: Path) -> None:
    """Take over the images of an archive into the containerd of a socket."""
    run(_import(str(socket), archive), timeout=_IMPORT_SECONDS)


def _import(socket: str, archive: Path) -> tuple[str, ...]:
    return ("ctr", f"--address={socket}", "--namespace=k8s.io", "images", "import", str(archive))


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
