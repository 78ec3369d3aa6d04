"""What the planner answers: reads, actions, or a status with its events; never a mixture that could be half done."""

from dataclasses import dataclass
from typing import Any, Literal

from trainyard_api.trainingjob import TrainingJobStatus
from trainyard_operator.core.observed import Need


@dataclass(frozen=True)
class CreateJob:
    """Create an attempt's Job. A Job of this name with our uid is success."""

    body: dict[str, Any]


@dataclass(frozen=True)
class DeleteJob:
    """Delete a Job and its pods, pods first."""

    name: str
    uid: str


@dataclass(frozen=True)
class CreateModelVersion:
    """Create the ModelVersion of a finished job. One of this name from the same job is success."""

    body: dict[str, Any]


Action = CreateJob | DeleteJob | CreateModelVersion


@dataclass(frozen=True)
class EventNote:
    """A Kubernetes Event. ``about`` makes its name unique, so that telling it twice is one Event."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    about: str


@dataclass(frozen=True)
class Plan:
    """The next step. The reconciler does one of three things and plans again until nothing is left.

    Attributes
    ----------
    needs
        Facts to read first; nothing else is set then.
    actions
        Writes on children, in order; status follows from what they lead to, so it is not set then.
    status
        The status to store, where it differs from the stored one.
    events
        Told before the status is stored: a crash between the two tells them again, under the same names.
    requeue_after
        Seconds until time alone may change the answer.
    """

    needs: tuple[Need, ...] = ()
    actions: tuple[Action, ...] = ()
    status: TrainingJobStatus | None = None
    events: tuple[EventNote, ...] = ()
    requeue_after: float | None = None


NOTHING = Plan()
