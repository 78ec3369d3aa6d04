"""Facts that a planner may request because they are not watched, and the API server's refusal of an action."""

from dataclasses import dataclass
from enum import Enum, auto


@dataclass(frozen=True)
class Refusal:
    """The API server's refusal of the last planned action, in this reconcile."""

    message: str
    permanent: bool
    """The body itself is invalid, so a retry cannot help."""


class Fact(Enum):
    """A fact that is read only when a decision needs it, because watching it would cost too much."""

    PODS = auto()
    SERVING_PODS = auto()
    JOB = auto()
    RUNS = auto()
    VERSION = auto()
    MODEL_OBJECTS = auto()
    EVENTS = auto()
    UPDATE = auto()


@dataclass(frozen=True)
class Need:
    """A fact to read before planning again."""

    fact: Fact
    name: str
    """The object of the fact.

    For ``PODS`` it is the Job of the pods, for ``SERVING_PODS`` the Deployment. For ``RUNS`` it is the
    TrainingSchedule, which is read with its TrainingJobs. For ``MODEL_OBJECTS`` it is the model, for ``EVENTS`` the
    uid of the object of the Warning Events. For ``UPDATE`` it is the ModelDeployment that replaces its pods. Otherwise,
    it is the object itself.
    """
