"""What the planner looks at: the world as typed, frozen facts. Nothing in here was decided."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto

from trainyard_api import meta
from trainyard_api.trainingjob import TrainerStatus
from trainyard_operator.core.admission import ADMITTED, Verdict
from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.core.objects import ModelVersionView, TrainingJobView


@dataclass(frozen=True)
class JobView:
    """A child Job: one attempt."""

    name: str
    uid: str
    attempt: int
    created: datetime
    deleting: bool = False
    image: str = ""
    ready: int = 0
    active: int = 0
    terminating: int = 0
    deadline: int | None = None
    """Its own ``activeDeadlineSeconds``, counted from ``start``."""
    start: datetime | None = None
    end: datetime | None = None
    complete: bool = False
    failed: bool = False
    failure_reason: str = ""
    failure_message: str = ""

    @property
    def finished(self) -> bool:
        """The Job controller has ended it, pods included."""
        return self.complete or self.failed


@dataclass(frozen=True)
class PodView:
    """A pod of an attempt, as far as our containers go: ``container`` is the one that the fields speak of."""

    name: str
    phase: str
    created: datetime
    disrupted: bool = False
    started: bool = False
    """Some container has run or runs, an init container too: the pod has its node, volumes and an image."""
    container: str = meta.CONTAINER
    exit_code: int | None = None
    exit_reason: str = ""
    termination_message: str = ""
    finished_at: datetime | None = None
    waiting: str = ""
    """Why it does not run yet, in the kubelet's or the scheduler's words."""


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


@dataclass(frozen=True)
class Need:
    """A fact to read before planning again."""

    fact: Fact
    name: str
    """For ``PODS`` the Job whose pods are meant, for ``SERVING_PODS`` the Deployment, for ``RUNS`` the
    TrainingSchedule, which is read again with its TrainingJobs, else the object itself."""


@dataclass(frozen=True)
class Observed:
    """Everything one decision may depend on."""

    job: TrainingJobView
    children: tuple[JobView, ...]
    now: datetime
    config: OperatorConfig
    ca: str
    """Certificate authority (PEM) of the progress endpoint, handed to each attempt."""
    reported: TrainerStatus | None = None
    """The newest progress report of the current attempt."""
    pods: dict[str, tuple[PodView, ...]] = field(default_factory=dict)
    """Pods by Job name, for the Jobs that were asked about."""
    missing: frozenset[str] = frozenset()
    """Jobs by name that were looked for and are not there."""
    versions: dict[str, ModelVersionView | None] = field(default_factory=dict)
    """ModelVersions by name, ``None`` for one that was looked for and is not there."""
    refused: Refusal | None = None
    admission: Verdict = ADMITTED
    """Whether a first attempt may start now; an attempt that runs or is tried again has its place."""
    estimate: int | None = None
    """Seconds that the model's earlier runs took; for a job that has no status yet."""
