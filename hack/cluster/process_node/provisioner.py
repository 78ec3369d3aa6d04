"""Persistent volumes on this machine: the external provisioner of the process node's storage class.

A claim of that class becomes a PersistentVolume of a folder; the cluster's own controller binds the two. When the claim
is deleted the controller releases the volume, and the folder goes with it.
"""

import shutil
from functools import partial

from cluster.process_node.client import ApiClient, insist
from cluster.process_node.layout import NodeFolder
from cluster.process_node.podspec import Json

PROVISIONER = "trainyard.dev/process-node"
STORAGE_CLASS = "process-node"
_PROVISIONER_NOTE = "volume.kubernetes.io/storage-provisioner"
_MADE_BY_NOTE = "pv.kubernetes.io/provisioned-by"


def storage_class() -> Json:
    """Build the default storage class of a cluster with a process node."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": STORAGE_CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
    }


def volume_for(claim: Json, folder: NodeFolder) -> Json | None:
    """Build the volume of a claim that waits for this provisioner; None for any other claim."""
    metadata, spec = claim["metadata"], claim["spec"]
    waiters = claim.get("status", {}).get("phase", "Pending") == "Pending" and not spec.get("volumeName")
    if not waiters or metadata.get("annotations", {}).get(_PROVISIONER_NOTE) != PROVISIONER:
        return None
    name = f"pvc-{metadata['uid']}"
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {_MADE_BY_NOTE: PROVISIONER}},
        "spec": {
            "accessModes": spec["accessModes"],
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                **{field: metadata[field] for field in ("namespace", "name", "uid")},
            },
            "hostPath": {"path": str(folder.claim(name)), "type": "DirectoryOrCreate"},
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": spec.get("storageClassName", STORAGE_CLASS),
            "volumeMode": "Filesystem",
        },
    }


async def provision(client: ApiClient, folder: NodeFolder) -> None:
    """Make volumes for claims, for ever."""
    async for change in client.follow("/api/v1/persistentvolumeclaims"):
        volume = volume_for(change.item, folder) if change.kind == "SET" else None
        if volume is None:
            continue
        folder.claim(volume["metadata"]["name"]).mkdir(parents=True, exist_ok=True)
        create = partial(client.create, "/api/v1/persistentvolumes", volume)
        await insist(f"volume of claim {change.item['metadata']['name']}", create)


async def reclaim(client: ApiClient, folder: NodeFolder) -> None:
    """Remove released volumes of ours together with their data, for ever."""
    async for change in client.follow("/api/v1/persistentvolumes"):
        metadata = change.item["metadata"]
        ours = metadata.get("annotations", {}).get(_MADE_BY_NOTE) == PROVISIONER
        released = change.item.get("status", {}).get("phase") == "Released"
        if change.kind == "SET" and ours and released and "deletionTimestamp" not in metadata:
            shutil.rmtree(folder.claim(metadata["name"]), ignore_errors=True)
            path = f"/api/v1/persistentvolumes/{metadata['name']}"
            await insist(f"removal of {path}", partial(client.delete, path))
