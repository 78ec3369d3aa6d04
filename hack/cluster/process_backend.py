"""Clusters with a process node: a real control plane, and one node whose pods are local processes.

They need no privileges and no images. Pods run the programs of the environment that runs this command, so the next pod
has each change in the checkout.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from cluster import control_plane, toolchain
from cluster.addons import folder_volume
from cluster.control_plane import ControlPlane, ControlPlaneOptions
from cluster.kubectl import POLL_SECONDS, apply, is_ready, read, service_port, takes_pods
from cluster.model import Cluster, ClusterError, Images, Kind, Progress
from cluster.process_node.addresses import node_addresses
from cluster.process_node.leftovers import end_processes_of
from cluster.process_node.programs import POD_IP_REFERENCE, Program, read_programs, write_programs
from cluster.process_node.settings import NodeSettings
from cluster.processes import ProcessTable, wait_for
from cluster.state import forget
from trainyard_api import meta

NODE_PROCESS = "process-node"
_READY_SECONDS = 120
_STORAGE_CLASS = "process-node"
_VOLUMES = 20
_OUR_PROGRAMS = ("trainyard-operator", "trainyard-trainer", "trainyard-server", "python")
_LISTENS = {"trainyard-server": {meta.SERVER_HOST_ENV: POD_IP_REFERENCE}}
"""Variables by which a program listens on the address of its pod only."""
_OTHER_IMAGES = {"trainyard-trainer-torch": "trainyard-trainer"}
"""Images with more libraries and the same program; this environment has all libraries."""


class ProcessBackend:
    """Clusters with a process node."""

    kind: Kind = "process"

    def obstacle(self) -> str | None:
        """Return why it cannot run here, or ``None``."""
        if not sys.platform.startswith("linux"):
            return "a process node needs Linux"
        return toolchain.obstacle()

    def up(self, name: str, images: Images, progress: Progress) -> Cluster:
        """Start control plane and node, and wait until pods can be scheduled. Raises :class:`ClusterError`."""
        progress("starting etcd, API server, controllers and scheduler")
        facts = {"node": tempfile.mkdtemp(prefix="ty-")}
        plane = control_plane.start(name, self.kind, ControlPlaneOptions(scheduler=True, facts=facts), progress)
        cluster, folder = plane.cluster, plane.cluster.folder
        progress("starting the node: pods run as processes of this machine")
        apply(cluster, _volumes(folder))
        write_programs(_programs_file(cluster), checkout_programs())
        (folder / "node").mkdir(mode=0o700)  # it holds Secrets and tokens
        node_folder(cluster).symlink_to(folder / "node")
        table = ProcessTable(folder)
        python_path = os.pathsep.join(filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH"))))
        settings = folder / "node.json"
        settings.write_text(_node_settings(cluster, plane).model_dump_json(indent=2))
        command = (sys.executable, "-m", "cluster.process_node", str(settings))
        table.start(NODE_PROCESS, command, {"PYTHONPATH": python_path})
        wait_for(
            "the node to take pods",
            lambda: takes_pods(cluster, node_name(name)),
            _READY_SECONDS,
            lambda: table.tail(NODE_PROCESS),
            POLL_SECONDS,
        )
        return cluster

    def down(self, cluster: Cluster, progress: Progress) -> None:
        """Kill the node, its pods' processes and the control plane, and delete the folders."""
        progress(f"stopping cluster {cluster.name}")
        control_plane.stop(cluster.folder)
        end_processes_of(node_folder(cluster))
        shutil.rmtree(cluster.facts["node"], ignore_errors=True)
        forget(cluster.name)

    def load_image(self, cluster: Cluster, image: Path, progress: Progress) -> None:
        """Do nothing: programs stand for images, see :func:`add_programs`."""
        progress(f"{image.name} is not needed: cluster {cluster.name} runs the programs of this environment")

    def service_address(self, cluster: Cluster, namespace: str, service: str, port: int) -> str:
        """Return the address of a ready pod of the Service. Raises :class:`ClusterError` if there is none."""
        spec, wanted = service_port(cluster, namespace, service, port)
        selector = ",".join(f"{key}={value}" for key, value in spec["selector"].items())
        pods = read(cluster, "pods", namespace=namespace, selector=selector)["items"]
        ready = next((pod for pod in pods if is_ready(pod)), None)
        if ready is None:
            raise ClusterError(f"no pod of the Service {namespace}/{service} is ready")
        return f"{ready['status']['podIP']}:{_target_port(ready, wanted)}"


def node_folder(cluster: Cluster) -> Path:
    """Return the folder of the node: a short link, because the path of a socket has at most 107 bytes."""
    return Path(cluster.facts["node"], "n")


def node_name(cluster_name: str) -> str:
    """Return the name of a cluster's Node."""
    return f"{cluster_name}-node"


def checkout_programs() -> dict[str, Program]:
    """Return the console scripts of the environment that runs this command, by the names of this project's images."""
    scripts = Path(sys.executable).parent
    programs = {**dict(zip(_OUR_PROGRAMS, _OUR_PROGRAMS, strict=True)), **_OTHER_IMAGES}
    return {
        name: Program((str(scripts / each),), {"PYTHONUNBUFFERED": "1", **_LISTENS.get(each, {})})
        for name, each in programs.items()
    }


def add_programs(cluster: Cluster, programs: dict[str, Program]) -> None:
    """Add programs for more images. A container that waits for one of them starts within seconds."""
    file = _programs_file(cluster)
    write_programs(file, read_programs(file) | programs)


def _node_settings(cluster: Cluster, plane: ControlPlane) -> NodeSettings:
    name = node_name(cluster.name)
    identity = plane.authority.issue(
        "node", f"system:node:{name}", organization="system:nodes", names=node_addresses(), server=True
    )
    return NodeSettings(
        name=name,
        server=cluster.server,
        ca=plane.authority.files.certificate,
        certificate=identity.certificate,
        key=identity.key,
        folder=node_folder(cluster),
        programs=_programs_file(cluster),
        search_path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
    )


def _programs_file(cluster: Cluster) -> Path:
    return cluster.folder / "programs.json"


def _target_port(pod: dict[str, Any], port: dict[str, Any]) -> int:
    target = port.get("targetPort", port["port"])
    named = {
        each["name"]: each["containerPort"]
        for container in pod["spec"]["containers"]
        for each in container.get("ports", [])
        if "name" in each
    }
    return int(named.get(target, target))


def _volumes(folder: Path) -> list[dict[str, Any]]:
    """Return the default storage class with empty volumes. Kubernetes binds each claim to one of them."""
    storage_class = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": _STORAGE_CLASS,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "kubernetes.io/no-provisioner",
    }
    claims, names = folder / "node" / "claims", [f"volume-{number}" for number in range(1, _VOLUMES + 1)]
    return [storage_class, *(folder_volume(name, claims / name, "1Ti", _STORAGE_CLASS) for name in names)]
