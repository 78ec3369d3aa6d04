"""What a planner may ask for beside what is watched, and the API server's no to what it planned."""

from dataclasses import dataclass
from enum import Enum, auto


@dataclass(frozen=True)
class Refusal:
    """The API server's no to the action planned last, in this very turn."""

    message: str
    permanent: bool
    """The body itself is wrong: sending it again cannot help."""


class Fact(Enum):
    """Something that is read only when a decision hangs on it: it would cost too much to watch."""

    PODS = auto()
    SERVING_PODS = auto()
    JOB = auto()
    RUNS = auto()
    VERSION = auto()
    RIVALS = auto()
    EVENTS = auto()
    UPDATE = auto()


@dataclass(frozen=True)
class Need:
    """A fact to read before planning again."""

    fact: Fact
    name: str
    """For ``PODS`` the Job whose pods are meant, for ``SERVING_PODS`` the Deployment, for ``RUNS`` the
    TrainingSchedule, which is read again with its TrainingJobs, for ``RIVALS`` the model, for ``EVENTS`` the uid of
    the object that Warning Events are about, for ``UPDATE`` the ModelDeployment that would exchange its pods, else the
    object itself."""
