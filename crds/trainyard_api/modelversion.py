"""ModelVersion: one registered model, made by the operator, never changed, not owned by the job that trained it."""

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
    """One column that the model reads or writes."""

    name: ColumnName
    """Name of the column."""
    type: Annotated[str, Field(min_length=1, max_length=32)]
    """Its type, such as float or text."""


class Signature(ApiModel):
    """The columns a model expects and gives. Left out when too wide for an object: the manifest always holds it."""

    inputs: Annotated[list[SignatureColumn], Field(max_length=256)]
    """Columns that the model reads."""
    outputs: Annotated[list[SignatureColumn], Field(max_length=64)]
    """Columns that the model gives."""
    positive_class: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Of two classes the one that the threshold and the metrics are of."""


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
"""Why the two models of a comparison have numbers on equal rows, or why they have none."""


class ComparedMetric(ApiModel):
    """One metric of both models on the same rows, and the interval of their difference."""

    name: MetricName
    """Name of the metric."""
    value: MetricValue
    """Its value for the version that is judged."""
    champion: MetricValue
    """Its value for the champion."""
    difference: MetricValue
    """``value`` less ``champion``."""
    low: MetricValue | None = None
    """Lower end of the interval of the difference, from a paired bootstrap; none: too few rows for one."""
    high: MetricValue | None = None
    """Upper end of that interval."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Share of such intervals that hold the true difference."""


class Comparison(ApiModel):
    """The champion beside this version, on rows that neither of them has learned from."""

    champion: Annotated[int, Field(ge=1, le=MAX_INTEGER)]
    """The version that served when the training started."""
    champion_digest: Annotated[str, Field(max_length=64, pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of its manifest."""
    reason: ComparisonReason
    """Compared, or why the two models have no numbers on equal rows."""
    message: Message = ""
    """The same in a sentence."""
    answered_by: Literal["Judged", "Final"] | None = None
    """Which of the champion's two models answered: the newest that has learned none of the rows."""
    rows: Count | None = None
    """Rows that both models answered."""
    units: Count | None = None
    """Independent parts of these rows (rows, groups, or series and windows): few of them make wide intervals."""
    metrics: Annotated[list[ComparedMetric], Field(max_length=16)] | None = None
    """Each metric of both models, with their difference."""


class JobRef(ApiModel):
    """The TrainingJob a version came from: by name and uid, since the job may be gone."""

    name: ObjectName
    """Name of the TrainingJob."""
    uid: Annotated[str, Field(min_length=1, max_length=64)]
    """Its uid."""
    spec_digest: Annotated[str, Field(max_length=64, pattern=r"^[0-9a-f]+$")] | None = None
    """What tells its spec from that of another TrainingJob of its name; none: not known."""


class ModelVersionSpec(ApiModel):
    """What was trained, on what, by what. Immutable."""

    model: DnsLabel
    """The logical model, as TrainingJobs name it."""
    version: Annotated[int, Field(ge=1, le=MAX_INTEGER)]
    """Its number in the storage, from 1; nobody else gets it."""
    label: Annotated[str, Field(min_length=1, max_length=63)]
    """A name with the time of the training."""
    artifact: Artifact
    """Where its files lie, and the digest of the manifest that lists them."""
    formats: Annotated[list[Annotated[str, Field(min_length=1, max_length=32)]], Field(min_length=1, max_length=8)]
    """Formats in which the model is stored."""
    signature: Signature | None = None
    """The columns that the model expects and gives; left out where too wide for an object: the manifest always holds
    them."""
    metrics: Metrics | None = None
    """What the model reached on rows that it had not seen."""
    holdout_digest: Digest | None = None
    """Digest of these rows."""
    data_digest: Digest | None = None
    """Digest of all the data."""
    comparison: Comparison | None = None
    """The champion of the time of the training, on the same rows."""
    objective: Objective | None = None
    """The metric that says which model is better."""
    objective_metric: MetricName | None = None
    """Name of the metric that ranks the versions of the model: the objective's, else the task's."""
    objective_value: MetricValue | None = None
    """Value of objectiveMetric."""
    gates: Annotated[list[Gate], Field(max_length=16)] | None = None
    """What the job asked of the version; here, because the job may be gone when it is judged."""
    storage: Storage | None = None
    """How to reach the artifact: server, region and Secret, as they were when it was written."""
    training_job: JobRef
    """The TrainingJob that it came from, which may be gone."""
    image: Annotated[str, Field(max_length=512)] | None = None
    """The image that trained it."""

    rules = (Rule("self == oldSelf", "a ModelVersion's spec never changes: train a new version"),)


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
    """How one gate was judged, with the numbers it compared."""

    metric: MetricName
    """Name of the metric that was judged."""
    passed: bool
    """Whether the gate was met."""
    reason: GateReason
    """Why, in one word."""
    value: MetricValue | None = None
    """Value of the metric for this version."""
    op: Comparator | None = None
    """How value and threshold were compared."""
    threshold: MetricValue | None = None
    """What the value was compared with; for a champion, its value with the tolerance."""
    champion: Annotated[int, Field(ge=1, le=MAX_INTEGER)] | None = None
    """The version compared with, as it was chosen when this one was judged."""
    champion_value: MetricValue | None = None
    """Value of the metric for the version compared with."""
    difference: MetricValue | None = None
    """``value`` less ``championValue``, on the same rows."""
    low: MetricValue | None = None
    """Lower end of the interval of the difference."""
    high: MetricValue | None = None
    """Upper end of that interval."""
    confidence: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Confidence of that interval, from 0 to 1."""
    message: Message = ""
    """Why, in a sentence."""


class Overruled(ApiModel):
    """Who validated a version that its gates had refused, and why."""

    by: Annotated[str, Field(min_length=1, max_length=256)]
    """The manager of the annotation that asked for it."""
    reason: Annotated[str, Field(min_length=1, max_length=1024)]
    """In their own words."""
    time: Timestamp
    """When it was validated."""


class ModelVersionStatus(ApiModel):
    """What the operator knows of a version beyond its birth."""

    observed_generation: Generation = -1
    """The metadata.generation that this status tells of; -1 before the operator saw the object."""
    phase: VersionPhase | None = None
    """What may be done with the version: only a Validated one is taken by itself."""
    conditions: Conditions | None = None
    """Ready, Reconciling and Stalled, each with a reason and a sentence."""
    gates: Annotated[list[GateResult], Field(max_length=16)] | None = None
    """How each gate was judged, with the numbers that it compared."""
    judged_time: Timestamp | None = None
    """When the gates were judged; they are judged once."""
    overruled: Overruled | None = None
    """A person validated it although its gates had not been met."""
    last_handled_action: Annotated[str, Field(max_length=256)] | None = None
    """The annotation trainyard.dev/requested-action that was acted upon last."""
    last_action_message: Message | None = None
    """What came of that action."""
    used_tokens: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=32)] | None = None
    """Of the newest actions, the last one's at the end."""
    quarantined_by: ObjectName | None = None
    """The ModelDeployment that rolled this version back."""
    used_by: Annotated[list[ObjectName], Field(max_length=32)] | None = None
    """The ModelDeployments whose active, previous or candidate version it is."""
