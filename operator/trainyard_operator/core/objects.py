"""Views for planners: the custom resources (identity, spec as written, status as stored) and their children."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, NamedTuple, TypeVar

from trainyard_api import meta
from trainyard_api.base import ApiModel
from trainyard_api.batch import TERMINAL_PHASES, BatchStatus
from trainyard_api.modeldeployment import ModelDeploymentStatus
from trainyard_api.modelversion import ModelVersionStatus
from trainyard_api.predictionjob import PredictionJobStatus
from trainyard_api.trainingjob import TrainingJobStatus
from trainyard_api.trainingschedule import TrainingScheduleStatus

EVICTED: Final = "Evicted"
"""The kubelet's reason for an evicted pod. Its node lacked a resource, or the pod exceeded its storage limit."""

S_co = TypeVar("S_co", bound=ApiModel, covariant=True)
B_co = TypeVar("B_co", bound=BatchStatus, covariant=True)


@dataclass(frozen=True)
class ObjectView(Generic[S_co]):
    """Common fields of all custom resources.

    Attributes
    ----------
    annotations
        Those of the operator's API group.
    managers
        The field manager of each of them. It is the best available name of the author.
    unreadable
        What this release cannot parse in the stored status of another release. The ``status`` is then empty. Empty if
        the status is valid.
    recalled_from
        The uid of the object for which ``status`` was saved, for example after a restore. Empty if the status is the
        stored one.
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
    """An object that runs to completion."""

    @property
    def finished(self) -> bool:
        """Whether a terminal phase is stored. It never changes."""
        return self.status.phase in TERMINAL_PHASES

    @property
    def model(self) -> str:
        """The logical model: the one that the spec names, else the object's name."""
        return str(self.spec.get("modelName") or self.name)

    @property
    def exclusive_name(self) -> str:
        """Of the objects of a namespace with the same exclusive name, one runs at a time."""
        return self.model

    @property
    def awaits_verdict(self) -> bool:
        """Whether a finished object still waits for a decision about its result, so that it must be kept."""
        return False


class TrainingJobView(BatchView[TrainingJobStatus]):
    """A TrainingJob."""

    @property
    def awaits_verdict(self) -> bool:
        """Whether the gates of its version are not decided yet."""
        verdict = self.status.verdict
        return verdict is not None and verdict.phase == "Pending"


class PredictionJobView(BatchView[PredictionJobStatus]):
    """A PredictionJob."""

    @property
    def model(self) -> str:
        """The logical model. With ``model.deployment``, it is empty until the version was selected once."""
        asked = self.spec.get("model") or {}
        return str(asked.get("name") or self.status.model_name or "")

    @property
    def exclusive_name(self) -> str:
        """Its own name, because predictions with the same model do not disturb each other."""
        return f"PredictionJob/{self.name}"


class TrainingScheduleView(ObjectView[TrainingScheduleStatus]):
    """A TrainingSchedule."""


class ModelVersionView(ObjectView[ModelVersionStatus]):
    """A ModelVersion. Its spec never changes and comes from the operator, so required fields exist."""

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
        """The name of its TrainingJob, which may be deleted."""
        return str(self.spec["trainingJob"]["name"])

    @property
    def job_uid(self) -> str:
        """The uid of that job."""
        return str(self.spec["trainingJob"]["uid"])

    @property
    def is_pending(self) -> bool:
        """Whether its gates have not been judged yet, if its status is readable."""
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
    """Workload of one attempt.

    Attributes
    ----------
    parts
        The objects that it consists of. To delete them is to delete the workload.
    """

    name: str
    uid: str
    attempt: int
    created: datetime
    parts: tuple[Part, ...]
    deleting: bool = False
    deleted: datetime | None = None
    """Time of the deletion request."""
    labels: Mapping[str, str] = field(default_factory=dict)
    image: str = ""
    ready: int = 0
    active: int = 0
    terminating: int = 0
    finishing: bool = False
    """Whether a pod has ended while the Job controller still counts it. The end of the Job follows."""
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
        """Whether the Job controller has ended it, including its pods."""
        return self.complete or self.failed


@dataclass(frozen=True)
class PodView:
    """A pod of an attempt, limited to the operator's containers. The fields describe ``container``.

    Attributes
    ----------
    running
        Whether one of the operator's containers runs, as far as known.
    lost
        Whether the control plane reports the pod as not ready while the kubelet reported it as ready. Its node does not
        respond.
    cause
        Why it was stopped externally: the kubelet's reason (``Evicted``), or that of the condition DisruptionTarget.
    cause_message
        The message for that reason.
    disrupted_at
        The time of that disruption.
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
    """Other containers that still run after all the operator's containers have ended."""
    started: bool = False
    """Whether a container, or an init container, has run or runs. The pod then has its node, volumes and an image."""
    container: str = meta.CONTAINER
    exit_code: int | None = None
    exit_reason: str = ""
    termination_message: str = ""
    finished_at: datetime | None = None
    waiting: str = ""
    """Why it does not run yet, as the kubelet or the scheduler reports it."""
    index: int | None = None
    """Index of its shard, from 0; ``None`` without shards."""

    @property
    def over(self) -> bool:
        """Whether the operator's containers have ended."""
        return self.phase in ("Succeeded", "Failed")


@dataclass(frozen=True)
class WarningView:
    """A Warning Event of another component: why a Job has no pod, or why a pod does not start."""

    reason: str
    note: str
    time: datetime

    @property
    def text(self) -> str:
        """The reason and the note of the Event."""
        return f"{self.reason}: {self.note}" if self.note else self.reason


@dataclass(frozen=True)
class DeploymentView:
    """A child Deployment: the pods of one version.

    Attributes
    ----------
    settled
        Whether the Deployment controller has seen the last change of the spec, so that the counts are current.
    applied
        Hash of the rendered object, from its annotation.
    asked
        Hash of the part that the user controls, from its annotation.
    pods
        All pods, including those of an earlier template.
    spec
        The stored spec, with defaults from the API server.
    late
        Whether the Deployment controller reports that the new pods were not ready in time. The old pods still exist.
    refusal
        Why the API server refuses its pods, as its controller reports it: a quota, a policy, no ServiceAccount.
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
        """Whether new pods replace those of an earlier template and no problem is known."""
        if self.deleting or self.late or self.refusal:
            return False
        return not self.settled or self.pods > self.updated


@dataclass(frozen=True)
class ServiceView:
    """A child Service. It selects the version that gets the requests."""

    name: str
    uid: str
    selector: Mapping[str, str] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)
    """The stored spec, with defaults from the API server."""
    applied: str = ""
    deleting: bool = False


@dataclass(frozen=True)
class DisruptionBudgetView:
    """A child PodDisruptionBudget. It limits how many serving pods a drain may evict at a time."""

    name: str
    uid: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    """The stored spec, with defaults from the API server."""
    applied: str = ""
    deleting: bool = False


@dataclass(frozen=True)
class ServingPodView:
    """A pod of a version, limited to its server container.

    Attributes
    ----------
    deleting
        Whether it was deleted, evicted or preempted.
    running
        Whether the server runs, as far as known. It is not known if the node does not respond.
    template
        The label ``pod-template-hash``, which identifies the pod template.
    exit_code
        The last exit code of the container, now or before its newest restart.
    message
        The server's message at that exit.
    uid
        The uid for finding its Events.
    waiting
        Why it does not run, as the kubelet or the scheduler reports it.
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
