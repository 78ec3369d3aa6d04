"""Conditions, as every Kubernetes object writes them, with the three types that kstatus reads."""

from typing import Annotated, Final, Literal

from pydantic import Field

from trainyard_api.base import ApiModel, Generation, Timestamp

CONDITION_TYPES: Final = frozenset(
    {
        "Complete",
        "DeviceFallback",
        "Failed",
        "ModelAccepted",
        "NewerVersionRejected",
        "Ready",
        "Reconciling",
        "RolledBack",
        "Stalled",
    }
)
"""Every type that this release writes. All others are of somebody else, or of a newer release."""


class Condition(ApiModel):
    """One statement about an object (``metav1.Condition``)."""

    type: Annotated[str, Field(min_length=1, max_length=316)]
    """What the statement is about, such as Ready."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds; Unknown where nobody can tell."""
    reason: Annotated[str, Field(min_length=1, max_length=1024)]
    """Why, in one word for programs."""
    message: Annotated[str, Field(max_length=32768)] = ""
    """Why, in a sentence for people."""
    observed_generation: Generation | None = None
    """The metadata.generation of the object that the statement was made for."""
    last_transition_time: Timestamp
    """When status last changed."""


Conditions = Annotated[
    list[Condition],
    Field(
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]
