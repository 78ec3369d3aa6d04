"""The few pod fields a user may set, typed and bounded: an allow-list, not a whole PodSpec."""

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
    """A Secret in the job's namespace. The kubelet mounts it; the operator never reads it."""

    name: ObjectName
    """Name of the Secret."""


class Resources(ApiModel):
    """Requests and limits of the trainer container, merged over the chart's defaults key by key."""

    requests: ResourceMap | None = None
    """What the container is sure to get, by resource, such as memory: 2Gi."""
    limits: ResourceMap | None = None
    """The most that the container may use, by resource."""


class Toleration(ApiModel):
    """A pod toleration, as in ``core/v1``."""

    key: Annotated[str, Field(max_length=317)] | None = None
    """Key of the taint; none: every key, with operator Exists."""
    operator: Literal["Exists", "Equal"] | None = None
    """Exists: any value of the taint; Equal, the default: this value."""
    value: LabelValue | None = None
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; none: every effect."""
    toleration_seconds: Count | None = None
    """With NoExecute: how many seconds the pod stays after the taint came; default: for ever."""


class KeyRef(ApiModel):
    """One key of a Secret or ConfigMap."""

    name: ObjectName
    """Name of the Secret or ConfigMap."""
    key: Annotated[str, Field(min_length=1, max_length=253)]
    """The key in it."""
    optional: bool | None = None
    """True: go on where the object or the key does not exist; default: the pod waits for it."""


class EnvSource(ApiModel):
    """Where a variable's value comes from."""

    secret_key_ref: KeyRef | None = None
    """A key of a Secret of the namespace."""
    config_map_key_ref: KeyRef | None = None
    """A key of a ConfigMap of the namespace."""

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
    """Its value as text."""
    value_from: EnvSource | None = None
    """Where its value comes from, instead of value."""

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
"""A part of a PodSpec as ``core/v1`` has it: kept as it is, checked by the API server when the pod's owner is made."""


class Affinity(ApiModel):
    """Rules for the choice of nodes, as in ``core/v1``."""

    node_affinity: AsInPods | None = None
    """Nodes by their labels."""
    pod_affinity: AsInPods | None = None
    """Nodes beside other pods."""
    pod_anti_affinity: AsInPods | None = None
    """Nodes away from other pods."""


class TopologySpreadConstraint(ApiModel):
    """How pods are spread over nodes or zones, as in ``core/v1``."""

    max_skew: Annotated[int, Field(ge=1, le=MAX_INTEGER)]
    """By how many pods two domains may differ."""
    topology_key: LabelKey
    """The label of nodes whose values are the domains, such as topology.kubernetes.io/zone."""
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"]
    """What to do with a pod that would break the rule: let it wait, or start it all the same."""
    label_selector: AsInPods | None = None
    """Which pods are counted."""
    match_label_keys: Annotated[list[LabelKey], Field(max_length=8)] | None = None
    """Labels of the pod whose values choose the counted pods, beside labelSelector."""
    min_domains: Annotated[int, Field(ge=1, le=MAX_INTEGER)] | None = None
    """How many domains there must be; default: 1."""
    node_affinity_policy: Literal["Honor", "Ignore"] | None = None
    """Whether nodes that the pod's affinity and nodeSelector rule out are left out; default: Honor."""
    node_taints_policy: Literal["Honor", "Ignore"] | None = None
    """Whether nodes whose taints the pod does not accept are left out; default: Ignore."""


class ClaimVolume(ApiModel):
    """A PersistentVolumeClaim of the namespace."""

    claim_name: ObjectName
    """Name of the PersistentVolumeClaim."""
    read_only: bool | None = None
    """True: nobody can write to it; default: false."""


class ConfigMapVolume(ApiModel):
    """A ConfigMap of the namespace; each key is a file."""

    name: ObjectName
    """Name of the ConfigMap."""
    optional: bool | None = None
    """True: the pod starts without it where it does not exist; default: the pod waits for it."""


class SecretVolume(ApiModel):
    """A Secret of the namespace; each key is a file. The kubelet mounts it; the operator never reads it."""

    secret_name: ObjectName
    """Name of the Secret."""
    optional: bool | None = None
    """True: the pod starts without it where it does not exist; default: the pod waits for it."""


class EmptyDirVolume(ApiModel):
    """A folder that lives as long as the pod; Memory keeps it in memory, which counts as that of the containers."""

    medium: Literal["Memory"] | None = None
    """Memory: keep it in memory; default: on the node's disk."""
    size_limit: Quantity | None = None
    """Bytes above which the pod is evicted, such as 1Gi; default: no limit of its own."""


class Volume(ApiModel):
    """A volume of the pod, of one of the kinds that reach nothing of the node."""

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
    """Name of the volume, for volumeMounts."""
    persistent_volume_claim: ClaimVolume | None = None
    """A PersistentVolumeClaim of the namespace."""
    config_map: ConfigMapVolume | None = None
    """A ConfigMap of the namespace; each key is a file."""
    secret: SecretVolume | None = None
    """A Secret of the namespace; each key is a file. The kubelet mounts it; the operator never reads it."""
    empty_dir: EmptyDirVolume | None = None
    """A folder that is empty at first and lives as long as the pod."""

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
    """Where a volume lies in the container."""

    name: Annotated[str, Field(min_length=1, max_length=63)]
    """The name of a volume of this object, of its namespace's defaults or of the chart's."""
    mount_path: Annotated[str, Field(min_length=2, max_length=1024, pattern=r"^/[^:]+$")]
    """The folder of the container where the volume lies."""
    sub_path: Annotated[str, Field(max_length=1024)] | None = None
    """The folder or file of the volume that is mounted; default: all of it."""
    read_only: bool | None = None
    """True: the container cannot write to it; default: false."""


class PodOptions(ApiModel):
    """What a pod may be given beside what it does: the same for pods that train and pods that serve.

    The chart has defaults for all pods and for those of single namespaces. The object's own fields lie over them.
    """

    node_selector: LabelMap | None = None
    """Labels of the nodes a pod may run on."""
    tolerations: Annotated[list[Toleration], Field(max_length=16)] | None = None
    """Taints of nodes that a pod accepts."""
    affinity: Affinity | None = None
    """Rules for the choice of nodes. They take the place of the chart's."""
    topology_spread_constraints: Annotated[list[TopologySpreadConstraint], Field(max_length=8)] | None = None
    """How pods are spread over nodes and zones. They take the place of the chart's."""
    service_account_name: OptionalName | None = None
    """The pod's ServiceAccount; it needs no rights in the cluster. A cloud may give it rights to the storage."""
    image_pull_secrets: Annotated[list[SecretRef], Field(max_length=8)] | None = None
    """Secrets for the registry of the image."""
    env: Annotated[list[EnvVar], Field(max_length=64)] | None = None
    """Further environment variables of the container."""
    labels: LabelMap | None = None
    """Further labels of all that is made for this object: the Job or the Deployment and Service, and their pods."""
    annotations: AnnotationMap | None = None
    """Further annotations of the same objects."""
    pod_labels: LabelMap | None = None
    """Further labels of the pods alone."""
    pod_annotations: AnnotationMap | None = None
    """Further annotations of the pods alone."""
    priority_class_name: OptionalName | None = None
    """The pods' PriorityClass."""
    runtime_class_name: OptionalName | None = None
    """The pods' RuntimeClass, such as nvidia on clusters that need it for GPUs."""
    volumes: Annotated[list[Volume], Field(max_length=16)] | None = None
    """Further volumes of the pods."""
    volume_mounts: Annotated[list[VolumeMount], Field(max_length=16)] | None = None
    """Where the container has them; with framework Container, your container."""
    shared_memory: Quantity | None = None
    """Size of /dev/shm, which is 64Mi otherwise: data loaders of PyTorch need more. It counts as memory of the pod."""
