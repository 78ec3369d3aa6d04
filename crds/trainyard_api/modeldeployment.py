"""ModelDeployment: which version of a model serves, how it changes, and how it is rolled back."""

import re
from typing import Annotated, Literal

from pydantic import Field

from trainyard_api.base import (
    MAX_INTEGER,
    MAX_SECONDS,
    ApiModel,
    Count,
    Digest,
    DnsLabel,
    Generation,
    Rule,
    Timestamp,
)
from trainyard_api.batch import Message
from trainyard_api.conditions import Conditions
from trainyard_api.pod import PodOptions, Resources

DeploymentPhase = Literal["Pending", "Progressing", "AwaitingPromotion", "Serving", "RollingBack", "Held", "Failed"]
RolloutStrategy = Literal["BlueGreen"]
TrafficRole = Literal["Live", "Warm"]
CandidateReason = Literal["Policy", "Pin", "Retry", "Promoted", "Rollback"]
VersionNumber = Annotated[int, Field(ge=1, le=MAX_INTEGER)]

_PIN = "^([1-9][0-9]{0,14}|sha256:[0-9a-f]{64})$"


class VersionPolicy(ApiModel):
    """The policy that selects the version."""

    policy: Literal["LatestValidated", "Pinned"] = "LatestValidated"
    """LatestValidated: the newest Validated version serves. Pinned: the version in pin serves."""
    pin: Annotated[str, Field(max_length=71)] = ""
    """With policy Pinned, the number of the version as a string, or the digest of its manifest."""

    rules = (
        Rule(
            "(self.policy == 'Pinned') == (self.pin != '')",
            "policy Pinned needs pin, and only policy Pinned has it",
            lambda m: (m.policy == "Pinned") == (m.pin != ""),
            field="pin",
        ),
        Rule(
            f"self.pin == '' || self.pin.matches('{_PIN}')",
            "pin must be the number of a version in quotes, such as '7', or its digest: sha256: and 64 hex digits",
            lambda m: m.pin == "" or re.fullmatch(_PIN, m.pin) is not None,
            field="pin",
        ),
    )


class Rollout(ApiModel):
    """How a new version takes over."""

    strategy: RolloutStrategy = "BlueGreen"
    """Strategy of the rollout. BlueGreen: when all pods of the new version are ready, all requests are switched to
    them."""
    progress_deadline_seconds: Annotated[int, Field(ge=1, le=86400)] = 600
    """Maximum time in seconds for the pods of a new version to become ready."""
    auto_promote: bool = True
    """Whether a new version takes over as soon as its pods are ready. If false, it waits for the verb promote."""
    keep_warm_seconds: Annotated[int, Field(ge=0, le=MAX_SECONDS)] = 900
    """Time in seconds that the pods of the previous version keep running. A rollback within this time starts no
    pods."""


class Rollback(ApiModel):
    """When and how to roll back."""

    automatic: bool = True
    """Whether the operator rolls back automatically if the active version fails while the pods of the previous version
    are ready."""
    after_manual: Literal["HoldUntilNewer", "HoldUntilReleased"] = "HoldUntilNewer"
    """When the policy selects versions again after a manual rollback. HoldUntilNewer: if there is a newer version than
    the one that was rolled back. HoldUntilReleased: after the verb release."""


class History(ApiModel):
    """The history in the status."""

    limit: Annotated[int, Field(ge=1, le=50)] = 10
    """Maximum number of entries in status.history. The entries of the active and the previous version are always
    kept."""


class Retention(ApiModel):
    """Which ModelVersions of the model are kept. Their files are never deleted. Default: the limits of the chart."""

    validated: Annotated[int, Field(ge=0, le=10_000)] | None = None
    """Number of the newest Validated versions to keep. 0: all. Default: the limit of the chart."""
    rejected: Annotated[int, Field(ge=0, le=10_000)] | None = None
    """Number of the newest Rejected or Quarantined versions to keep. 0: all. Default: the limit of the chart."""
    max_age_days: Annotated[int, Field(ge=0, le=36_500)] | None = None
    """Maximum age of a version in days. Older versions are deleted even if there are few. 0: no limit. Default: the
    limit of the chart."""
    keep: Annotated[list[VersionNumber], Field(max_length=100)] | None = None
    """Numbers of versions that are always kept."""


class Serving(PodOptions):
    """Pods that serve the model."""

    replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    """Number of pods of each version. kubectl scale and a HorizontalPodAutoscaler change this field. If you use them,
    remove it from Git."""
    image: Annotated[str, Field(max_length=512)] | None = None
    """Image of the inference server. Default: the image of the chart."""
    resources: Resources | None = None
    """Requests and limits of the server container. They override the defaults of the chart key by key."""


class ModelDeploymentSpec(ApiModel):
    """The policy. The status shows which version serves."""

    model_name: DnsLabel
    """Name of the model, as in spec.modelName of TrainingJobs. Create only one ModelDeployment for each model in a
    namespace."""
    version: VersionPolicy | None = None
    """Policy that selects the version. Default: the newest Validated version."""
    rollout: Rollout | None = None
    """How a new version takes over."""
    rollback: Rollback | None = None
    """When and how to roll back."""
    history: History | None = None
    """Length of the history in the status."""
    retention: Retention | None = None
    """Which ModelVersions of the model are kept. Versions in use are always kept. Default: the limits of the chart."""
    serving: Annotated[Serving | None, Field(json_schema_extra={"default": {}})] = None
    """Pods that serve the model."""

    rules = (
        Rule(
            "self.modelName == oldSelf.modelName",
            "spec.modelName is immutable: create a new ModelDeployment",
            field="modelName",
        ),
    )


class RejectedVersion(ApiModel):
    """A version that failed, was aborted or was rolled back. The policy does not select it again."""

    version: VersionNumber
    """Number of the version."""
    reason: Annotated[str, Field(min_length=1, max_length=128)]
    """Reason for the rejection, as one CamelCase word."""
    message: Message = ""
    """Message that explains the outcome."""
    time: Timestamp
    """Time when the version was rejected."""


class Hold(ApiModel):
    """Why the policy currently selects no newer version."""

    reason: Literal["ManualRollback", "Held"]
    """Reason for the hold. ManualRollback: a rollback was requested with a verb. Held: the verb hold was used."""
    above: VersionNumber | None = None
    """A version above this number ends the hold. If this field is not set, only the verb release ends it."""
    since: Timestamp
    """Time when the hold began."""
    by: Annotated[str, Field(max_length=256)] = ""
    """Who requested the hold: the field manager that wrote the annotation."""


class HistoryEntry(ApiModel):
    """A version that served or was a candidate, and its outcome."""

    version: VersionNumber
    """Number of the version."""
    digest: Digest | None = None
    """SHA-256 digest of the manifest of the version."""
    from_: Annotated[Timestamp, Field(alias="from")]
    """Time when the version took over. For a version that was rejected as candidate, the start of its last deadline."""
    to: Timestamp | None = None
    """Time when the version was replaced, rolled back or rejected. Not set while it is active."""
    outcome: Literal["Active", "Replaced", "RolledBack", "Rejected"]
    """Outcome of the version. Active: it serves."""
    by: Annotated[str, Field(max_length=256)] = ""
    """Who caused the outcome: policy, pin, operator, or the field manager that wrote the annotation with the verb."""
    reason: Message = ""
    """Message that explains the outcome."""


class TrafficShare(ApiModel):
    """The share of the requests that a version gets."""

    version: VersionNumber
    """Number of the version."""
    weight: Annotated[int, Field(ge=0, le=100)]
    """Share of the requests in percent."""
    role: TrafficRole
    """Role of the version. Live: it gets requests. Warm: its pods exist and get no requests."""


class ModelDeploymentStatus(ApiModel):
    """The observed state and the decisions of the operator. Only the operator writes it."""

    observed_generation: Generation = -1
    """The metadata.generation that this status describes. -1: the operator has not observed the object yet."""
    phase: DeploymentPhase | None = None
    """Current phase of the ModelDeployment."""
    conditions: Conditions | None = None
    """Conditions of the ModelDeployment: Ready, Reconciling, Stalled, RolledBack and NewerVersionRejected."""
    active_version: VersionNumber | None = None
    """Number of the version that serves."""
    active_digest: Digest | None = None
    """SHA-256 digest of the manifest of the version."""
    traffic: Annotated[list[TrafficShare], Field(max_length=32)] | None = None
    """Versions that have pods, and the current share of the requests of each version."""
    previous_version: VersionNumber | None = None
    """Number of the version that the verb rollback/previous serves again."""
    candidate_version: VersionNumber | None = None
    """Number of the version that will take over when it is ready."""
    candidate_since: Timestamp | None = None
    """Time when the progress deadline of the candidate last started. An edit of spec.serving restarts it."""
    candidate_reason: CandidateReason | None = None
    """Why the version is the candidate. Promoted: the verb promote was used."""
    candidate_by: Annotated[str, Field(max_length=256)] | None = None
    """Who selected the candidate: policy, pin, or the field manager that wrote the annotation with the verb."""
    active_trained_time: Timestamp | None = None
    """Time when the ModelVersion of the active version was created."""
    promoted_time: Timestamp | None = None
    """Time when the active version took over."""
    rejected_versions: Annotated[list[RejectedVersion], Field(max_length=32)] | None = None
    """Versions that failed, were aborted or were rolled back. The policy does not select them again until the verb
    retry."""
    hold: Hold | None = None
    """Why the policy currently selects no newer version."""
    last_handled_action: Annotated[str, Field(max_length=256)] | None = None
    """Value of the annotation trainyard.dev/requested-action that was handled last."""
    last_action_message: Message | None = None
    """Result of this action."""
    used_tokens: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=32)] | None = None
    """Tokens of the newest actions. The last token is at the end. If an annotation with a used token is applied again,
    for example from Git, its action is not repeated."""
    history: Annotated[list[HistoryEntry], Field(max_length=50)] | None = None
    """Versions that served or were candidates. The newest entry is first."""
    replicas: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """Number of pods of the active version. The subresource scale reports it."""
    ready_replicas: Count | None = None
    """Number of ready pods of the active version."""
    selector: Annotated[str, Field(max_length=512)] | None = None
    """Label selector of the pods of the active version. An autoscaler uses it to measure them."""
    url: Annotated[str, Field(max_length=512)] | None = None
    """URL for requests inside the cluster."""
