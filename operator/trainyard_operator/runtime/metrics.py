"""Metrics of the objects themselves: how many there are in which phase, how old what serves is, what was refused.

They are counted from the store whenever somebody asks, so that they are always true, after a restart too.
"""

from collections import Counter as Count
from collections.abc import Iterator
from importlib.metadata import version

from prometheus_client import REGISTRY, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from trainyard_operator.core.times import from_rfc3339
from trainyard_operator.kube.watched import WATCHED, Kind
from trainyard_operator.runtime.store import Store

TRANSITIONS = Counter(
    "trainyard_transitions_total", "Changes of phase or reason, by what they led to", ["kind", "phase", "reason"]
)

_PHASES: dict[Kind, str] = {
    "TrainingJob": "trainyard_trainingjobs",
    "ModelVersion": "trainyard_modelversions",
    "ModelDeployment": "trainyard_modeldeployments",
}


class StoreCollector(Collector):
    """Counts what a store holds."""

    def __init__(self) -> None:
        self.store: Store | None = None

    def collect(self) -> Iterator[Metric]:
        """Yield each metric with all its values; what is gone is no series any more."""
        build = GaugeMetricFamily("trainyard_build_info", "Always 1; the label tells the release", labels=["version"])
        build.add_metric([version("trainyard")], 1)
        yield build
        if self.store is not None:
            yield _objects(self.store)
            yield from (_phases(self.store, kind, name) for kind, name in _PHASES.items())
            yield _moments(
                self.store,
                "ModelDeployment",
                "trainyard_modeldeployment_trained_timestamp_seconds",
                "When the active version of a ModelDeployment was made",
                "activeTrainedTime",
            )
            yield _moments(
                self.store,
                "TrainingSchedule",
                "trainyard_trainingschedule_accepted_timestamp_seconds",
                "When a version of a TrainingSchedule was accepted last",
                "lastAcceptedTime",
            )
            yield _rejections(self.store)


_COLLECTOR = StoreCollector()
REGISTRY.register(_COLLECTOR)


def expose(store: Store) -> None:
    """Let the metrics tell of this store from now on."""
    _COLLECTOR.store = store


def _objects(store: Store) -> Metric:
    found = GaugeMetricFamily("trainyard_objects", "Objects in the store by kind", labels=["kind"])
    for kind in WATCHED:
        found.add_metric([kind], store.count(kind))
    return found


def _phases(store: Store, kind: Kind, name: str) -> Metric:
    found = GaugeMetricFamily(name, f"{kind}s by phase", labels=["namespace", "phase"])
    phases = Count(
        (key.namespace, str(store.stored_status(key).get("phase") or "Pending")) for key in store.names(kind)
    )
    for labels, number in phases.items():
        found.add_metric(labels, number)
    return found


def _moments(store: Store, kind: Kind, name: str, what: str, field: str) -> Metric:
    found = GaugeMetricFamily(name, what, labels=["namespace", "name"])
    for key in store.names(kind):
        if moment := store.stored_status(key).get(field):
            found.add_metric([key.namespace, key.name], from_rfc3339(moment).timestamp())
    return found


def _rejections(store: Store) -> Metric:
    found = GaugeMetricFamily(
        "trainyard_trainingschedule_rejections",
        "Versions of a TrainingSchedule that were rejected since the last accepted one",
        labels=["namespace", "name"],
    )
    for key in store.names("TrainingSchedule"):
        number = store.stored_status(key).get("consecutiveRejections")
        if number is not None:
            found.add_metric([key.namespace, key.name], number)
    return found
