"""What planners see: the custom resources (identity, spec as written, status as last stored), and their children."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, NamedTuple, TypeVar

from trainyard_api import meta
from trainyard_api.base import ApiModel
from trainyard_api.batch import TERMINAL_PHASES, BatchStatus
from trainyard_api.modeldeployment import ModelDeploymentStatus
from trainyard_api.modelversion import ModelVersionStatus
from trainyard_api.trainingjob import TrainingJobStatus
from trainyard_api.trainingschedule import TrainingScheduleStatus

EVICTED: Final = "Evicted"
"""The kubelet's word for a pod that it stopped: its node lacked something, or the pod used more storage than it may."""

S_co = TypeVar("S_co", bound=ApiModel, covariant=True)
B_co = TypeVar("B_co", bound=BatchStatus, covariant=True)


@dataclass(frozen=True)
class ObjectView(Generic[S_co]):
    """What every custom resource of ours has.

    Attributes
    ----------
    annotations
        Those of our own group.
    managers
        Who wrote each of them (the field manager): the nearest to a name that the API server keeps.
    unreadable
        What this release does not understand in the stored status, which another one wrote; ``status`` is then an empty
        one that says nothing. Empty where all is well.
    recalled_from
        The uid of the object that ``status`` was saved for, as after a restore. Empty where the status is the stored
        one.
    """

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    created: datetime
    deleting: bool
    spec: dict[str, Any]
    status: S_co
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    managers: Mapping[str, str] = field(default_factory=dict)
    unreadable: str = ""
    recalled_from: str = ""


class BatchView(ObjectView[B_co]):
    """An object that runs to an end."""

    @property
    def finished(self) -> bool:
        """A terminal phase is stored; nothing but a new object changes it."""
        return self.status.phase in TERMINAL_PHASES

    @property
    def model(self) -> str:
        """The logical model that it is about: the one it names, else its own name."""
        return str(self.spec.get("modelName") or self.name)


class TrainingJobView(BatchView[TrainingJobStatus]):
    """A TrainingJob."""


class TrainingScheduleView(ObjectView[TrainingScheduleStatus]):
    """A TrainingSchedule."""


class ModelVersionView(ObjectView[ModelVersionStatus]):
    """A ModelVersion. Its spec never changes and was written by us, so its required fields are there."""

    @property
    def model(self) -> str:
        """The logical model."""
        return str(self.spec["model"])

    @property
    def version(self) -> int:
        """The number, counted from 1 for each model."""
        return int(self.spec["version"])

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest, hexadecimal."""
        return str(self.spec["artifact"]["manifestSha256"])

    @property
    def job_name(self) -> str:
        """The TrainingJob it came from, which may be gone."""
        return str(self.spec["trainingJob"]["name"])

    @property
    def job_uid(self) -> str:
        """That job's uid."""
        return str(self.spec["trainingJob"]["uid"])

    @property
    def is_pending(self) -> bool:
        """Its gates have not been judged yet, as far as that can be read."""
        return not self.unreadable and self.status.phase in (None, "Pending")


class ModelDeploymentView(ObjectView[ModelDeploymentStatus]):
    """A ModelDeployment."""

    @property
    def model(self) -> str:
        """The logical model that it serves."""
        return str(self.spec["modelName"])


class Part(NamedTuple):
    """One object of a workload."""

    kind: str
    name: str
    uid: str


@dataclass(frozen=True)
class WorkloadView:
    """What one attempt runs as.

    Attributes
    ----------
    parts
        The objects that it consists of: with them it is gone.
    """

    name: str
    uid: str
    attempt: int
    created: datetime
    parts: tuple[Part, ...]
    deleting: bool = False
    deleted: datetime | None = None
    """When its deletion was asked for."""
    image: str = ""
    ready: int = 0
    active: int = 0
    terminating: int = 0
    finishing: bool = False
    """Some pod has ended, and the Job controller counts it: the Job's own end follows."""
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
    """A pod of an attempt, as far as our containers go: ``container`` is the one that the fields speak of.

    Attributes
    ----------
    running
        One of our containers runs, as far as is known.
    lost
        The control plane says that the pod is not ready and the kubelet said that it is: its node does not answer.
    cause
        Who stopped it from outside: the kubelet's reason (``Evicted``), or that of the condition DisruptionTarget.
    cause_message
        The sentence that goes with it.
    disrupted_at
        When that was.
    """

    name: str
    phase: str
    created: datetime
    uid: str = ""
    node: str = ""
    deleting: bool = False
    running: bool = False
    lost: bool = False
    disrupted: bool = False
    disrupted_at: datetime | None = None
    cause: str = ""
    cause_message: str = ""
    staying: tuple[str, ...] = ()
    """Containers that are not ours and still run, once ours have all ended."""
    started: bool = False
    """Some container has run or runs, an init container too: the pod has its node, volumes and an image."""
    container: str = meta.CONTAINER
    exit_code: int | None = None
    exit_reason: str = ""
    termination_message: str = ""
    finished_at: datetime | None = None
    waiting: str = ""
    """Why it does not run yet, in the kubelet's or the scheduler's words."""
    index: int | None = None
    """Which of the shards it trains, from 0; ``None`` without shards."""

    @property
    def over(self) -> bool:
        """It has ended, as far as our containers go."""
        return self.phase in ("Succeeded", "Failed")


@dataclass(frozen=True)
class WarningView:
    """A Warning Event of another component: why a Job has no pod, or why a pod does not start."""

    reason: str
    note: str
    time: datetime

    @property
    def text(self) -> str:
        """What went wrong, in the words of the component that reported it."""
        return f"{self.reason}: {self.note}" if self.note else self.reason


@dataclass(frozen=True)
class DeploymentView:
    """A child Deployment: the pods of one version.

    Attributes
    ----------
    settled
        The Deployment controller has seen the last change of the spec, so that the counts below speak of it.
    applied
        What it was rendered from, as a hash (the annotation that we wrote).
    asked
        What of it its user asked for, as a hash (the annotation that we wrote).
    pods
        All of them, those of an earlier template too.
    spec
        As it is stored, with what the API server filled in.
    late
        The new pods were not ready in time, says the Deployment controller; those from before are still there.
    refusal
        Why the API server takes no pods from it, in its controller's words: a quota, a policy, no ServiceAccount.
    """

    name: str
    uid: str
    version: int
    created: datetime
    applied: str = ""
    deleting: bool = False
    settled: bool = False
    asked: str = ""
    spec: Mapping[str, Any] = field(default_factory=dict)
    late: bool = False
    refusal: str = ""
    replicas: int = 0
    pods: int = 0
    updated: int = 0
    ready: int = 0
    available: int = 0

    @property
    def exchanging(self) -> bool:
        """New pods take the place of those of an earlier template, and nothing stands in the way so far."""
        if self.deleting or self.late or self.refusal:
            return False
        return not self.settled or self.pods > self.updated


@dataclass(frozen=True)
class ServiceView:
    """A child Service: which version gets the requests."""

    name: str
    uid: str
    selector: Mapping[str, str] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)
    """As it is stored, with what the API server filled in."""
    applied: str = ""
    deleting: bool = False


@dataclass(frozen=True)
class DisruptionBudgetView:
    """A child PodDisruptionBudget: how many of the pods that serve a drain may take at a time."""

    name: str
    uid: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    """As it is stored, with what the API server filled in."""
    applied: str = ""
    deleting: bool = False


@dataclass(frozen=True)
class ServingPodView:
    """A pod of a version, as far as its server container goes.

    Attributes
    ----------
    deleting
        It is on its way out: deleted, evicted or pre-empted.
    running
        The server runs, as far as is known; nothing is known once its node does not answer any more.
    template
        What tells the pods of one template from those of another (the label ``pod-template-hash``).
    exit_code
        How the container ended last, now or before its newest restart.
    message
        What it said then: the server's sentence.
    uid
        By which its Events are found.
    waiting
        Why it does not run, in the kubelet's or the scheduler's words.
    """

    name: str
    created: datetime
    uid: str = ""
    ready: bool = False
    deleting: bool = False
    running: bool = False
    template: str = ""
    restarts: int = 0
    exit_code: int | None = None
    message: str = ""
    waiting: str = ""
