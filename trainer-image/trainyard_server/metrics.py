"""The metrics that Prometheus reads at ``/metrics``."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from trainyard_server.settings import Target

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds in seconds. LightGBM predicts one row in about 1 ms; Prophet predicts one series in tens of ms."""


class Metrics:
    """Counters and durations of the predictions of one version."""

    def __init__(self, registry: CollectorRegistry, target: Target) -> None:
        self.registry = registry
        self._labels = (target.model, str(target.version))
        names = ("model", "version")
        self._requests = Counter(
            "trainyard_server_requests", "Predictions by HTTP status code", (*names, "code"), registry=registry
        )
        self._seconds = Histogram(
            "trainyard_server_request_duration_seconds",
            "Time from the request to the end of its response",
            names,
            buckets=BUCKETS,
            registry=registry,
        )
        self._info = Gauge(
            "trainyard_server_model_info",
            "1 once this version is loaded",
            (*names, "manifest_sha256", "framework"),
            registry=registry,
        )
        self._target = target

    def observe(self, code: int, seconds: float) -> None:
        """Record one prediction, whatever its status code."""
        self._requests.labels(*self._labels, str(code)).inc()
        self._seconds.labels(*self._labels).observe(seconds)

    def loaded(self, framework: str) -> None:
        """Record that the version is in memory."""
        self._info.labels(*self._labels, self._target.manifest_sha256, framework).set(1)
