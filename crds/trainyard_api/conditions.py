"""Conditions in the format of Kubernetes, with the three types that kstatus reads."""

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
"""Every type that this release writes. Another writer or a newer release writes all other types."""


class Condition(ApiModel):
    """A condition of an object (``metav1.Condition``)."""

    type: Annotated[str, Field(min_length=1, max_length=316)]
    """Type of the condition, such as Ready."""
    status: Literal["True", "False", "Unknown"]
    """Status of the condition: True, False or Unknown."""
    reason: Annotated[str, Field(min_length=1, max_length=1024)]
    """Reason for the current status, as one CamelCase word for programs."""
    message: Annotated[str, Field(max_length=32768)] = ""
    """Message for people that explains the reason."""
    observed_generation: Generation | None = None
    """The metadata.generation of the object for which the condition was set."""
    last_transition_time: Timestamp
    """Time when status last changed."""


Conditions = Annotated[
    list[Condition],
    Field(
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]
