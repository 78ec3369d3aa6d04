"""The process node as a kind of cluster: a real control plane, and one node whose pods are local processes.

It needs no privilege, and builds no image: the programs of operator and trainer come straight from the environment that
runs this command, so that a change in the checkout is there with the next pod.
"""

import os
import sys
from pathlib import Path
from typing import Any

from cluster import control_plane, toolchain
from cluster.control_plane import ControlPlane, ControlPlaneOptions
from cluster.kubectl import POLL_SECONDS, apply, read
from cluster.model import Cluster, ClusterError, ClusterSpec, Kind, Progress
from cluster.process_node.addresses import node_addresses
from cluster.process_node.layout import NodeFolder
from cluster.process_node.leftovers import end_leftovers
from cluster.process_node.programs import POD_IP_REFERENCE, Program, read_programs, write_programs
from cluster.process_node.provisioner import storage_class
from cluster.processes import ProcessTable, wait_for
from cluster.state import folder_of, forget, save
from trainyard_api import meta

NODE_PROCESS = "process-node"
_READY_SECONDS = 120
_OUR_PROGRAMS = ("trainyard-operator", "trainyard-trainer", "trainyard-server", "python")
_LISTENS = {"trainyard-server": {meta.SERVER_HOST_ENV: POD_IP_REFERENCE}}
"""What keeps a program from the addresses of other pods."""
_OTHER_IMAGES = {"trainyard-trainer-torch": "trainyard-trainer"}
"""Images that bring more libraries and the same program; this environment has all libraries."""


class ProcessBackend:
    """Clusters with a process node."""

    kind: Kind = "process"

    def obstacle(self) -> str | None:
        """Return why it cannot run here, or ``None``."""
        if not sys.platform.startswith("linux"):
            return "a process node needs Linux"
        return toolchain.obstacle()

    def up(self, spec: ClusterSpec, progress: Progress) -> Cluster:
        """Start control plane and node, and wait until pods can be scheduled. Raises :class:`ClusterError`."""
        progress("starting etcd, API server, controllers and scheduler")
        plane = control_plane.start(spec, ControlPlaneOptions(scheduler=True), progress)
        folder = folder_of(spec.name)
        cluster = Cluster(spec.name, spec.kind, folder, plane.kubeconfig, plane.server, plane.ports)
        save(cluster)
        progress("starting the node: pods run as processes of this machine")
        apply(cluster, [storage_class(), *_provisioner_rights(node_name(spec.name))])
        write_programs(_programs_file(cluster), checkout_programs())
        table = ProcessTable(folder)
        folders = (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH"))
        python_path = os.pathsep.join(filter(None, folders))
        table.start(NODE_PROCESS, _node_command(cluster, plane), {"PYTHONPATH": python_path})
        wait_for(
            "the node to take pods",
            lambda: _takes_pods(cluster),
            _READY_SECONDS,
            lambda: table.tail(NODE_PROCESS),
            POLL_SECONDS,
        )
        return cluster

    def down(self, cluster: Cluster, progress: Progress) -> None:
        """Stop the node with its pods' processes, then the control plane, and delete the folder."""
        progress(f"stopping cluster {cluster.name}")
        ProcessTable(cluster.folder).stop(NODE_PROCESS)
        end_leftovers(_node_folder(cluster).pods)
        _node_folder(cluster).unshorten()
        control_plane.stop(cluster.folder)
        forget(cluster.name)

    def load_image(self, cluster: Cluster, image: Path, progress: Progress) -> None:
        """Say that no image is needed: programs are mapped, see :func:`add_programs`."""
        progress(f"{image.name} is not needed: cluster {cluster.name} runs the programs of this environment")

    def service_address(self, cluster: Cluster, namespace: str, service: str, port: int) -> str:
        """Return the address of a ready pod behind the Service. Raises :class:`ClusterError` if there is none."""
        found = read(cluster, "service", service, namespace=namespace)
        spec = found.get("spec", {})
        wanted = next((each for each in spec.get("ports", []) if each["port"] == port), None)
        if wanted is None:
            raise ClusterError(f"there is no Service {namespace}/{service} with port {port} in cluster {cluster.name}")
        selector = ",".join(f"{key}={value}" for key, value in spec.get("selector", {}).items())
        pods = read(cluster, "pods", namespace=namespace, selector=selector)["items"]
        ready = next((pod for pod in pods if _is_ready(pod)), None)
        if ready is None:
            raise ClusterError(f"no pod behind Service {namespace}/{service} is ready")
        return f"{ready['status']['podIP']}:{_target_port(ready, wanted)}"

    def status(self, cluster: Cluster) -> dict[str, str]:
        """Return which programs run."""
        return {
            process.name: f"running (process {process.pid})" if process.alive() else "stopped"
            for process in ProcessTable(cluster.folder).all()
        }


def node_name(cluster_name: str) -> str:
    """Return the name of a cluster's Node."""
    return f"{cluster_name}-node"


def checkout_programs() -> dict[str, Program]:
    """Map the images of this project to the console scripts of the environment that runs this command."""
    scripts = Path(sys.executable).parent
    programs = {**dict(zip(_OUR_PROGRAMS, _OUR_PROGRAMS, strict=True)), **_OTHER_IMAGES}
    return {
        name: Program((str(scripts / each),), env={"PYTHONUNBUFFERED": "1", **_LISTENS.get(each, {})})
        for name, each in programs.items()
    }


def add_programs(cluster: Cluster, programs: dict[str, Program]) -> None:
    """Map more images; a container that waits for one of them starts within seconds."""
    file = _programs_file(cluster)
    write_programs(file, read_programs(file) | programs)


def _node_command(cluster: Cluster, plane: ControlPlane) -> list[str]:
    name = node_name(cluster.name)
    identity = plane.authority.issue(
        "node", f"system:node:{name}", organization="system:nodes", names=node_addresses(), server=True
    )
    search_path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
    return [
        sys.executable,
        *("-m", "cluster.process_node"),
        f"--name={name}",
        f"--server={plane.server}",
        f"--ca={plane.authority.files.certificate}",
        f"--certificate={identity.certificate}",
        f"--key={identity.key}",
        f"--folder={_node_folder(cluster).root}",
        f"--programs={_programs_file(cluster)}",
        f"--search-path={search_path}",
    ]


def _node_folder(cluster: Cluster) -> NodeFolder:
    return NodeFolder(cluster.folder.resolve() / "node")


def _programs_file(cluster: Cluster) -> Path:
    return cluster.folder / "programs.json"


def _takes_pods(cluster: Cluster) -> bool:
    """Whether the node is ready and the controllers have taken away the taint of a node that is not."""
    node = read(cluster, "node", node_name(cluster.name))
    return bool(node) and _is_ready(node) and not node["spec"].get("taints")


def _is_ready(item: dict[str, Any]) -> bool:
    conditions = item.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _target_port(pod: dict[str, Any], port: dict[str, Any]) -> int:
    target = port.get("targetPort", port["port"])
    named = {
        each["name"]: each["containerPort"]
        for container in pod["spec"]["containers"]
        for each in container.get("ports", [])
        if "name" in each
    }
    return int(named.get(target, target))


def _provisioner_rights(node: str) -> list[dict[str, Any]]:
    """What a node may not do by itself: make persistent volumes for claims."""
    rights = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    name = "process-node-provisioner"
    volumes = {"resources": ["persistentvolumes"], "verbs": ["get", "list", "watch", "create", "delete"]}
    claims = {"resources": ["persistentvolumeclaims"], "verbs": ["get", "list", "watch"]}
    return [
        {
            **rights,
            "kind": "ClusterRole",
            "metadata": {"name": name},
            "rules": [{"apiGroups": [""], **rule} for rule in (volumes, claims)],
        },
        {
            **rights,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": f"system:node:{node}"}],
        },
    ]
