"""Kubernetes Events about TrainingJobs, named by what they say, so that telling one twice makes one."""

import hashlib
from datetime import datetime

from trainyard_api import API_VERSION, meta
from trainyard_operator.core.observed import TrainingJobView
from trainyard_operator.core.plan import EventNote
from trainyard_operator.kube.port import Body

NOTE_BYTES = 1024
"""The API server counts bytes, not characters."""


def event_body(job: TrainingJobView, note: EventNote, *, instance: str, now: datetime) -> Body:
    """Return the Event. ``instance`` is the pod that tells it."""
    digest = hashlib.sha256(f"{job.uid}/{note.about}/{note.reason}".encode()).hexdigest()[:16]
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"{job.name}.{digest}", "namespace": job.namespace},
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": meta.FIELD_MANAGER,
        "reportingInstance": instance,
        "action": "Reconcile",
        "type": note.type,
        "reason": note.reason,
        "note": note.message.encode()[:NOTE_BYTES].decode(errors="ignore"),
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": "TrainingJob",
            "namespace": job.namespace,
            "name": job.name,
            "uid": job.uid,
        },
    }
