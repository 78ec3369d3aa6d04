"""The few pod fields a user may set, typed and bounded: an allow-list, not a whole PodSpec."""

from typing import Annotated, Literal

from pydantic import Field

from trainyard_api.base import MAX_INTEGER, ApiModel, Count, ObjectName, Rule, is_set

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


class Resources(ApiModel):
    """Requests and limits of the trainer container, merged over the chart's defaults key by key."""

    requests: ResourceMap | None = None
    limits: ResourceMap | None = None


class Toleration(ApiModel):
    """A pod toleration, as in ``core/v1``."""

    key: Annotated[str, Field(max_length=317)] | None = None
    operator: Literal["Exists", "Equal"] | None = None
    value: LabelValue | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: Count | None = None


class KeyRef(ApiModel):
    """One key of a Secret or ConfigMap."""

    name: ObjectName
    key: Annotated[str, Field(min_length=1, max_length=253)]
    optional: bool | None = None


class EnvSource(ApiModel):
    """Where a variable's value comes from."""

    secret_key_ref: KeyRef | None = None
    config_map_key_ref: KeyRef | None = None

    rules = (
        Rule(
            "has(self.secretKeyRef) != has(self.configMapKeyRef)",
            "valueFrom needs exactly one of secretKeyRef and configMapKeyRef",
            lambda m: is_set(m, "secret_key_ref") != is_set(m, "config_map_key_ref"),
        ),
    )


class EnvVar(ApiModel):
    """An environment variable of the trainer container."""

    name: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")]
    value: Annotated[str, Field(max_length=4096)] | None = None
    value_from: EnvSource | None = None

    rules = (
        Rule(
            "!(has(self.value) && has(self.valueFrom))",
            "an env entry has value or valueFrom, not both",
            lambda m: not (is_set(m, "value") and is_set(m, "value_from")),
        ),
    )
