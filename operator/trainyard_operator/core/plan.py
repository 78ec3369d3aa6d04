"""Result of a planner: reads, actions, or a status with its Events.

They are never mixed, so no plan can be half done.
"""

from dataclasses import dataclass
from typing import Any, Literal

from trainyard_api.base import ApiModel
from trainyard_operator.core.facts import Need

Kind = str
"""Kubernetes kind of an object."""

Body = dict[str, Any]
"""A Kubernetes object, or a part of one, as JSON."""


@dataclass(frozen=True)
class Create:
    """Create a child.

    If a child with this name and the same owner exists, this succeeds. Any other object is a refusal.
    """

    kind: Kind
    body: Body


@dataclass(frozen=True)
class Apply:
    """Update an existing child with server-side apply. Fields that the body does not name stay unchanged."""

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
    """A Kubernetes Event. ``about`` makes its name unique, so that a repetition gives the same Event."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    about: str


@dataclass(frozen=True)
class Plan:
    """The next step. The reconciler performs one of three steps and plans again until nothing is left.

    Attributes
    ----------
    needs
        Facts to read first; nothing else is set then.
    actions
        Writes to children, in order. The status follows from their results, so it is not set then.
    status
        The status to store, if it differs from the stored one.
    events
        Events to write before the status is stored. A crash between the two writes them again, with the same names.
        They occur without a status only if no status can be stored.
    requeue_after
        Seconds until time alone may change the result.
    """

    needs: tuple[Need, ...] = ()
    actions: tuple[Action, ...] = ()
    status: ApiModel | None = None
    events: tuple[EventNote, ...] = ()
    requeue_after: float | None = None


NOTHING = Plan()
