"""A node on this machine: kubelet, containerd and kube-proxy in their own namespaces, with the control plane.

It needs root on Debian or Ubuntu. It does not need Docker.
"""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from cluster import addons, cgroups, containers, control_plane, host_network, node_images, packages, state, toolchain
from cluster.commands import succeeds
from cluster.control_plane import ControlPlane, ControlPlaneOptions
from cluster.host_namespace import HOLDER, PROBE, Namespace, remove_fixed_folders
from cluster.host_network import Network
from cluster.kubectl import POLL_SECONDS, apply, read, service_port, takes_pods
from cluster.model import Cluster, Images, Kind, Progress
from cluster.pki import Identity
from cluster.processes import ProcessTable, wait_for

_READY_SECONDS = 180
_PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")


class HostBackend:
    """Clusters whose node is this machine."""

    kind: Kind = "host"

    def obstacle(self) -> str | None:
        """Return why it cannot run here. This tries the commands that it needs."""
        if os.geteuid() != 0:
            return "the host node needs root (try `sudo -E env PATH=$PATH make ...`)"
        if shutil.which("apt-get") is None:
            return "the host node needs Debian or Ubuntu (there is no apt-get)"
        if not succeeds(PROBE):
            return "root may not create namespaces and mounts here (is this an unprivileged container?)"
        if shutil.which("iptables") and not succeeds(("iptables", "--wait", "-t", "nat", "-S", "POSTROUTING")):
            return "iptables does not work here (no permission, or no support in the kernel)"
        return toolchain.obstacle(*_PROGRAMS)

    def up(self, name: str, images: Images, progress: Progress) -> Cluster:
        """Start it and wait until pods can run. Raises :class:`ClusterError`."""
        packages.ensure(packages.NODE_PACKAGES, progress)
        toolchain.ensure_all(_PROGRAMS, progress)
        first_images = (*addons.images(progress), *images())
        cluster, network = _claim(name)
        root = containers.root_of(cluster.folder)
        root.parent.mkdir()
        node_images.link(root, first_images, progress)
        table = ProcessTable(cluster.folder)
        namespace = Namespace(table)
        namespace.open()
        host_network.allow_forwarding()
        host_network.connect(network, namespace)
        progress(f"network {network.range}: this machine reaches pods and Services at their own addresses")
        progress("starting containerd, etcd, API server, controllers and scheduler")
        inside = ProcessTable(cluster.folder, namespace.prefix())
        containers.start(inside, cluster.folder, namespace, network.pods)
        options = ControlPlaneOptions(
            address=network.node_ip,
            services=network.services,
            prefix=namespace.prefix(),
            scheduler=True,
            facts=cluster.facts,
        )
        plane = control_plane.start(name, self.kind, options, progress)
        progress("starting kubelet, kube-proxy and CoreDNS")
        _start_node(inside, cluster.folder, name, plane, network)
        cluster = plane.cluster
        apply(cluster, [*addons.core_dns(network.dns_ip, forward=bool(_nameservers())), addons.proxy_permissions()])
        _wait_ready(cluster, inside)
        return cluster

    def prepare(self, images: Sequence[Path], progress: Progress) -> None:
        """Unpack images for later nodes. Raises :class:`ClusterError`."""
        packages.ensure(packages.NODE_PACKAGES, progress)
        node_images.prepare(images, progress)

    def down(self, cluster: Cluster, progress: Progress) -> None:
        """Kill the namespaces with all their processes, and remove the rest."""
        progress(f"stopping cluster {cluster.name}: processes, containers, network, folder")
        ProcessTable(cluster.folder).kill_all(first=HOLDER)
        if number := cluster.facts.get("network"):
            network = Network(int(number))
            host_network.disconnect(network, cluster.folder)
            cgroups.remove(network.interface)
        state.forget(cluster.name)
        with host_network.locked():  # so that no cluster starts meanwhile
            if not host_network.in_use():
                host_network.restore_forwarding()
                remove_fixed_folders()

    def load_image(self, cluster: Cluster, image: Path, progress: Progress) -> None:
        """Load an image into containerd, unless it has this image already."""
        root = containers.root_of(cluster.folder)
        if node_images.has(root, image):
            progress(f"the node of {cluster.name} has {image.name} already")
            return
        progress(f"loading {image.name} into the node of {cluster.name}")
        containers.load(Namespace(ProcessTable(cluster.folder)), cluster.folder, image)
        node_images.record(root, image)

    def service_address(self, cluster: Cluster, namespace: str, service: str, port: int) -> str:
        """Return the address of the Service, to which this machine has a route. Raises :class:`ClusterError`."""
        spec, _ = service_port(cluster, namespace, service, port)
        return f"{spec['clusterIP']}:{port}"


def _claim(name: str) -> tuple[Cluster, Network]:
    """Claim a network. The cluster is recorded before anything exists that must be removed."""
    with host_network.locked():
        taken = [int(cluster.facts["network"]) for cluster in _host_clusters()]
        network = host_network.first_free(taken, host_network.routed())
        folder = state.folder_of(name)
        folder.mkdir(parents=True)
        server = f"https://{network.node_ip}"
        cluster = Cluster(
            name, HostBackend.kind, folder, folder / "kubeconfig", server, facts={"network": str(network.number)}
        )
        state.save(cluster)
        host_network.claim(network, folder)
    return cluster, network


def _host_clusters() -> list[Cluster]:
    clusters = [state.load(name) for name in state.names()]
    return [cluster for cluster in clusters if cluster is not None and "network" in cluster.facts]


def _start_node(table: ProcessTable, folder: Path, name: str, plane: ControlPlane, network: Network) -> None:
    ca = plane.authority.files.certificate
    kubelet = plane.authority.issue(
        "kubelet", f"system:node:{name}", organization="system:nodes", names=(name, network.node_ip), server=True
    )
    proxy = plane.authority.issue("kube-proxy", "system:kube-proxy")
    settings = folder / "kubelet"
    settings.mkdir()
    cgroups.create(network.interface)
    (settings / "resolv.conf").write_text("".join(f"nameserver {server}\n" for server in _nameservers()))
    (settings / "config.json").write_text(json.dumps(_kubelet_config(settings, network, ca, kubelet)))
    access = control_plane.write_kubeconfig(folder / "pki" / "kubelet.kubeconfig", plane.cluster.server, ca, kubelet)
    table.start(
        "kubelet",
        (
            str(toolchain.ensure("kubelet")),
            f"--config={settings / 'config.json'}",
            f"--kubeconfig={access}",
            f"--root-dir={settings / 'root'}",
            f"--hostname-override={name}",
            f"--node-ip={network.node_ip}",
        ),
    )
    access = control_plane.write_kubeconfig(folder / "pki" / "kube-proxy.kubeconfig", plane.cluster.server, ca, proxy)
    (settings / "proxy.json").write_text(json.dumps(_proxy_config(access, network)))
    command = (
        str(toolchain.ensure("kube-proxy")),
        f"--config={settings / 'proxy.json'}",
        f"--hostname-override={name}",
    )
    table.start("kube-proxy", command)


def _kubelet_config(settings: Path, network: Network, ca: Path, own: Identity) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": network.node_ip,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(ca)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(own.certificate),
        "tlsPrivateKeyFile": str(own.key),
        "containerRuntimeEndpoint": f"unix://{containers.SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{network.interface}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDomain": "cluster.local",
        "clusterDNS": [network.dns_ip],
        "resolvConf": str(settings / "resolv.conf"),
        "podLogsDir": str(settings / "pod-logs"),
        "volumePluginDir": str(settings / "volume-plugins"),
        "staticPodPath": "",
        # A nearly full disk of a workstation must not remove images or evict pods.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "shutdownGracePeriod": "0s",
        # Shorter intervals than in a large cluster.
        "crashLoopBackOff": {"maxContainerRestartPeriod": "2s"},
        "syncFrequency": "10s",
        "nodeStatusUpdateFrequency": "5s",
    }


def _proxy_config(access: Path, network: Network) -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "bindAddress": network.node_ip,
        "clientConnection": {"kubeconfig": str(access)},
        "clusterCIDR": network.pods,
        # This limit applies to the whole machine; do not change it.
        "conntrack": {"maxPerCore": 0, "min": 0},
        "iptables": {"minSyncPeriod": "0s"},
    }


def _wait_ready(cluster: Cluster, table: ProcessTable) -> None:
    def node_is_ready() -> bool:
        table.check_running()
        return takes_pods(cluster, cluster.name)

    def dns_is_ready() -> bool:
        table.check_running()
        deployment = read(cluster, "deployment", "coredns", namespace="kube-system")
        return bool(deployment.get("status", {}).get("readyReplicas"))

    for what, condition in (("the node to be ready", node_is_ready), ("CoreDNS to be ready", dns_is_ready)):
        wait_for(what, condition, _READY_SECONDS, lambda: table.tail("kubelet"), POLL_SECONDS)


def _nameservers() -> list[str]:
    """Return the name servers that pods can reach. They cannot reach a resolver on loopback."""
    for file in (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf")):
        if file.exists():
            lines = [line.split() for line in file.read_text().splitlines()]
            found = [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]
            if reachable := [server for server in found if not server.startswith(("127.", "::1"))]:
                return reachable
    return []
