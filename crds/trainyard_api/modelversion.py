"""ModelVersion: one registered model. The operator creates it. It never changes, and its job does not own it."""

from typing import Annotated, Literal

from pydantic import Field

from trainyard_api.base import (
    MAX_INTEGER,
    ApiModel,
    ColumnName,
    Count,
    Digest,
    DnsLabel,
    Generation,
    MetricName,
    MetricValue,
    ObjectName,
    Rule,
    Timestamp,
)
from trainyard_api.batch import Message, Metrics
from trainyard_api.conditions import Conditions
from trainyard_api.training import Comparator, Gate, Objective, Storage
from trainyard_api.trainingjob import Artifact

VersionPhase = Literal["Pending", "Validated", "Rejected", "Quarantined"]


class SignatureColumn(ApiModel):
    """A column of the input or the output of the model."""

    name: ColumnName
    """Name of the column."""
    type: Annotated[str, Field(min_length=1, max_length=32)]
    """Type of the column: boolean, long, double, datetime or string."""


class Signature(ApiModel):
    """The input and output columns of a model. If they do not fit into the object, they are only in the manifest."""

    inputs: Annotated[list[SignatureColumn], Field(max_length=256)]
    """Input columns of the model."""
    outputs: Annotated[list[SignatureColumn], Field(max_length=64)]
    """Output columns of the model."""
    positive_class: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """The positive one of two classes. The threshold and the metrics refer to it."""


ComparisonReason = Literal[
    "Compared",
    "ChampionIncompatible",
    "ChampionNotServable",
    "ChampionUnreadable",
    "ChampionUnavailable",
    "ChampionTooLarge",
    "ChampionTooSlow",
    "ChampionKnowsRows",
    "TooFewRows",
]
"""The result of a comparison: both models were compared on the same rows, or why they were not."""


class ComparedMetric(ApiModel):
    """A metric of both models on the same rows, and the confidence interval of their difference."""

    name: MetricName
    """Name of the metric."""
    value: MetricValue
    """Value of the metric for this version."""
    champion: MetricValue
    """Value of the metric for the champion."""
    difference: MetricValue
    """Difference of the two values: ``value`` less ``champion``."""
    low: MetricValue | None = None
    """Lower end of the confidence interval of the difference, from a paired bootstrap. Not set if there are too few
    rows."""
    high: MetricValue | None = None
    """Upper end of the confidence interval."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Confidence level of the interval, between 0 and 1."""


class Comparison(ApiModel):
    """The comparison of this version with the champion, on rows that neither of them was trained on."""

    champion: Annotated[int, Field(ge=1, le=MAX_INTEGER)]
    """Number of the version that was the champion when the training started."""
    champion_digest: Annotated[str, Field(max_length=64, pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 digest of the champion's manifest."""
    reason: ComparisonReason
    """Result of the comparison: Compared, or the reason why the models were not compared."""
    message: Message = ""
    """Message that explains the reason."""
    answered_by: Literal["Judged", "Final"] | None = None
    """Which of the champion's two models was compared: the newest one that was trained on none of the rows."""
    rows: Count | None = None
    """Number of rows that both models predicted."""
    units: Count | None = None
    """Number of independent units of these rows: rows, groups, or series and windows. Few units lead to wide
    intervals."""
    metrics: Annotated[list[ComparedMetric], Field(max_length=16)] | None = None
    """Metrics of both models, with their difference."""


class JobRef(ApiModel):
    """The TrainingJob that created the version, by name and UID, because the job may be deleted."""

    name: ObjectName
    """Name of the TrainingJob."""
    uid: Annotated[str, Field(min_length=1, max_length=64)]
    """UID of the TrainingJob."""
    spec_digest: Annotated[str, Field(max_length=64, pattern=r"^[0-9a-f]+$")] | None = None
    """Digest of the spec of the TrainingJob. It distinguishes jobs with the same name. Not set if it is not known."""


class ModelVersionSpec(ApiModel):
    """What was trained, on which data and by which job. Immutable."""

    model: DnsLabel
    """Name of the model, as in spec.modelName of TrainingJobs."""
    version: Annotated[int, Field(ge=1, le=MAX_INTEGER)]
    """Number of the version in the storage, starting from 1. It is used only once for a model."""
    label: Annotated[str, Field(min_length=1, max_length=63)]
    """Name of the version that contains the time of the training."""
    artifact: Artifact
    """Address of the files, and the digest of the manifest that lists them."""
    formats: Annotated[list[Annotated[str, Field(min_length=1, max_length=32)]], Field(min_length=1, max_length=8)]
    """Formats of the stored model."""
    signature: Signature | None = None
    """Input and output columns of the model. If they do not fit into the object, they are only in the manifest."""
    metrics: Metrics | None = None
    """Metrics of the model on held-out rows."""
    holdout_digest: Digest | None = None
    """Digest of the held-out rows."""
    data_digest: Digest | None = None
    """Digest of all data."""
    comparison: Comparison | None = None
    """Comparison with the champion at the time of the training, on the same rows."""
    objective: Objective | None = None
    """Metric that determines which model is better, as set in the TrainingJob."""
    objective_metric: MetricName | None = None
    """Name of the metric that ranks the versions of the model: that of the objective, or the default of the task."""
    objective_value: MetricValue | None = None
    """Value of objectiveMetric."""
    gates: Annotated[list[Gate], Field(max_length=16)] | None = None
    """Gates of the version, copied from the TrainingJob, because the job may be deleted before the version is
    judged."""
    storage: Storage | None = None
    """Storage of the artifact: server, region and Secret at the time of the training."""
    training_job: JobRef
    """TrainingJob that created the version. It may be deleted."""
    image: Annotated[str, Field(max_length=512)] | None = None
    """Image that trained the model."""

    rules = (Rule("self == oldSelf", "the spec of a ModelVersion is immutable: train a new version"),)


GateReason = Literal[
    "Met",
    "NotMet",
    "Inconclusive",
    "MetricMissing",
    "NoChampion",
    "HoldoutDiffers",
    "GoalUnknown",
    "ChampionChanged",
    "ChampionIncompatible",
    "ChampionNotServable",
    "ChampionUnreadable",
    "ChampionUnavailable",
    "ChampionTooLarge",
    "ChampionTooSlow",
    "ChampionKnowsRows",
    "TooFewRows",
]


class GateResult(ApiModel):
    """The result of one gate, with the values that were compared."""

    metric: MetricName
    """Name of the metric of the gate."""
    passed: bool
    """Whether the version met the gate."""
    reason: GateReason
    """Reason for the result, as one CamelCase word."""
    value: MetricValue | None = None
    """Value of the metric for this version."""
    op: Comparator | None = None
    """Comparison operator between value and threshold."""
    threshold: MetricValue | None = None
    """Value that the metric was compared with. In a comparison with the champion, it includes the tolerance."""
    champion: Annotated[int, Field(ge=1, le=MAX_INTEGER)] | None = None
    """Number of the version that was the champion when this version was judged."""
    champion_value: MetricValue | None = None
    """Value of the metric for the champion."""
    difference: MetricValue | None = None
    """Difference of the two values: ``value`` less ``championValue``, on the same rows."""
    low: MetricValue | None = None
    """Lower end of the confidence interval of the difference."""
    high: MetricValue | None = None
    """Upper end of the confidence interval."""
    confidence: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Confidence level of the interval, between 0 and 1."""
    message: Message = ""
    """Message that explains the result."""


class Overruled(ApiModel):
    """Who validated a version that its gates had rejected, and why."""

    by: Annotated[str, Field(min_length=1, max_length=256)]
    """Field manager that wrote the annotation with the request."""
    reason: Annotated[str, Field(min_length=1, max_length=1024)]
    """Reason for the request, from the annotation trainyard.dev/action-reason."""
    time: Timestamp
    """Time when the version was validated."""


class ModelVersionStatus(ApiModel):
    """The observed state of the version. Only the operator writes it."""

    observed_generation: Generation = -1
    """The metadata.generation that this status describes. -1: the operator has not observed the object yet."""
    phase: VersionPhase | None = None
    """Current phase of the version. A ModelDeployment with policy LatestValidated selects only Validated versions."""
    conditions: Conditions | None = None
    """Conditions of the version: Ready, and Reconciling while the version is Pending."""
    gates: Annotated[list[GateResult], Field(max_length=16)] | None = None
    """Result of each gate, with the values that were compared."""
    judged_time: Timestamp | None = None
    """Time when the version was judged. A version is judged once."""
    overruled: Overruled | None = None
    """Set if a person validated the version although it did not meet its gates."""
    last_handled_action: Annotated[str, Field(max_length=256)] | None = None
    """Value of the annotation trainyard.dev/requested-action that was handled last."""
    last_action_message: Message | None = None
    """Result of this action."""
    used_tokens: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=32)] | None = None
    """Tokens of the newest actions. The last token is at the end. A token can be used only once."""
    quarantined_by: ObjectName | None = None
    """ModelDeployment that quarantined this version."""
    used_by: Annotated[list[ObjectName], Field(max_length=32)] | None = None
    """ModelDeployments that have this version as active, previous or candidate version."""
