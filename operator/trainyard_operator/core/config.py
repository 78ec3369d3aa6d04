"""The operator's configuration: what the chart writes and every decision may read."""

from typing import Annotated, Any, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from trainyard_api.pod import LabelMap, PodOptions, Resources, Toleration
from trainyard_api.training import Framework, Priority


class ConfigModel(BaseModel):
    """A part of the configuration file. Unknown keys are errors: a typo must not be silent."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid")


USER: Final = 65532
"""The images' own user, by number: the kubelet cannot tell whether a name is root."""

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
    """What pods of one role are given where their object says nothing else, and how they are confined."""

    pod_security_context: dict[str, Any] = RESTRICTED_POD
    security_context: dict[str, Any] = RESTRICTED_CONTAINER


class VersionRetention(ConfigModel):
    """Which ModelVersions of each model are kept as objects; 0: all of them."""

    validated: Annotated[int, Field(ge=0)] = 10
    """The newest Validated versions."""
    rejected: Annotated[int, Field(ge=0)] = 5
    """The newest versions that are Rejected or Quarantined."""
    max_age_days: Annotated[int, Field(ge=0, le=36_500)] = 0
    """Older versions are not kept, however few there are."""


class NamespaceDefaults(ConfigModel):
    """What holds for one namespace: it lies over the chart's defaults, and under what an object says."""

    trainer: PodOptions = PodOptions()
    server: PodOptions = PodOptions()
    retention: VersionRetention = VersionRetention()
    """Fields that are left out are the chart's."""


class StorageDefaults(ConfigModel):
    """Where models go when a TrainingJob does not say."""

    uri: str = ""
    endpoint: str = ""
    region: str = ""
    secret_name: str = ""
    """A Secret that must exist in the namespace of each job."""


class Images(ConfigModel):
    """The trainer's image, by framework where one needs its own, and the server's."""

    trainer: str = "trainyard-trainer:latest"
    by_framework: dict[Framework, str] = {"Torch": "trainyard-trainer-torch:latest"}
    server: str = "trainyard-server:latest"
    """What serves a ModelDeployment that names no image."""
    pull_policy: str = "IfNotPresent"

    def for_framework(self, framework: Framework) -> str:
        """Return the image that trains this framework unless the job names one."""
        return self.by_framework.get(framework, self.trainer)


class ServingDefaults(ConfigModel):
    """The pods of a ModelDeployment."""

    resources: Resources = Resources(requests={"cpu": "100m", "memory": "512Mi"}, limits={"memory": "1Gi"})
    pull_policy: str = "IfNotPresent"
    drain_seconds: Annotated[int, Field(ge=0, le=3600)] = 5
    """How long a pod still answers after SIGTERM, until every node has taken it out of its Service."""
    grace_seconds: Annotated[int, Field(ge=1, le=3600)] = 20
    """How long the last requests may then take."""
    max_concurrent_updates: Annotated[int, Field(ge=0)] = 5
    """How many Deployments exchange their pods at a time after an upgrade or a change of the defaults; 0: all."""
    pod_disruption_budget: bool = True
    """Whether a ModelDeployment with more than one pod has a PodDisruptionBudget."""


NVIDIA_TAINT = Toleration(key="nvidia.com/gpu", operator="Exists", effect="NoSchedule")


class AcceleratorDefaults(ConfigModel):
    """How pods get onto the nodes with one kind of device."""

    node_selector: LabelMap = {}
    tolerations: tuple[Toleration, ...] = ()


class ProgressServer(ConfigModel):
    """The endpoint that trainers report to."""

    url: str = ""
    """What trainers are told, e.g. ``https://trainyard.trainyard.svc:8443``; its host goes into the certificate."""
    bind: str = ""
    """An address to listen on; empty for all of the pod, IPv4 and IPv6."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8443
    tls_secret: str = "trainyard-tls"  # noqa: S105 - the name of the Secret
    reports_per_minute: Annotated[int, Field(ge=1)] = 60
    """More than this from one job is answered with 429."""
    tokens: Literal["Review", "Keys"] = "Review"
    """What judges the tokens of reports: TokenReview, which is a right in the whole cluster, or the public keys of the
    API server."""


class HealthServer(ConfigModel):
    """Probes and metrics, plain HTTP."""

    bind: str = ""
    """An address to listen on; empty for all of the pod, IPv4 and IPv6."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8080


class ClientLimits(ConfigModel):
    """What the operator allows itself towards the API server."""

    qps: Annotated[float, Field(gt=0)] = 500
    burst: Annotated[int, Field(ge=1)] = 1000
    connections: Annotated[int, Field(ge=1)] = 16


class LeaderElection(ConfigModel):
    """How the replicas of a release agree on the one that works."""

    lease_seconds: Annotated[int, Field(ge=2, le=120)] = 10
    """A leader that was killed is replaced after this. One that cannot renew its Lease stops after 0.7 of it."""


Limit = Annotated[int, Field(ge=0)]


RANKS: Final[dict[str, int]] = {priority: rank for rank, priority in enumerate(get_args(Priority))}
"""The highest priority has the lowest rank."""


class Admission(ConfigModel):
    """How many TrainingJobs may run at a time, 0 is no limit, and whose turn it is."""

    max_concurrent_jobs: Limit = 0
    max_concurrent_jobs_per_namespace: Limit = 0
    namespaces: dict[str, Limit] = {}
    """By name, for namespaces with a limit of their own."""
    max_priority: Priority = "Urgent"
    """The highest priority that counts; a higher one counts as this one."""
    max_priority_by_namespace: dict[str, Priority] = {}
    """By name, for namespaces with a highest priority of their own."""
    pods_ready_timeout_seconds: Limit = 600
    """How long a job whose pods do not come keeps a place that others wait for; 0: for ever."""

    def for_namespace(self, namespace: str) -> int:
        """Return the limit of one namespace."""
        return self.namespaces.get(namespace, self.max_concurrent_jobs_per_namespace)

    def priority_in(self, namespace: str, asked: str | None) -> Priority:
        """Return what a priority counts as in a namespace; one that this release does not know counts as Normal."""
        wanted: Priority = next((each for each in get_args(Priority) if each == asked), "Normal")
        highest = self.max_priority_by_namespace.get(namespace, self.max_priority)
        return max(wanted, highest, key=RANKS.__getitem__)


class OperatorConfig(ConfigModel):
    """The whole file. Every field has a default, so that an empty file runs."""

    namespaces: tuple[str, ...] = ()
    """Which namespaces are watched; empty for all."""
    namespace: str = "trainyard"
    """The operator's own, for its TLS secret and its Lease."""
    name: str = "trainyard"
    """The name of the release's objects: its Lease has it, too."""
    leader_election: LeaderElection = LeaderElection()
    storage: StorageDefaults = StorageDefaults()
    images: Images = Images()
    resources: Resources = Resources(
        requests={"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"},
        limits={"memory": "2Gi", "ephemeral-storage": "20Gi"},
    )
    serving: ServingDefaults = ServingDefaults()
    trainer: PodDefaults = PodDefaults()
    """The pods that train."""
    server: PodDefaults = PodDefaults()
    """The pods that serve."""
    retention: VersionRetention = VersionRetention()
    namespace_defaults: dict[str, NamespaceDefaults] = {}
    """By the name of the namespace."""
    accelerators: dict[str, AcceleratorDefaults] = {"nvidia.com/gpu": AcceleratorDefaults(tolerations=(NVIDIA_TAINT,))}
    """By resource name; a pod with one that is not named here tolerates the taint of that name."""
    progress: ProgressServer = ProgressServer()
    health: HealthServer = HealthServer()
    client: ClientLimits = ClientLimits()
    admission: Admission = Admission()
    workers: Annotated[int, Field(ge=1, le=256)] = 16
    resync_seconds: Annotated[int, Field(ge=10)] = 300
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def release(self) -> str:
        """What tells this release from all others in the cluster."""
        return f"{self.namespace}/{self.name}"

    def in_namespace(self, namespace: str) -> NamespaceDefaults:
        """Return what the pods of a namespace are given beside the chart's defaults."""
        return self.namespace_defaults.get(namespace, NamespaceDefaults())
