"""An S3 server in the cluster: versitygw with a persistent volume, under the restricted pod security profile.

It has the training data and the models of the demo and the tests. Each cluster has its own credentials.
"""

import base64
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cluster import toolchain
from cluster.addons import folder_volume, readiness
from cluster.archives import write_archive
from cluster.kubectl import apply, kubectl, read
from cluster.model import Backend, Cluster, ClusterError, Progress
from cluster.process_backend import add_programs
from cluster.process_node.programs import POD_IP_REFERENCE, Program

NAMESPACE = "object-store"
NAME = "object-store"
PORT = 7070
"""The default of versitygw."""
REGION = "us-east-1"
IMAGE = "localhost/versitygw:1.8.0"
_DATA = "/data"
_USER = 65532
_SIZE = "10Gi"
_READY = "180s"


@dataclass(frozen=True)
class ObjectStore:
    """The addresses of the store, for pods and for this machine, and its credentials."""

    endpoint_in_cluster: str
    endpoint_local: str
    access_key: str
    secret_key: str

    def credentials(self) -> dict[str, str]:
        """Return the content of a Secret for TrainingJobs that use this store."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}

    def make_bucket(self, name: str) -> None:
        """Create a bucket, if it does not exist. Raises :class:`ClusterError`."""
        try:
            self.client().create_bucket(Bucket=name)
        except ClientError as error:
            if error.response["Error"]["Code"] not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                raise ClusterError(f"bucket {name} cannot be created: {error}") from error
        except BotoCoreError as error:
            raise ClusterError(f"bucket {name} cannot be created: {error}") from error

    def upload(self, data: bytes, bucket: str, key: str) -> str:
        """Store an object, and return its ``s3://`` address. Raises :class:`ClusterError`."""
        try:
            self.client().put_object(Bucket=bucket, Key=key, Body=data)
        except (ClientError, BotoCoreError) as error:
            raise ClusterError(f"s3://{bucket}/{key} cannot be written: {error}") from error
        return f"s3://{bucket}/{key}"

    def client(self) -> Any:
        """Return a boto3 client for use on this machine."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_local,
            region_name=REGION,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 5}),
        )


def deploy(cluster: Cluster, backend: Backend, progress: Progress = print) -> ObjectStore:
    """Run the store in a cluster, and wait until it is ready. An existing store keeps its data and credentials.

    Raises
    ------
    ClusterError
        If it cannot be built or does not become ready.
    """
    progress("object store: versitygw, an S3 server with a persistent volume")
    program = toolchain.ensure("versitygw", progress)
    if cluster.kind == "process":
        add_programs(cluster, {"versitygw": _local_program(program)})
    else:
        _load_image(cluster, backend, program, progress)
    access_key, secret_key = _credentials(cluster)
    apply(cluster, manifests(access_key, secret_key, _volume(cluster)))
    kubectl(cluster, "rollout", "status", f"deployment/{NAME}", f"--namespace={NAMESPACE}", f"--timeout={_READY}")
    local = f"http://{backend.service_address(cluster, NAMESPACE, NAME, PORT)}"
    inside = local if cluster.kind == "process" else f"http://{NAME}.{NAMESPACE}.svc:{PORT}"
    return ObjectStore(inside, local, access_key, secret_key)


def _local_program(program: Path) -> Program:
    """Return the program of a process node, where it listens on the address of its pod only."""
    return Program((str(program),), {"VGW_PORT": f"{POD_IP_REFERENCE}:{PORT}"})


def manifests(access_key: str, secret_key: str, volume: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Build all objects. Without a ``volume`` to bind, the storage class provides one."""
    metadata = {"name": NAME, "namespace": NAMESPACE}
    labels = {"app.kubernetes.io/name": NAME}
    enforce = {"pod-security.kubernetes.io/enforce": "restricted"}
    claim: dict[str, Any] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": _SIZE}}}
    if volume:
        claim |= {"storageClassName": "", "volumeName": volume["metadata"]["name"]}
    deployment = {
        "replicas": 1,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": _pod()},
    }
    return [
        *([volume] if volume else []),
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": enforce}},
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "stringData": {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key},
        },
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": claim},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": labels, "ports": [{"name": "s3", "port": PORT, "targetPort": "s3"}]},
        },
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": deployment},
    ]


def _pod() -> dict[str, Any]:
    def secret(variable: str, key: str) -> dict[str, Any]:
        return {"name": variable, "valueFrom": {"secretKeyRef": {"name": NAME, "key": key}}}

    container = {
        "name": "versitygw",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        # No --port: the default is this port on all addresses. A process node sets VGW_PORT.
        "args": ["--health=/healthz", "--quiet", "posix", _DATA],
        "env": [
            secret("ROOT_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
            secret("ROOT_SECRET_KEY", "AWS_SECRET_ACCESS_KEY"),
        ],
        "ports": [{"name": "s3", "containerPort": PORT}],
        "readinessProbe": readiness("/healthz", "s3"),
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "data", "mountPath": _DATA}],
    }
    identity = {"runAsNonRoot": True, "runAsUser": _USER, "runAsGroup": _USER, "fsGroup": _USER}
    return {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 5,
        "securityContext": {**identity, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": NAME}}],
    }


def _credentials(cluster: Cluster) -> tuple[str, str]:
    """Return the credentials of the existing store, or new ones."""
    held: Mapping[str, str] = read(cluster, "secret", NAME, namespace=NAMESPACE).get("data", {})
    if held:
        values = {key: base64.b64decode(value).decode() for key, value in held.items()}
        return values["AWS_ACCESS_KEY_ID"], values["AWS_SECRET_ACCESS_KEY"]
    return f"store-{secrets.token_hex(6)}", secrets.token_urlsafe(24)


def _volume(cluster: Cluster) -> dict[str, Any] | None:
    """Build a volume for the host node. The other kinds have a storage class."""
    if cluster.kind != "host":
        return None
    folder = cluster.folder / NAME
    folder.mkdir(exist_ok=True)
    os.chown(folder, _USER, _USER)
    volume = folder_volume(NAME, folder, _SIZE)
    volume["spec"]["claimRef"] = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": NAME, "namespace": NAMESPACE,
    }  # fmt: skip
    return volume


def _load_image(cluster: Cluster, backend: Backend, program: Path, progress: Progress) -> None:
    """Load an image with the program, unless the store was deployed before."""
    if not read(cluster, "deployment", NAME, namespace=NAMESPACE):
        archive = write_archive(cluster.folder / "versitygw.tar", IMAGE, {"/versitygw": program}, ["/versitygw"])
        backend.load_image(cluster, archive, progress)
        archive.unlink()
