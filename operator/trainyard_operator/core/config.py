"""Configuration of the operator. The chart writes it, and every decision may read it."""

from typing import Annotated, Any, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from trainyard_api.pod import LabelMap, PodOptions, Resources, Toleration
from trainyard_api.training import Framework, Priority


class ConfigModel(BaseModel):
    """A part of the configuration file. Unknown keys are errors, so that a typo is reported."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid")


USER: Final = 65532
"""Numeric user of the images. The kubelet cannot check whether a user name is root."""

RESTRICTED_POD: Final[dict[str, Any]] = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "fsGroup": USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}
RESTRICTED_CONTAINER: Final[dict[str, Any]] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


class PodDefaults(PodOptions):
    """Default pod options and security contexts of one role."""

    pod_security_context: dict[str, Any] = RESTRICTED_POD
    security_context: dict[str, Any] = RESTRICTED_CONTAINER


class VersionRetention(ConfigModel):
    """How many ModelVersions of each model are kept; 0 means all."""

    validated: Annotated[int, Field(ge=0)] = 10
    """Number of newest Validated versions to keep."""
    rejected: Annotated[int, Field(ge=0)] = 5
    """Number of newest Rejected or Quarantined versions to keep."""
    max_age_days: Annotated[int, Field(ge=0, le=36_500)] = 0
    """Maximum age of versions that are not in use, whatever their number; 0 means no limit."""


class NamespaceDefaults(ConfigModel):
    """Options of one namespace. They override the chart's defaults, and objects override them."""

    trainer: PodOptions = PodOptions()
    server: PodOptions = PodOptions()
    retention: VersionRetention = VersionRetention()
    """Omitted fields have the chart's values."""


class StorageDefaults(ConfigModel):
    """Default storage of models, if a TrainingJob names none."""

    uri: str = ""
    endpoint: str = ""
    region: str = ""
    secret_name: str = ""
    """Name of a Secret that must exist in the namespace of each job."""


class Images(ConfigModel):
    """Images of the trainer, by framework if one needs its own, and of the server."""

    trainer: str = "trainyard-trainer:latest"
    by_framework: dict[Framework, str] = {"Torch": "trainyard-trainer-torch:latest"}
    server: str = "trainyard-server:latest"
    """Image of a ModelDeployment that names none."""
    pull_policy: str = "IfNotPresent"

    def for_framework(self, framework: Framework) -> str:
        """Return the default trainer image of a framework."""
        return self.by_framework.get(framework, self.trainer)


class ServingDefaults(ConfigModel):
    """Defaults for the pods of a ModelDeployment."""

    resources: Resources = Resources(requests={"cpu": "100m", "memory": "512Mi"}, limits={"memory": "1Gi"})
    pull_policy: str = "IfNotPresent"
    drain_seconds: Annotated[int, Field(ge=0, le=3600)] = 5
    """Seconds for which a pod serves after SIGTERM, until every node has removed it from its Service."""
    grace_seconds: Annotated[int, Field(ge=1, le=3600)] = 20
    """Seconds for which the last requests may run after that."""
    max_concurrent_updates: Annotated[int, Field(ge=0)] = 5
    """Maximum number of Deployments that replace their pods at a time; 0 means all.

    It applies after an upgrade or a change of the defaults.
    """
    pod_disruption_budget: bool = True
    """Whether a ModelDeployment with more than one pod has a PodDisruptionBudget."""


NVIDIA_TAINT = Toleration(key="nvidia.com/gpu", operator="Exists", effect="NoSchedule")


class AcceleratorDefaults(ConfigModel):
    """How pods are scheduled onto nodes with one kind of device."""

    node_selector: LabelMap = {}
    tolerations: tuple[Toleration, ...] = ()


class ProgressServer(ConfigModel):
    """Endpoint that receives the trainers' reports."""

    url: str = ""
    """URL for the trainers, for example ``https://trainyard.trainyard.svc:8443``. The certificate contains its host."""
    bind: str = ""
    """Address to listen on; empty for all addresses of the pod, IPv4 and IPv6."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8443
    tls_secret: str = "trainyard-tls"  # noqa: S105 - the name of the Secret
    reports_per_minute: Annotated[int, Field(ge=1)] = 60
    """Maximum number of reports of one job. More are refused with status 429."""
    tokens: Literal["Review", "Keys"] = "Review"
    """How the tokens of reports are verified.

    ``Review`` uses TokenReview, which needs a cluster-wide permission. ``Keys`` uses the public keys of the API server.
    """


class HealthServer(ConfigModel):
    """Endpoint for probes and metrics, plain HTTP."""

    bind: str = ""
    """Address to listen on; empty for all addresses of the pod, IPv4 and IPv6."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8080


class ClientLimits(ConfigModel):
    """Client-side limits for requests to the API server."""

    qps: Annotated[float, Field(gt=0)] = 500
    burst: Annotated[int, Field(ge=1)] = 1000
    connections: Annotated[int, Field(ge=1)] = 16


class LeaderElection(ConfigModel):
    """Leader election among the replicas of a release."""

    lease_seconds: Annotated[int, Field(ge=2, le=120)] = 10
    """A leader that was killed is replaced after this time.

    A leader that cannot renew its Lease stops after 0.7 of it.
    """


Limit = Annotated[int, Field(ge=0)]


RANKS: Final[dict[str, int]] = {priority: rank for rank, priority in enumerate(get_args(Priority))}
"""The highest priority has the lowest rank."""


class Admission(ConfigModel):
    """Limits of running TrainingJobs, and their priorities. A limit of 0 means no limit."""

    max_concurrent_jobs: Limit = 0
    max_concurrent_jobs_per_namespace: Limit = 0
    namespaces: dict[str, Limit] = {}
    """Limits of single namespaces by name."""
    max_priority: Priority = "Urgent"
    """Maximum priority. A higher priority counts as this one."""
    max_priority_by_namespace: dict[str, Priority] = {}
    """Maximum priorities of single namespaces by name."""
    pods_ready_timeout_seconds: Limit = 600
    """How long a job without ready pods keeps a slot that other jobs wait for; 0 means without a limit."""

    def for_namespace(self, namespace: str) -> int:
        """Return the limit of one namespace."""
        return self.namespaces.get(namespace, self.max_concurrent_jobs_per_namespace)

    def priority_in(self, namespace: str, asked: str | None) -> Priority:
        """Return the effective priority in a namespace. An unknown priority counts as Normal."""
        wanted: Priority = next((each for each in get_args(Priority) if each == asked), "Normal")
        highest = self.max_priority_by_namespace.get(namespace, self.max_priority)
        return max(wanted, highest, key=RANKS.__getitem__)


class OperatorConfig(ConfigModel):
    """The whole configuration file. Every field has a default, so an empty file is valid."""

    namespaces: tuple[str, ...] = ()
    """Namespaces to watch; empty for all."""
    namespace: str = "trainyard"
    """Namespace of the operator, for its TLS Secret and its Lease."""
    name: str = "trainyard"
    """Name of the release's objects and of its Lease."""
    leader_election: LeaderElection = LeaderElection()
    storage: StorageDefaults = StorageDefaults()
    images: Images = Images()
    resources: Resources = Resources(
        requests={"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"},
        limits={"memory": "2Gi", "ephemeral-storage": "20Gi"},
    )
    serving: ServingDefaults = ServingDefaults()
    trainer: PodDefaults = PodDefaults()
    """Defaults for pods that train."""
    server: PodDefaults = PodDefaults()
    """Defaults for pods that serve."""
    retention: VersionRetention = VersionRetention()
    namespace_defaults: dict[str, NamespaceDefaults] = {}
    """By the name of the namespace."""
    accelerators: dict[str, AcceleratorDefaults] = {"nvidia.com/gpu": AcceleratorDefaults(tolerations=(NVIDIA_TAINT,))}
    """By resource name. A pod with a resource that is not listed tolerates the taint of that name."""
    progress: ProgressServer = ProgressServer()
    health: HealthServer = HealthServer()
    client: ClientLimits = ClientLimits()
    admission: Admission = Admission()
    workers: Annotated[int, Field(ge=1, le=256)] = 16
    resync_seconds: Annotated[int, Field(ge=10)] = 300
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def release(self) -> str:
        """Unique name of this release in the cluster."""
        return f"{self.namespace}/{self.name}"

    def in_namespace(self, namespace: str) -> NamespaceDefaults:
        """Return the options of a namespace, in addition to the chart's defaults."""
        return self.namespace_defaults.get(namespace, NamespaceDefaults())
