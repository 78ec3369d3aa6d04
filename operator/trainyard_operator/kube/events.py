"""Kubernetes Events about our objects, named by what they say, so that telling one twice makes one."""

import hashlib
from datetime import datetime

from trainyard_api import API_VERSION, meta
from trainyard_api.base import ApiModel
from trainyard_operator.core.objects import ObjectView
from trainyard_operator.core.plan import EventNote
from trainyard_operator.kube.port import Body

NOTE_BYTES = 1024
"""The API server counts bytes, not characters."""


def event_body(kind: str, about: ObjectView[ApiModel], note: EventNote, *, instance: str, now: datetime) -> Body:
    """Return the Event. ``instance`` is the pod that tells it."""
    digest = hashlib.sha256(f"{about.uid}/{note.about}/{note.reason}".encode()).hexdigest()[:16]
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"{about.name}.{digest}", "namespace": about.namespace},
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": meta.FIELD_MANAGER,
        "reportingInstance": instance,
        "action": "Reconcile",
        "type": note.type,
        "reason": note.reason,
        "note": note.message.encode()[:NOTE_BYTES].decode(errors="ignore"),
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": kind,
            "namespace": about.namespace,
            "name": about.name,
            "uid": about.uid,
        },
    }
