"""Objects in the form in which the API server and the Kubernetes controllers write and return them."""

import copy
from typing import Any

from trainyard_api import meta
from trainyard_operator.core.plan import Body


def has_fields(body: Body, fields: str) -> bool:
    """Return whether an Event matches a field selector, such as ``regarding.uid=u,type=Warning``."""
    found = {"regarding.uid": (body.get("regarding") or {}).get("uid"), "type": body.get("type")}
    return dict(part.split("=") for part in fields.split(",")).items() <= found.items()


def read_event(body: Body) -> Body:
    """Convert an Event of the API ``v1`` to the form of ``events.k8s.io/v1``."""
    names = {
        "involvedObject": "regarding",
        "message": "note",
        "reportingComponent": "reportingController",
        "firstTimestamp": "deprecatedFirstTimestamp",
        "lastTimestamp": "deprecatedLastTimestamp",
        "count": "deprecatedCount",
        "source": "deprecatedSource",
    }
    return {**{names.get(key, key): value for key, value in body.items()}, "apiVersion": "events.k8s.io/v1"}


def patched(before: Any, patch: Any) -> Any:
    """Return an object after a merge patch: null removes a field, and a list is replaced as a whole."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(before) if isinstance(before, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = patched(merged.get(key), value)
    return merged


def pod_of(job: Body, name: str) -> Body:
    """Return a pod as the Job controller creates it."""
    uid, job_name = job["metadata"]["uid"], job["metadata"]["name"]
    labels = {
        meta.MANAGED_BY_LABEL: meta.MANAGED_BY,
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": job_name,
    }
    owner = {"kind": "Job", "name": job_name, "uid": uid, "controller": True}
    return {"metadata": {"name": name, "labels": labels, "ownerReferences": [owner]}, "spec": {}, "status": {}}
