"""The kinds of the group: names, columns, and the models of their spec and status."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from trainyard_api.base import ApiModel, Rule
from trainyard_api.modeldeployment import ModelDeploymentSpec, ModelDeploymentStatus
from trainyard_api.modelversion import ModelVersionSpec, ModelVersionStatus
from trainyard_api.predictionjob import PredictionJobSpec, PredictionJobStatus
from trainyard_api.trainingjob import TrainingJobSpec, TrainingJobStatus
from trainyard_api.trainingschedule import TrainingScheduleSpec, TrainingScheduleStatus


@dataclass(frozen=True)
class PrinterColumn:
    """A printer column of ``kubectl get``. A column with ``wide`` appears only with ``-o wide``."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False


_REASON: Final = PrinterColumn("Reason", ".status.conditions[?(@.type=='Ready')].reason")


@dataclass(frozen=True)
class KindDefinition:
    """The data of one CustomResourceDefinition, before it is converted to YAML.

    ``mutable`` contains the Python names of the spec fields that may change after creation. A rule refuses a change of
    all other fields. ``None`` means no such rule: the spec has its own rules.
    """

    kind: str
    plural: str
    short: str
    description: str
    spec: type[ApiModel]
    status: type[ApiModel]
    columns: tuple[PrinterColumn, ...]
    rules: tuple[Rule, ...] = ()
    mutable: frozenset[str] | None = None
    selectable: tuple[str, ...] = (".status.phase",)
    scale: Mapping[str, str] | None = None
    """The paths of the subresource ``scale``, by the API server's names for them."""
    first_status: Mapping[str, str] = field(default_factory=dict)
    """Default fields of the status of a new object, in addition to ``observedGeneration: -1``."""


TRAINING_JOB = KindDefinition(
    kind="TrainingJob",
    plural="trainingjobs",
    short="tj",
    description="One training run: from data to a trained, versioned model.",
    spec=TrainingJobSpec,
    status=TrainingJobStatus,
    columns=(
        PrinterColumn("Model", ".status.modelName"),
        PrinterColumn("Phase", ".status.phase"),
        _REASON,
        PrinterColumn("Progress", ".status.trainerStatus.progressPercentage", "integer"),
        PrinterColumn("Metric", ".status.objectiveMetric"),
        PrinterColumn("Objective", ".status.objectiveValue"),
        PrinterColumn("Version", ".status.modelVersion.version", "integer"),
        PrinterColumn("Verdict", ".status.verdict.phase"),
        PrinterColumn("Attempt", ".status.attempts[-1:].number", "integer"),
        PrinterColumn("Age", ".metadata.creationTimestamp", "date"),
        PrinterColumn("Framework", ".spec.framework", wide=True),
        PrinterColumn("Queue", ".status.queuePosition", "integer", wide=True),
        PrinterColumn("ETA", ".status.trainerStatus.estimatedRemainingSeconds", "integer", wide=True),
        PrinterColumn("Device", ".status.result.device", wide=True),
    ),
    mutable=TrainingJobSpec.MUTABLE,
    rules=(
        Rule(
            "self.metadata.name.size() <= 52 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
            "metadata.name must be at most 52 lower-case letters, digits and '-': the names of its Jobs start with it",
            field="metadata.name",
        ),
        Rule(
            "!oldSelf.spec.cancel || self.spec.cancel",
            "cancel cannot be undone: create a new TrainingJob",
            field="spec.cancel",
        ),
    ),
)

MODEL_VERSION = KindDefinition(
    kind="ModelVersion",
    plural="modelversions",
    short="mv",
    description=(
        "One trained model: what was trained, on which data and by which job. The operator creates it. Its spec is "
        "immutable."
    ),
    spec=ModelVersionSpec,
    status=ModelVersionStatus,
    first_status={"phase": "Pending"},
    columns=(
        PrinterColumn("Model", ".spec.model"),
        PrinterColumn("Version", ".spec.version", "integer"),
        PrinterColumn("Phase", ".status.phase"),
        _REASON,
        PrinterColumn("Metric", ".spec.objectiveMetric"),
        PrinterColumn("Objective", ".spec.objectiveValue"),
        PrinterColumn("Job", ".spec.trainingJob.name"),
        PrinterColumn("Age", ".metadata.creationTimestamp", "date"),
        PrinterColumn("Used-By", ".status.usedBy", wide=True),
        PrinterColumn("Formats", ".spec.formats", wide=True),
        PrinterColumn("URI", ".spec.artifact.uri", wide=True),
    ),
)

TRAINING_SCHEDULE = KindDefinition(
    kind="TrainingSchedule",
    plural="trainingschedules",
    short="tsched",
    description="Creates TrainingJobs on a cron schedule, or when their template changes.",
    spec=TrainingScheduleSpec,
    status=TrainingScheduleStatus,
    columns=(
        PrinterColumn("Schedule", ".spec.schedule"),
        PrinterColumn("TimeZone", ".spec.timeZone"),
        PrinterColumn("Phase", ".status.phase"),
        PrinterColumn("Active", ".status.activeCount", "integer"),
        PrinterColumn("Last Schedule", ".status.lastScheduleTime", "date"),
        PrinterColumn("Next", ".status.nextScheduleTime"),
        PrinterColumn("Version", ".status.lastAcceptedVersion", "integer"),
        PrinterColumn("Accepted", ".status.lastAcceptedTime", "date"),
        PrinterColumn("Rejected", ".status.consecutiveRejections", "integer"),
        PrinterColumn("Age", ".metadata.creationTimestamp", "date"),
        PrinterColumn("Last Success", ".status.lastSuccessfulTime", "date", wide=True),
        PrinterColumn("Missed", ".status.missed", "integer", wide=True),
        PrinterColumn("Last Run", ".status.lastRun", wide=True),
        replace(_REASON, wide=True),
    ),
    rules=(
        Rule(
            "self.metadata.name.size() <= 41 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
            "metadata.name must be at most 41 lower-case letters, digits and '-': the names of its TrainingJobs start "
            "with it",
            field="metadata.name",
        ),
    ),
)

MODEL_DEPLOYMENT = KindDefinition(
    kind="ModelDeployment",
    plural="modeldeployments",
    short="md",
    description="Serves a model. The spec contains the policy that selects the version, the status shows the version.",
    spec=ModelDeploymentSpec,
    status=ModelDeploymentStatus,
    columns=(
        PrinterColumn("Model", ".spec.modelName"),
        PrinterColumn("Phase", ".status.phase"),
        _REASON,
        PrinterColumn("Version", ".status.activeVersion", "integer"),
        PrinterColumn("Candidate", ".status.candidateVersion", "integer"),
        PrinterColumn("Previous", ".status.previousVersion", "integer"),
        PrinterColumn("Ready", ".status.readyReplicas", "integer"),
        PrinterColumn("Model Age", ".status.activeTrainedTime", "date"),
        PrinterColumn("Age", ".metadata.creationTimestamp", "date"),
        PrinterColumn("Policy", ".spec.version.policy", wide=True),
        PrinterColumn("Hold", ".status.hold.reason", wide=True),
        PrinterColumn("URL", ".status.url", wide=True),
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
            "the names of its Service and Deployments start with it",
            field="metadata.name",
        ),
    ),
)

PREDICTION_JOB = KindDefinition(
    kind="PredictionJob",
    plural="predictionjobs",
    short="pj",
    description="One run of predictions: a version of a model predicts rows, and the result is written to a table.",
    spec=PredictionJobSpec,
    status=PredictionJobStatus,
    columns=(
        PrinterColumn("Model", ".status.modelName"),
        PrinterColumn("Version", ".status.version", "integer"),
        PrinterColumn("Phase", ".status.phase"),
        _REASON,
        PrinterColumn("Progress", ".status.trainerStatus.progressPercentage", "integer"),
        PrinterColumn("Rows", ".status.result.rows", "integer"),
        PrinterColumn("As-Of", ".status.result.asOf"),
        PrinterColumn("Attempt", ".status.attempts[-1:].number", "integer"),
        PrinterColumn("Age", ".metadata.creationTimestamp", "date"),
        PrinterColumn("Output", ".status.result.output", wide=True),
        PrinterColumn("Queue", ".status.queuePosition", "integer", wide=True),
        PrinterColumn("ETA", ".status.trainerStatus.estimatedRemainingSeconds", "integer", wide=True),
    ),
    mutable=PredictionJobSpec.MUTABLE,
    rules=(
        Rule(
            "self.metadata.name.size() <= 50 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
            "metadata.name must be at most 50 lower-case letters, digits and '-': its Jobs carry the name",
            field="metadata.name",
        ),
        Rule(
            "!oldSelf.spec.cancel || self.spec.cancel",
            "cancel cannot be taken back: create a new PredictionJob",
            field="spec.cancel",
        ),
    ),
)

KINDS = (TRAINING_JOB, TRAINING_SCHEDULE, MODEL_VERSION, MODEL_DEPLOYMENT, PREDICTION_JOB)
