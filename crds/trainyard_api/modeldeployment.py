"""ModelDeployment: which version of a model serves, how it changes, and how it goes back."""

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
    """Which version is wanted."""

    policy: Literal["LatestValidated", "Pinned"] = "LatestValidated"
    """LatestValidated: the newest version that its gates let through; Pinned: the version of pin."""
    pin: Annotated[str, Field(max_length=71)] = ""
    """With Pinned: the number of a version in quotes, or the digest of its manifest."""

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
    """BlueGreen: new pods become ready with the right digest, then all requests go to them."""
    progress_deadline_seconds: Annotated[int, Field(ge=1, le=86400)] = 600
    """Seconds that the new pods have to become ready."""
    auto_promote: bool = True
    """Take over as soon as the new pods are ready; false: wait for the verb promote."""
    keep_warm_seconds: Annotated[int, Field(ge=0, le=MAX_SECONDS)] = 900
    """Seconds that the pods of the version before stay, so that going back takes no start."""


class Rollback(ApiModel):
    """When and how to go back."""

    automatic: bool = True
    """Go back without being asked when the version that took over last fails while the one before is still warm."""
    after_manual: Literal["HoldUntilNewer", "HoldUntilReleased"] = "HoldUntilNewer"
    """After a rollback by hand: wait for a version newer than the one left, or for the verb release."""


class History(ApiModel):
    """What is remembered."""

    limit: Annotated[int, Field(ge=1, le=50)] = 10
    """How many entries status.history keeps."""


class Retention(ApiModel):
    """Which versions of the model are kept as objects; their files stay in any case. Default: as the chart says."""

    validated: Annotated[int, Field(ge=0, le=10_000)] | None = None
    """The newest Validated versions; 0: all."""
    rejected: Annotated[int, Field(ge=0, le=10_000)] | None = None
    """The newest versions that are Rejected or Quarantined; 0: all."""
    max_age_days: Annotated[int, Field(ge=0, le=36_500)] | None = None
    """Older versions are not kept, however few there are; 0: at any age."""
    keep: Annotated[list[VersionNumber], Field(max_length=100)] | None = None
    """Versions that stay in any case, by number."""


class Serving(PodOptions):
    """The pods that serve."""

    replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    """Pods of each version. kubectl scale and a HorizontalPodAutoscaler change it: leave it out of Git then."""
    image: Annotated[str, Field(max_length=512)] | None = None
    """The image of the inference server; default: from the chart."""
    resources: Resources | None = None
    """Requests and limits of the server container, merged over the chart's defaults key by key."""


class ModelDeploymentSpec(ApiModel):
    """The policy. Which version serves at the moment is in the status."""

    model_name: DnsLabel
    """The logical model, as TrainingJobs name it; one ModelDeployment per model and namespace."""
    version: VersionPolicy | None = None
    """Which version is wanted; default: the newest validated one."""
    rollout: Rollout | None = None
    """How a new version takes over."""
    rollback: Rollback | None = None
    """When and how to go back."""
    history: History | None = None
    """What the status remembers."""
    retention: Retention | None = None
    """Which versions of the model are kept as objects; default: as the chart says."""
    serving: Annotated[Serving | None, Field(json_schema_extra={"default": {}})] = None
    """The pods that serve."""

    rules = (
        Rule(
            "self.modelName == oldSelf.modelName",
            "spec.modelName is immutable: create a new ModelDeployment",
            field="modelName",
        ),
    )


class RejectedVersion(ApiModel):
    """A version that was rolled back or never became ready: the policy does not take it again."""

    version: VersionNumber
    """Its number."""
    reason: Annotated[str, Field(min_length=1, max_length=128)]
    """Why, in one word."""
    message: Message = ""
    """Why, in a sentence."""
    time: Timestamp
    """When it was rejected."""


class Hold(ApiModel):
    """Why the policy takes no newer version at the moment."""

    reason: Literal["ManualRollback", "Held"]
    """ManualRollback: somebody went back; Held: somebody gave the verb hold."""
    above: VersionNumber | None = None
    """A version newer than this one ends the hold by itself; none: only the verb release does."""
    since: Timestamp
    """When the hold began."""
    by: Annotated[str, Field(max_length=256)] = ""
    """Who asked for it: the manager of the annotation."""


class HistoryEntry(ApiModel):
    """One version that served, or was to serve, and what became of it."""

    version: VersionNumber
    """Number of the version."""
    digest: Digest | None = None
    """SHA-256 of its manifest."""
    from_: Annotated[Timestamp, Field(alias="from")]
    """When it took over, or became the candidate."""
    to: Timestamp | None = None
    """When that ended; none: it has not ended."""
    outcome: Literal["Active", "Replaced", "RolledBack", "Rejected"]
    """What became of it."""
    by: Annotated[str, Field(max_length=256)] = ""
    """Who brought it to this outcome: policy, pin, operator, or the manager of the annotation that held the verb."""
    reason: Message = ""
    """Why, in a sentence."""


class TrafficShare(ApiModel):
    """What one version gets of the requests."""

    version: VersionNumber
    """Number of the version."""
    weight: Annotated[int, Field(ge=0, le=100)]
    """Percent of the requests."""
    role: TrafficRole
    """Live: it answers requests; Warm: its pods are there and get none."""


class ModelDeploymentStatus(ApiModel):
    """What the operator observed and decided. Written by the operator alone."""

    observed_generation: Generation = -1
    """The metadata.generation that this status tells of; -1 before the operator saw the object."""
    phase: DeploymentPhase | None = None
    """Where the deployment stands."""
    conditions: Conditions | None = None
    """Ready, Reconciling, Stalled, RolledBack and NewerVersionRejected, each with a reason and a sentence."""
    active_version: VersionNumber | None = None
    """The version that serves."""
    active_digest: Digest | None = None
    """SHA-256 of its manifest."""
    traffic: Annotated[list[TrafficShare], Field(max_length=32)] | None = None
    """Which versions have pods, and which share of the requests goes to each at the moment."""
    previous_version: VersionNumber | None = None
    """Where the verb rollback/previous goes."""
    candidate_version: VersionNumber | None = None
    """The version that is about to take over."""
    candidate_since: Timestamp | None = None
    """When it became the candidate."""
    candidate_reason: CandidateReason | None = None
    """What made it the candidate; Promoted once the verb promote was given."""
    candidate_by: Annotated[str, Field(max_length=256)] | None = None
    """Who asked for it, where somebody did: the manager of the annotation."""
    active_trained_time: Timestamp | None = None
    """When the active version was made: how old what serves is."""
    promoted_time: Timestamp | None = None
    """When the active version took over."""
    rejected_versions: Annotated[list[RejectedVersion], Field(max_length=32)] | None = None
    """Versions that were rolled back or never became ready: the policy does not take them again."""
    hold: Hold | None = None
    """Why the policy takes no newer version at the moment."""
    last_handled_action: Annotated[str, Field(max_length=256)] | None = None
    """The annotation trainyard.dev/requested-action that was acted upon last."""
    last_action_message: Message | None = None
    """What came of that action."""
    used_tokens: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=32)] | None = None
    """Of the newest actions, the last one's at the end: a text that comes back, from Git say, is no new wish."""
    history: Annotated[list[HistoryEntry], Field(max_length=50)] | None = None
    """Newest first."""
    replicas: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """Pods of the active version: as many as the subresource scale can count."""
    ready_replicas: Count | None = None
    """Ready pods of the active version."""
    selector: Annotated[str, Field(max_length=512)] | None = None
    """Selects the pods of the active version: an autoscaler measures them."""
    url: Annotated[str, Field(max_length=512)] | None = None
    """Where requests go, inside the cluster."""
