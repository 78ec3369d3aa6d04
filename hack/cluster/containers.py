"""containerd in the node's namespaces, with everything it keeps inside the cluster's folder."""

import json
from pathlib import Path

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


def start(table: ProcessTable, folder: Path, namespace: Namespace, pods: str) -> None:
    """Start containerd and wait until it answers. ``pods`` is the range of the pods' addresses."""
    settings = folder / "containerd"
    cni_config = settings / "cni"
    cni_config.mkdir(parents=True)
    (cni_config / "10-pods.conflist").write_text(json.dumps(_cni(settings, pods), indent=2))
    config = settings / "config.toml"
    config.write_text(
        _CONFIG.format(root=settings / "root", pause=PAUSE_IMAGE, cni_programs=CNI_FOLDER, cni_config=cni_config)
    )
    table.start("containerd", ("containerd", f"--config={config}"))
    outside = Path(f"/proc/{namespace.pid()}/root{SOCKET}")

    def answers() -> bool:
        table.insist()
        return outside.exists()

    # The kubelet ends at once if the socket is not there.
    wait_for("containerd's socket", answers, 20, lambda: table.tail("containerd"))


def load(namespace: Namespace, archive: Path) -> None:
    """Take over the images of an archive, under the names it holds."""
    ctr = ("ctr", f"--address={SOCKET}", "--namespace=k8s.io")
    namespace.run((*ctr, "images", "import", str(archive)), timeout=_IMPORT_SECONDS)


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
