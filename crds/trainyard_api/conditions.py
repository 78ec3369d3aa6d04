"""Conditions, as every Kubernetes object writes them, with the three types that kstatus reads."""

from typing import Annotated, Literal

from pydantic import Field

from trainyard_api.base import ApiModel


class Condition(ApiModel):
    """One statement about an object (``metav1.Condition``)."""

    type: Annotated[str, Field(min_length=1, max_length=316)]
    status: Literal["True", "False", "Unknown"]
    reason: Annotated[str, Field(min_length=1, max_length=1024)]
    message: Annotated[str, Field(max_length=32768)] = ""
    observed_generation: Annotated[int, Field(ge=0)] | None = None
    last_transition_time: Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"})]


Conditions = Annotated[
    list[Condition],
    Field(
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]
