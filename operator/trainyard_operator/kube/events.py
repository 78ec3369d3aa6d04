"""Kubernetes Events about custom resources. The name follows from the content, so a repetition gives the same Event.

They are written with the older of the two APIs for Events. ``events.k8s.io/v1`` refuses the timestamps by which kubectl
sorts. Both APIs read the same objects.
"""

import hashlib
from datetime import datetime

from trainyard_api import API_VERSION, meta
from trainyard_api.base import ApiModel
from trainyard_operator.core.objects import ObjectView
from trainyard_operator.core.plan import Body, EventNote
from trainyard_operator.core.times import to_rfc3339

NOTE_BYTES = 1024
"""The API server counts bytes, not characters."""


def event_body(kind: str, about: ObjectView[ApiModel], note: EventNote, *, instance: str, now: datetime) -> Body:
    """Return the Event. ``instance`` is the reporting pod.

    ``kubectl get events --sort-by=.lastTimestamp``, ``kubectl events`` and ``kubectl describe`` sort by
    ``lastTimestamp``, in whole seconds. An Event without it would be sorted before all others.
    """
    digest = hashlib.sha256(f"{about.uid}/{note.about}/{note.reason}".encode()).hexdigest()[:16]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{about.name}.{digest}", "namespace": about.namespace},
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "firstTimestamp": to_rfc3339(now),
        "lastTimestamp": to_rfc3339(now),
        "count": 1,
        "source": {"component": meta.FIELD_MANAGER},
        "reportingComponent": meta.FIELD_MANAGER,
        "reportingInstance": instance,
        "action": "Reconcile",
        "type": note.type,
        "reason": note.reason,
        "message": note.message.encode()[:NOTE_BYTES].decode(errors="ignore"),
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": kind,
            "namespace": about.namespace,
            "name": about.name,
            "uid": about.uid,
        },
    }
