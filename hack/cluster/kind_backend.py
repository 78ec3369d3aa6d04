"""kind: Kubernetes in a Docker container. It needs a Docker daemon."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import yaml

from cluster import toolchain
from cluster.commands import run
from cluster.kubectl import program as kubectl_program
from cluster.model import Cluster, ClusterError, Images, Kind, Progress
from cluster.processes import ProcessTable, wait_for
from cluster.state import folder_of, forget, free_ports, save

_PREFIX = "trainyard-"
"""Prefix of all names for kind, so that other clusters of the same daemon are never changed."""

NODE_IMAGE_VARIABLE = "TRAINYARD_KIND_IMAGE"
"""Environment variable with another node image, for example of a mirror."""
_NODE_IMAGE = "kindest/node:v1.36.4@sha256:099e049362a1526b2db71494e1947aae99bd16290d7c895f2b7ea312e3cbfaed"
"""The image of the newest supported Kubernetes in the release notes of kind v0.33.0."""

_ASK_SECONDS = 20
_CREATE_SECONDS = 600
_READY = "240s"
_FORWARD_SECONDS = 20


class KindBackend:
    """Clusters by kind."""

    kind: Kind = "kind"

    def obstacle(self) -> str | None:
        """Return why it cannot run here, or ``None``."""
        if shutil.which("docker") is None:
            return "there is no docker command"
        try:
            run(["docker", "info"], timeout=_ASK_SECONDS)
        except ClusterError as error:
            return f"the Docker daemon does not answer: {error}"
        return None if shutil.which("kind") else toolchain.obstacle()

    def up(self, name: str, images: Images, progress: Progress) -> Cluster:
        """Create the cluster and wait until its node is ready. Raises :class:`ClusterError`."""
        folder = folder_of(name)
        folder.mkdir(parents=True, exist_ok=True)
        kubeconfig = folder / "kubeconfig"
        save(Cluster(name, self.kind, folder, kubeconfig, ""))  # before anything exists that must be removed
        _kind(progress, name, "delete", "cluster", "--kubeconfig", kubeconfig)  # it succeeds if there is none
        progress("creating a kind cluster: the first time, this pulls its node image")
        options = ("--kubeconfig", kubeconfig, "--image", node_image(), "--wait", _READY)
        _kind(progress, name, "create", "cluster", *options)
        server = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
        cluster = Cluster(name, self.kind, folder, kubeconfig, server)
        save(cluster)
        return cluster

    def down(self, cluster: Cluster, progress: Progress) -> None:
        """Delete the cluster's containers and its folder."""
        progress(f"deleting kind cluster {_PREFIX}{cluster.name}")
        table = _forwards(cluster)
        for process in table.all():
            table.stop(process.name)
        _kind(progress, cluster.name, "delete", "cluster", "--kubeconfig", cluster.kubeconfig)
        forget(cluster.name)

    def load_image(self, cluster: Cluster, image: Path, progress: Progress) -> None:
        """Load an image into the node. Raises :class:`ClusterError`."""
        progress(f"loading {image.name} into kind cluster {_PREFIX}{cluster.name}")
        _kind(progress, cluster.name, "load", "image-archive", image)

    def service_address(self, cluster: Cluster, namespace: str, service: str, port: int) -> str:
        """Return the address of a port-forward to the Service. It is started if necessary, and `down` ends it."""

        def command(local: int) -> list[str]:
            return forward_command(kubectl_program(), cluster.kubeconfig, f"{namespace}/{service}", local, port)

        return f"127.0.0.1:{_forwarded(cluster, f'{namespace}.{service}.{port}.', command)}"

    def api_address(self, cluster: Cluster) -> str:
        """Return the address of a proxy to the API server that needs no credentials, until `down`.

        A port-forward always uses the same pod. The API server chooses a pod of the Service for each request.
        """

        def command(local: int) -> list[str]:
            return [str(kubectl_program()), f"--kubeconfig={cluster.kubeconfig}", "proxy", f"--port={local}"]

        return f"127.0.0.1:{_forwarded(cluster, 'api.', command)}"

    def containers(self, cluster: Cluster) -> dict[str, str]:
        """Return the state of each of the cluster's containers."""
        command = ["docker", "ps", "--all", "--format", "{{.Names}} {{.Status}}"]
        lines = run([*command, "--filter", f"label=io.x-k8s.kind.cluster={_PREFIX}{cluster.name}"]).splitlines()
        return dict(line.split(" ", 1) for line in lines)


def kind_command(kind: Path, name: str, *words: str | Path) -> list[str]:
    """Build a command of kind for one cluster."""
    return [str(kind), *map(str, words), "--name", _PREFIX + name]


def node_image() -> str:
    """Return the image of the node."""
    return os.environ.get(NODE_IMAGE_VARIABLE) or _NODE_IMAGE


def forward_command(kubectl: Path, kubeconfig: Path, service: str, local: int, port: int) -> list[str]:
    """Build the command that forwards a loopback port to a Service, given as `namespace/name`."""
    namespace, _, name = service.partition("/")
    target = ["port-forward", "--address=127.0.0.1", f"service/{name}", f"{local}:{port}"]
    return [str(kubectl), f"--kubeconfig={kubeconfig}", f"--namespace={namespace}", *target]


def _kind(progress: Progress, name: str, *words: str | Path) -> None:
    installed = shutil.which("kind")
    program = Path(installed) if installed else toolchain.ensure("kind", progress)
    run(kind_command(program, name, *words), timeout=_CREATE_SECONDS)


def _forwarded(cluster: Cluster, prefix: str, command: Callable[[int], list[str]]) -> int:
    """Return the loopback port of a forwarding process, which is started if necessary."""
    table = _forwards(cluster)
    running = next((each for each in table.all() if each.name.startswith(prefix) and each.alive()), None)
    if running is None:
        local = free_ports(prefix)[prefix]
        name = f"{prefix}{local}"
        running = table.start(name, command(local))
        wait_for(f"the port-forward {prefix}", lambda: _listens(local), _FORWARD_SECONDS, lambda: table.tail(name))
    return int(running.name.removeprefix(prefix))


def _forwards(cluster: Cluster) -> ProcessTable:
    return ProcessTable(cluster.folder / "forwards")


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
