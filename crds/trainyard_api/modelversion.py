"""ModelVersion: one registered model, made by the operator, never changed, not owned by the job that trained it."""

from typing import Annotated, Literal

from pydantic import Field

from trainyard_api.base import (
    MAX_INTEGER,
    ApiModel,
    Column,
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
from trainyard_api.conditions import Conditions
from trainyard_api.training import Gate, Objective, Operator, Storage
from trainyard_api.trainingjob import Artifact, Message, Metrics

VersionPhase = Literal["Pending", "Validated", "Rejected", "Quarantined"]


class SignatureColumn(ApiModel):
    """One column that the model reads or writes."""

    name: Column
    type: Annotated[str, Field(min_length=1, max_length=32)]


class Signature(ApiModel):
    """The columns a model expects and gives. Left out when too wide for an object: the manifest always holds it."""

    inputs: Annotated[list[SignatureColumn], Field(max_length=256)]
    outputs: Annotated[list[SignatureColumn], Field(max_length=64)]
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
    value: MetricValue
    """Of the version that is judged."""
    champion: MetricValue
    """Of the champion."""
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
    message: Message = ""
    answered_by: Literal["Judged", "Final"] | None = None
    """Which of the champion's two models answered: the newest that has learned none of the rows."""
    rows: Count | None = None
    """Rows that both models answered."""
    units: Count | None = None
    """Independent parts of these rows (rows, groups, or series and windows): few of them make wide intervals."""
    metrics: Annotated[list[ComparedMetric], Field(max_length=16)] | None = None


class JobRef(ApiModel):
    """The TrainingJob a version came from: by name and uid, since the job may be gone."""

    name: ObjectName
    uid: Annotated[str, Field(min_length=1, max_length=64)]
    spec_digest: Annotated[str, Field(max_length=64, pattern=r"^[0-9a-f]+$")] | None = None
    """What tells its spec from that of another TrainingJob of its name; none: not known."""


class ModelVersionSpec(ApiModel):
    """What was trained, on what, by what. Immutable."""

    model: DnsLabel
    version: Annotated[int, Field(ge=1, le=MAX_INTEGER)]
    label: Annotated[str, Field(min_length=1, max_length=63)]
    artifact: Artifact
    formats: Annotated[list[Annotated[str, Field(min_length=1, max_length=32)]], Field(min_length=1, max_length=8)]
    signature: Signature | None = None
    metrics: Metrics | None = None
    holdout_digest: Digest | None = None
    data_digest: Digest | None = None
    comparison: Comparison | None = None
    """The champion of the time of the training, on the same rows."""
    objective: Objective | None = None
    objective_value: MetricValue | None = None
    gates: Annotated[list[Gate], Field(max_length=16)] | None = None
    """What the job asked of the version; here, because the job may be gone when it is judged."""
    storage: Storage | None = None
    """How to reach the artifact: server, region and Secret, as they were when it was written."""
    training_job: JobRef
    image: Annotated[str, Field(max_length=512)] | None = None

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
    passed: bool
    reason: GateReason
    value: MetricValue | None = None
    op: Operator | None = None
    threshold: MetricValue | None = None
    """What the value was compared with; for a champion, its value with the tolerance."""
    champion: Annotated[int, Field(ge=1, le=MAX_INTEGER)] | None = None
    """The version compared with, as it was chosen when this one was judged."""
    champion_value: MetricValue | None = None
    difference: MetricValue | None = None
    """``value`` less ``championValue``, on the same rows."""
    low: MetricValue | None = None
    """Lower end of the interval of the difference."""
    high: MetricValue | None = None
    """Upper end of that interval."""
    confidence: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Of that interval."""
    message: Message = ""


class Overruled(ApiModel):
    """Who validated a version that its gates had refused, and why."""

    by: Annotated[str, Field(min_length=1, max_length=256)]
    """The manager of the annotation that asked for it."""
    reason: Annotated[str, Field(min_length=1, max_length=1024)]
    """In their own words."""
    time: Timestamp


class ModelVersionStatus(ApiModel):
    """What the operator knows of a version beyond its birth."""

    observed_generation: Generation = -1
    phase: VersionPhase | None = None
    conditions: Conditions | None = None
    gates: Annotated[list[GateResult], Field(max_length=16)] | None = None
    judged_time: Timestamp | None = None
    overruled: Overruled | None = None
    """A person validated it although its gates had not been met."""
    last_handled_action: Annotated[str, Field(max_length=256)] | None = None
    last_action_message: Message | None = None
    """What came of that action."""
    used_tokens: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=32)] | None = None
    """Of the newest actions, the last one's at the end."""
    quarantined_by: ObjectName | None = None
    """The ModelDeployment that rolled this version back."""
    used_by: Annotated[list[ObjectName], Field(max_length=32)] | None = None
