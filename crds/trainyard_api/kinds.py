"""The kinds of the group: names, columns, and the models of their spec and status."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from trainyard_api.base import ApiModel, Rule
from trainyard_api.modeldeployment import ModelDeploymentSpec, ModelDeploymentStatus
from trainyard_api.modelversion import ModelVersionSpec, ModelVersionStatus
from trainyard_api.trainingjob import TrainingJobSpec, TrainingJobStatus
from trainyard_api.trainingschedule import TrainingScheduleSpec, TrainingScheduleStatus


@dataclass(frozen=True)
class Column:
    """A printer column of ``kubectl get``; ``wide`` ones appear with ``-o wide`` only."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False


_REASON: Final = Column("Reason", ".status.conditions[?(@.type=='Ready')].reason")


@dataclass(frozen=True)
class Kind:
    """One custom resource definition, before it becomes YAML.

    ``mutable`` names the spec fields (as Python spells them) that may change after creation; each other one gets a rule
    that refuses the change. ``None`` makes no such rules: the spec's own rules speak for it.
    """

    kind: str
    plural: str
    short: str
    description: str
    spec: type[ApiModel]
    status: type[ApiModel]
    columns: tuple[Column, ...]
    rules: tuple[Rule, ...] = ()
    mutable: frozenset[str] | None = None
    selectable: tuple[str, ...] = (".status.phase",)
    scale: Mapping[str, str] | None = None
    """The paths of the subresource ``scale``, by the names that the API server has for them."""
    first_status: Mapping[str, str] = field(default_factory=dict)
    """What the status of a new object says beside ``observedGeneration: -1``, before anybody wrote it."""


TRAINING_JOB = Kind(
    kind="TrainingJob",
    plural="trainingjobs",
    short="tj",
    description="One training run: from data to a trained, versioned model.",
    spec=TrainingJobSpec,
    status=TrainingJobStatus,
    columns=(
        Column("Model", ".status.modelName"),
        Column("Phase", ".status.phase"),
        _REASON,
        Column("Progress", ".status.trainerStatus.progressPercentage", "integer"),
        Column("Metric", ".status.objectiveMetric"),
        Column("Objective", ".status.objectiveValue"),
        Column("Version", ".status.modelVersion.version", "integer"),
        Column("Verdict", ".status.verdict.phase"),
        Column("Attempt", ".status.attempts[-1:].number", "integer"),
        Column("Age", ".metadata.creationTimestamp", "date"),
        Column("Framework", ".spec.framework", wide=True),
        Column("Queue", ".status.queuePosition", "integer", wide=True),
        Column("ETA", ".status.trainerStatus.estimatedRemainingSeconds", "integer", wide=True),
        Column("Device", ".status.result.device", wide=True),
    ),
    mutable=TrainingJobSpec.MUTABLE,
    rules=(
        Rule(
            "self.metadata.name.size() <= 52 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
            "metadata.name must be at most 52 lower-case letters, digits and '-': its Jobs carry the name",
            field="metadata.name",
        ),
        Rule(
            "!oldSelf.spec.cancel || self.spec.cancel",
            "cancel cannot be taken back: create a new TrainingJob",
            field="spec.cancel",
        ),
    ),
)

MODEL_VERSION = Kind(
    kind="ModelVersion",
    plural="modelversions",
    short="mv",
    description="One trained model: what was trained, on what, by which job. Made by the operator, never changed.",
    spec=ModelVersionSpec,
    status=ModelVersionStatus,
    first_status={"phase": "Pending"},
    columns=(
        Column("Model", ".spec.model"),
        Column("Version", ".spec.version", "integer"),
        Column("Phase", ".status.phase"),
        _REASON,
        Column("Metric", ".spec.objectiveMetric"),
        Column("Objective", ".spec.objectiveValue"),
        Column("Job", ".spec.trainingJob.name"),
        Column("Age", ".metadata.creationTimestamp", "date"),
        Column("Used-By", ".status.usedBy", wide=True),
        Column("Formats", ".spec.formats", wide=True),
        Column("URI", ".spec.artifact.uri", wide=True),
    ),
)

TRAINING_SCHEDULE = Kind(
    kind="TrainingSchedule",
    plural="trainingschedules",
    short="tsched",
    description="TrainingJobs by the clock, or whenever their template changes.",
    spec=TrainingScheduleSpec,
    status=TrainingScheduleStatus,
    columns=(
        Column("Schedule", ".spec.schedule"),
        Column("TimeZone", ".spec.timeZone"),
        Column("Phase", ".status.phase"),
        Column("Active", ".status.activeCount", "integer"),
        Column("Last Schedule", ".status.lastScheduleTime", "date"),
        Column("Next", ".status.nextScheduleTime"),
        Column("Version", ".status.lastAcceptedVersion", "integer"),
        Column("Accepted", ".status.lastAcceptedTime", "date"),
        Column("Rejected", ".status.consecutiveRejections", "integer"),
        Column("Age", ".metadata.creationTimestamp", "date"),
        Column("Last Success", ".status.lastSuccessfulTime", "date", wide=True),
        Column("Missed", ".status.missed", "integer", wide=True),
        Column("Last Run", ".status.lastRun", wide=True),
        replace(_REASON, wide=True),
    ),
    rules=(
        Rule(
            "self.metadata.name.size() <= 41 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
            "metadata.name must be at most 41 lower-case letters, digits and '-': its TrainingJobs carry the name",
            field="metadata.name",
        ),
    ),
)

MODEL_DEPLOYMENT = Kind(
    kind="ModelDeployment",
    plural="modeldeployments",
    short="md",
    description="Which version of a model serves: the policy in the spec, the version in the status.",
    spec=ModelDeploymentSpec,
    status=ModelDeploymentStatus,
    columns=(
        Column("Model", ".spec.modelName"),
        Column("Phase", ".status.phase"),
        _REASON,
        Column("Version", ".status.activeVersion", "integer"),
        Column("Candidate", ".status.candidateVersion", "integer"),
        Column("Previous", ".status.previousVersion", "integer"),
        Column("Ready", ".status.readyReplicas", "integer"),
        Column("Model Age", ".status.activeTrainedTime", "date"),
        Column("Age", ".metadata.creationTimestamp", "date"),
        Column("Policy", ".spec.version.policy", wide=True),
        Column("Hold", ".status.hold.reason", wide=True),
        Column("URL", ".status.url", wide=True),
    ),
    scale={
        "specReplicasPath": ".spec.serving.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    },
    rules=(
        Rule(
            "self.metadata.name.size() <= 45 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            "metadata.name must be at most 45 lower-case letters, digits and '-', and start with a letter: "
            "its Service and Deployments carry the name",
            field="metadata.name",
        ),
    ),
)

KINDS = (TRAINING_JOB, TRAINING_SCHEDULE, MODEL_VERSION, MODEL_DEPLOYMENT)
