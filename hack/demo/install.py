"""Installation of the chart with the values of the demo."""

import json
import subprocess
from typing import Any

from cluster import toolchain
from cluster.kubectl import apply, read
from cluster.model import Cluster, ClusterError
from cluster.process_backend import node_name
from demo.images import ROOT, TAG, repository

CHART = ROOT / "charts/trainyard"
OPERATOR_NAMESPACE = "trainyard"
JOBS_NAMESPACE = "demo"
RELEASE = "trainyard"
STORE_SECRET = "object-store"
BUCKET = "models"
DATA_BUCKET = "datasets"
PROGRESS_PORT = 8443
TIMEOUT = "180s"

Json = dict[str, Any]


def make_namespaces(cluster: Cluster) -> None:
    """Create the namespaces of the operator and of the jobs. Both allow only pods of the restricted profile."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    apply(
        cluster,
        [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
            for name in (OPERATOR_NAMESPACE, JOBS_NAMESPACE)
        ],
    )


def give_store_access(cluster: Cluster, keys: dict[str, str]) -> None:
    """Create the Secret with the keys of the object store, in the namespace of the jobs."""
    metadata = {"name": STORE_SECRET, "namespace": JOBS_NAMESPACE}
    apply(cluster, [{"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": keys}])


def install_chart(cluster: Cluster, *, endpoint: str, source: str) -> None:
    """Install or upgrade the release and wait until the operator is ready.

    Parameters
    ----------
    endpoint
        URL of the object store for pods.
    source
        Identifies the source of the operator. If it changes, the pod is replaced, although the image tag is the same.

    Raises
    ------
    ClusterError
        With the message of helm.
    """
    values = chart_values(endpoint, source) | _addresses(cluster)
    command = ["upgrade", "--install", RELEASE, str(CHART), "--namespace", OPERATOR_NAMESPACE]
    program = [str(toolchain.ensure("helm")), "--kubeconfig", str(cluster.kubeconfig)]
    done = subprocess.run(
        [*program, *command, "--wait", "--timeout", TIMEOUT, "--values", "-"],
        input=json.dumps(values),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        hint = f"kubectl --kubeconfig {cluster.kubeconfig} -n {OPERATOR_NAMESPACE} describe pods"
        raise ClusterError(f"helm could not install the chart: {done.stderr.strip()} (check with `{hint}`)")


def chart_values(endpoint: str, source: str) -> Json:
    """Return the values of the demo. The requests are small, so that all jobs can train at once on a laptop."""
    return {
        "image": {"repository": repository("operator"), "tag": TAG},
        "podAnnotations": {"demo/source": source},
        "trainer": {
            "image": {"repository": repository("trainer"), "tag": TAG},
            "resources": {"requests": {"cpu": "250m", "memory": "512Mi"}},
        },
        "server": {
            "image": {"repository": repository("server"), "tag": TAG},
            "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}},
        },
        "storage": {
            "uri": f"s3://{BUCKET}/",
            "endpoint": endpoint,
            "region": "us-east-1",
            "secretName": STORE_SECRET,
        },
    }


def _addresses(cluster: Cluster) -> Json:
    """Return the operator's addresses for a node whose pods share the network of this machine and have no Services."""
    if cluster.kind != "process":
        return {}
    node = read(cluster, "node", node_name(cluster.name))
    address = next(each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP")
    return {
        "replicas": 1,  # two could not listen on the same address
        "updateStrategy": {"type": "Recreate"},
        "progress": {"url": f"https://{address}:{PROGRESS_PORT}", "bind": address, "port": PROGRESS_PORT},
        "health": {"bind": "$(POD_IP)"},
    }
