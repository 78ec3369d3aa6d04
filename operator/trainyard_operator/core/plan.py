"""What a planner answers: reads, actions, or a status with its events; never a mixture that could be half done."""

from dataclasses import dataclass
from typing import Any, Literal

from trainyard_api.base import ApiModel
from trainyard_operator.core.facts import Need

Kind = str
"""What Kubernetes calls the kind of an object."""

Body = dict[str, Any]
"""An object of Kubernetes, or a part of one, as JSON."""


@dataclass(frozen=True)
class Create:
    """Create a child. One of this name from the same owner is success; any other one is a refusal."""

    kind: Kind
    body: Body


@dataclass(frozen=True)
class Apply:
    """Bring a child that exists to this state (server-side apply): what the body does not name stays as it is."""

    kind: Kind
    body: Body


@dataclass(frozen=True)
class Delete:
    """Delete exactly this object, its dependents first."""

    kind: Kind
    name: str
    uid: str


Action = Create | Apply | Delete


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
        Told before the status is stored: a crash between the two tells them again, under the same names. Alone only
        where no status can be stored.
    requeue_after
        Seconds until time alone may change the answer.
    """

    needs: tuple[Need, ...] = ()
    actions: tuple[Action, ...] = ()
    status: ApiModel | None = None
    events: tuple[EventNote, ...] = ()
    requeue_after: float | None = None


NOTHING = Plan()
