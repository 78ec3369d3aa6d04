"""The pod fields that a user may set, with types and bounds. This is an allow-list, not a complete PodSpec."""

from typing import Annotated, Any, Literal

from pydantic import Field

from trainyard_api.base import MAX_INTEGER, ApiModel, Count, ObjectName, OptionalName, Rule, is_set

Quantity = Annotated[
    Annotated[int, Field(ge=0, le=MAX_INTEGER)]
    | Annotated[
        str,
        Field(max_length=32, pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei|e[0-9]+)?$"),
    ],
    Field(json_schema_extra={"x-kubernetes-int-or-string": True}),
]
"""A Kubernetes quantity: ``2``, ``500m``, ``1.5Gi``."""

LabelKey = Annotated[str, Field(min_length=1, max_length=317)]
LabelValue = Annotated[str, Field(max_length=63, pattern=r"^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$")]
LabelMap = Annotated[dict[LabelKey, LabelValue], Field(max_length=32)]
AnnotationMap = Annotated[dict[LabelKey, Annotated[str, Field(max_length=4096)]], Field(max_length=32)]
ResourceMap = Annotated[dict[LabelKey, Quantity], Field(max_length=16)]


class SecretRef(ApiModel):
    """A Secret in the same namespace. The kubelet mounts it; the operator never reads it."""

    name: ObjectName
    """Name of the Secret."""


class Resources(ApiModel):
    """Requests and limits of a container. They override the defaults of the chart key by key."""

    requests: ResourceMap | None = None
    """Amounts that are reserved for the container, by resource, such as memory: 2Gi."""
    limits: ResourceMap | None = None
    """Maximum amounts that the container may use, by resource."""


class Toleration(ApiModel):
    """A toleration of a pod, as in ``core/v1``."""

    key: Annotated[str, Field(max_length=317)] | None = None
    """Key of the taint. If it is empty, operator must be Exists, and the toleration matches all keys."""
    operator: Literal["Exists", "Equal"] | None = None
    """How the value is compared. Exists: the toleration matches any value of the taint. Equal: it matches only value.
    Default: Equal."""
    value: LabelValue | None = None
    """Value of the taint, for operator Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint. Default: the toleration matches all effects."""
    toleration_seconds: Count | None = None
    """With effect NoExecute, time in seconds that the pod stays after the taint was added. Default: no limit."""


class KeyRef(ApiModel):
    """A key of a Secret or ConfigMap."""

    name: ObjectName
    """Name of the Secret or ConfigMap."""
    key: Annotated[str, Field(min_length=1, max_length=253)]
    """Key in the Secret or ConfigMap."""
    optional: bool | None = None
    """Whether the pod may start if the object or its key does not exist. Default: false."""


class EnvSource(ApiModel):
    """The source of the value of a variable."""

    secret_key_ref: KeyRef | None = None
    """Key of a Secret in the namespace."""
    config_map_key_ref: KeyRef | None = None
    """Key of a ConfigMap in the namespace."""

    rules = (
        Rule(
            "has(self.secretKeyRef) != has(self.configMapKeyRef)",
            "valueFrom needs exactly one of secretKeyRef and configMapKeyRef",
            lambda m: is_set(m, "secret_key_ref") != is_set(m, "config_map_key_ref"),
        ),
    )


class EnvVar(ApiModel):
    """An environment variable of the container."""

    name: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")]
    """Name of the variable."""
    value: Annotated[str, Field(max_length=4096)] | None = None
    """Value of the variable, as text."""
    value_from: EnvSource | None = None
    """Source of the value. Use it instead of value."""

    rules = (
        Rule(
            "!(has(self.value) && has(self.valueFrom))",
            "an env entry has value or valueFrom, not both",
            lambda m: not (is_set(m, "value") and is_set(m, "value_from")),
        ),
    )


AsInPods = Annotated[
    dict[str, Any], Field(max_length=16, json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})
]
"""A part of a PodSpec in the format of ``core/v1``. The API server validates it when the owner of the pod is
created."""


class Affinity(ApiModel):
    """Scheduling constraints of the pods, as in ``core/v1``."""

    node_affinity: AsInPods | None = None
    """Node affinity: constraints on the labels of the nodes."""
    pod_affinity: AsInPods | None = None
    """Pod affinity: run on the same node or in the same zone as other pods."""
    pod_anti_affinity: AsInPods | None = None
    """Pod anti-affinity: do not run on the same node or in the same zone as other pods."""


class TopologySpreadConstraint(ApiModel):
    """How pods are spread over nodes or zones, as in ``core/v1``."""

    max_skew: Annotated[int, Field(ge=1, le=MAX_INTEGER)]
    """Maximum difference between the numbers of matching pods in two domains."""
    topology_key: LabelKey
    """Node label whose values define the domains, such as topology.kubernetes.io/zone."""
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"]
    """What the scheduler does with a pod that violates the constraint. DoNotSchedule: the pod stays pending.
    ScheduleAnyway: the pod is scheduled."""
    label_selector: AsInPods | None = None
    """Label selector of the pods that are counted."""
    match_label_keys: Annotated[list[LabelKey], Field(max_length=8)] | None = None
    """Pod label keys. Only pods with the same values as the new pod are counted, in addition to labelSelector."""
    min_domains: Annotated[int, Field(ge=1, le=MAX_INTEGER)] | None = None
    """Minimum number of domains. Default: 1."""
    node_affinity_policy: Literal["Honor", "Ignore"] | None = None
    """Whether nodes that do not match the affinity and nodeSelector of the pod are excluded. Honor: they are excluded.
    Ignore: they are included. Default: Honor."""
    node_taints_policy: Literal["Honor", "Ignore"] | None = None
    """Whether nodes with taints that the pod does not tolerate are excluded. Honor: they are excluded. Ignore: they are
    included. Default: Ignore."""


class ClaimVolume(ApiModel):
    """A PersistentVolumeClaim in the namespace."""

    claim_name: ObjectName
    """Name of the PersistentVolumeClaim."""
    read_only: bool | None = None
    """Whether the volume is mounted read-only. Default: false."""


class ConfigMapVolume(ApiModel):
    """A ConfigMap in the namespace. Each key is a file."""

    name: ObjectName
    """Name of the ConfigMap."""
    optional: bool | None = None
    """Whether the pod may start if the object does not exist. Default: false."""


class SecretVolume(ApiModel):
    """A Secret in the namespace. Each key is a file. The kubelet mounts it; the operator never reads it."""

    secret_name: ObjectName
    """Name of the Secret."""
    optional: bool | None = None
    """Whether the pod may start if the object does not exist. Default: false."""


class EmptyDirVolume(ApiModel):
    """A directory that exists as long as the pod. A directory in memory counts as memory of the containers."""

    medium: Literal["Memory"] | None = None
    """Storage medium. Memory: the directory is in memory. Default: the disk of the node."""
    size_limit: Quantity | None = None
    """Maximum size in bytes, such as 1Gi. If the directory exceeds it, the pod is evicted. Default: no limit of the
    volume."""


class Volume(ApiModel):
    """A volume of the pod. No volume type gives access to the file system of the node."""

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
    """Name of the volume. volumeMounts refer to it."""
    persistent_volume_claim: ClaimVolume | None = None
    """A PersistentVolumeClaim in the namespace."""
    config_map: ConfigMapVolume | None = None
    """A ConfigMap in the namespace. Each key is a file."""
    secret: SecretVolume | None = None
    """A Secret in the namespace. Each key is a file. The kubelet mounts it; the operator never reads it."""
    empty_dir: EmptyDirVolume | None = None
    """A directory that is empty at first and exists as long as the pod."""

    rules = (
        Rule(
            "[has(self.persistentVolumeClaim), has(self.configMap), has(self.secret), has(self.emptyDir)]"
            ".filter(x, x).size() == 1",
            "a volume needs exactly one of persistentVolumeClaim, configMap, secret and emptyDir",
            lambda m: (
                sum(is_set(m, name) for name in ("persistent_volume_claim", "config_map", "secret", "empty_dir")) == 1
            ),
        ),
    )


class VolumeMount(ApiModel):
    """The mount of a volume in the container."""

    name: Annotated[str, Field(min_length=1, max_length=63)]
    """Name of a volume of this object, or of the defaults of the chart for all pods or for the namespace."""
    mount_path: Annotated[str, Field(min_length=2, max_length=1024, pattern=r"^/[^:]+$")]
    """Path in the container where the volume is mounted."""
    sub_path: Annotated[str, Field(max_length=1024)] | None = None
    """Path within the volume that is mounted. Default: the root of the volume."""
    read_only: bool | None = None
    """Whether the mount is read-only. Default: false."""


class PodOptions(ApiModel):
    """Settings of the pods, the same for pods that train and pods that serve.

    The chart has defaults for all pods and for the pods of a namespace. The fields of the object take precedence.
    """

    node_selector: LabelMap | None = None
    """Labels that a node must have to run the pods."""
    tolerations: Annotated[list[Toleration], Field(max_length=16)] | None = None
    """Tolerations of the pods."""
    affinity: Affinity | None = None
    """Scheduling constraints of the pods. They replace the affinity of the chart."""
    topology_spread_constraints: Annotated[list[TopologySpreadConstraint], Field(max_length=8)] | None = None
    """How pods are spread over nodes and zones. The constraints replace those of the chart."""
    service_account_name: OptionalName | None = None
    """Name of the ServiceAccount of the pods. It needs no permissions in the cluster. A cloud can grant it access to
    the storage."""
    image_pull_secrets: Annotated[list[SecretRef], Field(max_length=8)] | None = None
    """Secrets with the credentials of the image registry."""
    env: Annotated[list[EnvVar], Field(max_length=64)] | None = None
    """Additional environment variables of the container."""
    labels: LabelMap | None = None
    """Additional labels of the objects that the operator creates for this object (Job, or Deployment and Service) and
    of their pods."""
    annotations: AnnotationMap | None = None
    """Additional annotations of the same objects as labels."""
    pod_labels: LabelMap | None = None
    """Additional labels of the pods only."""
    pod_annotations: AnnotationMap | None = None
    """Additional annotations of the pods only."""
    priority_class_name: OptionalName | None = None
    """Name of the PriorityClass of the pods."""
    runtime_class_name: OptionalName | None = None
    """Name of the RuntimeClass of the pods. Some clusters require one for GPUs, such as nvidia."""
    volumes: Annotated[list[Volume], Field(max_length=16)] | None = None
    """Additional volumes of the pods."""
    volume_mounts: Annotated[list[VolumeMount], Field(max_length=16)] | None = None
    """Additional volume mounts of the container. With framework Container, of your own container."""
    shared_memory: Quantity | None = None
    """Size of /dev/shm in bytes, such as 1Gi. Data loaders of PyTorch need more than the default. It counts as memory
    of the pod. Default: 64Mi."""
