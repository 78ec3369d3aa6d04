"""etcd, API server, controller manager and scheduler, for all kinds of cluster except kind."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

from cluster import toolchain
from cluster.commands import succeeds
from cluster.kubectl import program
from cluster.model import Cluster, ClusterError, Images, Kind, Progress
from cluster.pki import Authority, Identity
from cluster.processes import ProcessTable, wait_for
from cluster.state import folder_of, forget, free_ports, save

_SERVICE_RANGE = "10.96.0.0/16"
PORTS = ("etcd", "etcd-peer", "api", "controllers", "scheduler")
_ISSUER = "https://kubernetes.default.svc.cluster.local"
_START_SECONDS = 180


@dataclass(frozen=True)
class ControlPlaneOptions:
    """The differences between the kinds of cluster.

    Attributes
    ----------
    address
        Where the API server listens: loopback, or the address of the node, if pods must reach it.
    services
        The addresses of Services. The first one belongs to the API server.
    prefix
        The words before each command, which enter the namespaces of the node.
    scheduler
        Whether there is a scheduler.
    server
        API server and controllers of another release.
    flags
        Further flags by program, e.g. an audit log for a benchmark.
    facts
        Further data of the backend, which is recorded with the cluster.
    """

    address: str = "127.0.0.1"
    services: str = _SERVICE_RANGE
    prefix: tuple[str, ...] = ()
    scheduler: bool = False
    server: toolchain.ToolSet | None = None
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ControlPlane:
    """A running control plane, with everything that a node needs to join it."""

    cluster: Cluster
    authority: Authority
    admin: Identity
    service_accounts: Identity
    """The key pair that signs their tokens."""


def start(name: str, kind: Kind, options: ControlPlaneOptions, progress: Progress) -> ControlPlane:
    """Start a control plane in an empty folder and wait until it is ready. Raises :class:`ClusterError`."""
    programs = toolchain.ensure_all(("etcd", "kubectl"), progress)
    for server in ("kube-apiserver", "kube-controller-manager"):
        programs[server] = toolchain.ensure(server, progress, options.server)
    if options.scheduler:
        programs["kube-scheduler"] = toolchain.ensure("kube-scheduler", progress)
    folder = folder_of(name)
    folder.mkdir(parents=True, exist_ok=True)
    ports = free_ports(*PORTS)
    authority = Authority(folder / "pki")
    server = f"https://{options.address}:{ports['api']}"
    admin = authority.issue("admin", "trainyard-admin", organization="system:masters")
    kubeconfig = write_kubeconfig(folder / "kubeconfig", server, authority.files.certificate, admin)
    cluster = Cluster(name, kind, folder, kubeconfig, server, ports, options.facts)
    save(cluster)  # before anything runs that must be stopped
    plane = ControlPlane(cluster, authority, admin, authority.service_account_keys())
    table = ProcessTable(folder, options.prefix)
    table.start("etcd", _etcd(programs, plane))
    table.start("kube-apiserver", _apiserver(programs, plane, options))
    _wait_for(table, plane, "the API server", "/readyz")  # the controllers exit if it is not ready within 10 s
    table.start("kube-controller-manager", _controllers(programs, plane, options))
    if options.scheduler:
        table.start("kube-scheduler", _scheduler(programs, plane, options))
    _wait_for(table, plane, "the controllers", "/api/v1/namespaces/default/serviceaccounts/default")
    return plane


def stop(folder: Path) -> None:
    """Kill all programs of the cluster. After SIGTERM, the API server may need a minute."""
    ProcessTable(folder).kill_all()


def write_kubeconfig(path: Path, server: str, ca: Path, identity: Identity) -> Path:
    """Write a kubeconfig with embedded certificates, as JSON."""

    def inline(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    user = {"client-certificate-data": inline(identity.certificate), "client-key-data": inline(identity.key)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "it", "cluster": {"server": server, "certificate-authority-data": inline(ca)}}],
        "users": [{"name": "me", "user": user}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "me"}}],
        "current-context": "it",
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(config, indent=1))
    return path


class ControlPlaneBackend:
    """The control plane alone, for integration tests. Pods stay Pending."""

    kind: Kind = "control-plane"

    def __init__(self, options: ControlPlaneOptions | None = None) -> None:
        self._options = options or ControlPlaneOptions()

    def obstacle(self) -> str | None:
        """Return why it cannot run here."""
        return toolchain.obstacle("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")

    def up(self, name: str, images: Images, progress: Progress) -> Cluster:
        """Start it."""
        plane = start(name, self.kind, self._options, progress)
        return plane.cluster

    def down(self, cluster: Cluster, progress: Progress) -> None:
        """Stop it and delete its folder."""
        progress(f"stopping cluster {cluster.name}")
        stop(cluster.folder)
        forget(cluster.name)

    def load_image(self, cluster: Cluster, image: Path, progress: Progress) -> None:
        """Raise :class:`ClusterError`: there is no node."""
        raise ClusterError(f"cluster {cluster.name} has no node: {image.name} cannot be loaded")

    def service_address(self, cluster: Cluster, namespace: str, service: str, port: int) -> str:
        """Raise :class:`ClusterError`: there are no pods."""
        raise ClusterError(f"cluster {cluster.name} has no node: no pod of {namespace}/{service}:{port} can run")


def _etcd(programs: Mapping[str, Path], plane: ControlPlane) -> list[str]:
    client, peer = (
        f"http://127.0.0.1:{plane.cluster.ports['etcd']}",
        f"http://127.0.0.1:{plane.cluster.ports['etcd-peer']}",
    )
    return [
        str(programs["etcd"]),
        f"--data-dir={plane.cluster.folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",  # a power failure may destroy this cluster for development
        "--log-level=warn",
    ]


def _apiserver(programs: Mapping[str, Path], plane: ControlPlane, options: ControlPlaneOptions) -> list[str]:
    first = str(ip_network(options.services)[1])
    service = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
    names = ("localhost", *service, "127.0.0.1", first, options.address)
    own = plane.authority.issue("apiserver", "kube-apiserver", names=names, server=True)
    return [
        str(programs["kube-apiserver"]),
        f"--etcd-servers=http://127.0.0.1:{plane.cluster.ports['etcd']}",
        f"--bind-address={options.address}",
        f"--advertise-address={options.address}",
        f"--secure-port={plane.cluster.ports['api']}",
        f"--cert-dir={plane.cluster.folder / 'pki'}",
        f"--tls-cert-file={own.certificate}",
        f"--tls-private-key-file={own.key}",
        f"--client-ca-file={plane.authority.files.certificate}",
        f"--kubelet-client-certificate={plane.admin.certificate}",
        f"--kubelet-client-key={plane.admin.key}",
        f"--kubelet-certificate-authority={plane.authority.files.certificate}",
        "--kubelet-preferred-address-types=InternalIP",  # otherwise `kubectl logs` looks up the name of the node in DNS
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--service-cluster-ip-range={options.services}",
        f"--service-account-issuer={_ISSUER}",
        f"--service-account-key-file={plane.service_accounts.certificate}",
        f"--service-account-signing-key-file={plane.service_accounts.key}",
        "--allow-privileged=true",
        "--endpoint-reconciler-type=" + ("none" if options.address.startswith("127.") else "lease"),
        *options.flags.get("kube-apiserver", ()),
    ]


def _controllers(programs: Mapping[str, Path], plane: ControlPlane, options: ControlPlaneOptions) -> list[str]:
    config = _component_kubeconfig(plane, "kube-controller-manager")
    ca = plane.authority.files
    return [
        str(programs["kube-controller-manager"]),
        f"--kubeconfig={config}",
        "--bind-address=127.0.0.1",
        f"--secure-port={plane.cluster.ports['controllers']}",
        f"--cert-dir={plane.cluster.folder / 'pki'}",
        "--use-service-account-credentials",
        f"--root-ca-file={ca.certificate}",
        f"--service-account-private-key-file={plane.service_accounts.key}",
        f"--cluster-signing-cert-file={ca.certificate}",
        f"--cluster-signing-key-file={ca.key}",
        f"--service-cluster-ip-range={options.services}",
        "--leader-elect=false",
        "--kube-api-qps=200",  # the defaults of 20 and 30 create about 8 pods in a second
        "--kube-api-burst=400",
        *options.flags.get("kube-controller-manager", ()),
    ]


def _scheduler(programs: Mapping[str, Path], plane: ControlPlane, options: ControlPlaneOptions) -> list[str]:
    return [
        str(programs["kube-scheduler"]),
        f"--kubeconfig={_component_kubeconfig(plane, 'kube-scheduler')}",
        "--bind-address=127.0.0.1",
        f"--secure-port={plane.cluster.ports['scheduler']}",
        f"--cert-dir={plane.cluster.folder / 'pki'}",
        "--leader-elect=false",
        *options.flags.get("kube-scheduler", ()),
    ]


def _component_kubeconfig(plane: ControlPlane, component: str) -> Path:
    identity = plane.authority.issue(component, f"system:{component}")
    ca = plane.authority.files.certificate
    return write_kubeconfig(
        plane.cluster.folder / "pki" / f"{component}.kubeconfig", plane.cluster.server, ca, identity
    )


def _wait_for(table: ProcessTable, plane: ControlPlane, what: str, path: str) -> None:
    """Wait until the API server responds to a path with status 200."""
    command = (program(), f"--kubeconfig={plane.cluster.kubeconfig}", "get", "--raw", path)

    def responds() -> bool:
        table.check_running()
        return succeeds(command)

    wait_for(
        f"{what} to be ready", responds, _START_SECONDS, lambda: f"see the logs in {plane.cluster.folder / 'logs'}"
    )
