"""Metrics of the models themselves: how many were refused, and how old what serves is.

Taken from the store at each resync, so that they are right after a restart, too.
"""

from collections import Counter

from prometheus_client import Gauge

from trainyard_operator.core.times import from_rfc3339
from trainyard_operator.kube.watched import WATCHED
from trainyard_operator.runtime.store import Store

OBJECTS = Gauge("trainyard_objects", "Objects in the store by kind", ["kind"])
VERSIONS = Gauge("trainyard_modelversions", "ModelVersions by phase", ["namespace", "phase"])
TRAINED = Gauge(
    "trainyard_modeldeployment_trained_timestamp_seconds",
    "When the active version of a ModelDeployment was made",
    ["namespace", "name"],
)


def count(store: Store) -> None:
    """Set every gauge to what the store knows; what is gone is no series any more."""
    for kind in WATCHED:
        OBJECTS.labels(kind).set(store.count(kind))
    phases = Counter(
        (key.namespace, str(store.stored_status(key).get("phase") or "Pending")) for key in store.names("ModelVersion")
    )
    VERSIONS.clear()
    for (namespace, phase), number in phases.items():
        VERSIONS.labels(namespace, phase).set(number)
    TRAINED.clear()
    for key in store.names("ModelDeployment"):
        trained = store.stored_status(key).get("activeTrainedTime")
        if trained:
            TRAINED.labels(key.namespace, key.name).set(from_rfc3339(trained).timestamp())
