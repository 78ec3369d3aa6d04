"""What all kinds have that run to an end: how they are admitted, retried, limited and stopped.

A TrainingJob is one of them. The operator's ``core/batch`` leads all of them through the same life.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from trainyard_api.base import (
    MAX_INTEGER,
    MAX_SECONDS,
    ApiModel,
    Count,
    DnsLabel,
    Generation,
    MetricName,
    MetricValue,
    ObjectName,
    Timestamp,
)
from trainyard_api.conditions import Conditions
from trainyard_api.pod import PodOptions, Resources
from trainyard_api.training import Accelerator, Priority, Retry

Phase = Literal["Pending", "Queued", "Starting", "Running", "Retrying", "Suspended", "Succeeded", "Failed", "Cancelled"]
TERMINAL_PHASES: frozenset[Phase] = frozenset({"Succeeded", "Failed", "Cancelled"})


class BatchSpec(PodOptions):
    """How something runs to its end, whatever it does."""

    MUTABLE: ClassVar[frozenset[str]] = frozenset(
        {
            "priority",
            "retry",
            "active_deadline_seconds",
            "pending_deadline_seconds",
            "ttl_seconds_after_finished",
            "delete_seconds_after_finished",
            "suspend",
            "cancel",
        }
    )

    image: Annotated[str, Field(max_length=512)] | None = None
    """The image of the trainer; default: by framework, from the chart."""
    workers: Annotated[int, Field(ge=0, le=256)] = 0
    """How many processes the trainer has; 0: as many as its CPU quota allows."""
    shards: Annotated[int, Field(ge=1, le=1000)] = 1
    """How many pods share the series of one job."""
    resources: Resources | None = None
    """Requests and limits of the trainer container, merged over the chart's defaults key by key."""
    accelerator: Accelerator | None = None
    """A device beside the CPU; default: none."""
    priority: Priority = "Normal"
    """Which waiting job starts first; then the older one."""
    retry: Retry | None = None
    """How often a failed training is tried again, and when."""
    active_deadline_seconds: Annotated[int, Field(ge=1, le=MAX_SECONDS)] | None = None
    """Seconds that all attempts together may run, without waiting and suspension; default: no limit."""
    pending_deadline_seconds: Annotated[int, Field(ge=1, le=MAX_SECONDS)] | None = None
    """Seconds that each wait for a start may take; default: no limit."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=MAX_SECONDS)] | None = None
    """Seconds after the end when the Jobs and pods are deleted; the TrainingJob itself stays. Default: never."""
    delete_seconds_after_finished: Annotated[int, Field(ge=0, le=MAX_SECONDS)] | None = None
    """Seconds after the end when the TrainingJob itself is deleted; default: never. Leave it out where Git holds it."""
    suspend: bool = False
    """Stop the pods and wait until this is false again."""
    cancel: bool = False
    """Stop for good; it cannot be taken back."""

    @property
    def uses_accelerator(self) -> bool:
        """Tell whether its pods ask for the device beside the CPU."""
        return self.accelerator is not None


class Metric(ApiModel):
    """A named finite number; text, because a custom resource has no portable floats."""

    name: MetricName
    """Name of the metric."""
    value: MetricValue
    """Its value: a finite number as text."""


Metrics = Annotated[list[Metric], Field(max_length=64)]
Message = Annotated[str, Field(max_length=1024)]


class TrainerStatus(ApiModel):
    """The last progress the trainer reported, with the operator's clock and count (KEP-2779)."""

    progress_percentage: Annotated[int, Field(ge=0, le=100)] | None = None
    """How much is done, in percent."""
    estimated_remaining_seconds: Count | None = None
    """Seconds until the training ends, as the trainer estimates."""
    stage: Annotated[str, Field(max_length=64)] | None = None
    """What the trainer does now, such as load or train."""
    message: Message | None = None
    """The same in a sentence."""
    metrics: Metrics | None = None
    """The metrics of this moment."""
    last_updated_time: Timestamp | None = None
    """When the report came, by the operator's clock."""
    sequence: Count | None = None
    """How many reports came; an older one never replaces a newer one."""


class Attempt(ApiModel):
    """One try: a child Job and how it ended."""

    number: Annotated[int, Field(ge=1, le=MAX_INTEGER)]
    """Which attempt it is, from 1."""
    job_name: ObjectName
    """Name of its Job."""
    reason: Annotated[str, Field(max_length=128)] | None = None
    """How it ended, such as Completed, OOMKilled or Suspended."""
    exit_code: Annotated[int, Field(ge=0, le=255)] | None = None
    """Exit code of its container."""
    device: Annotated[str, Field(max_length=64)] | None = None
    """With an accelerator: the device that it asked for, cpu or the resource."""
    start: Timestamp | None = None
    """When its Job started."""
    end: Timestamp | None = None
    """When its Job ended."""


class BatchStatus(ApiModel):
    """What the operator observed of something that runs to its end."""

    observed_generation: Generation = -1
    """The metadata.generation that this status tells of; -1 before the operator saw the object."""
    phase: Phase | None = None
    """Where the job stands."""
    model_name: DnsLabel | None = None
    """The model whose next version the job makes."""
    conditions: Conditions | None = None
    """Ready, Reconciling, Stalled, Complete, Failed and DeviceFallback, each with a reason and a sentence."""
    queue_position: Count | None = None
    """Its place among all that wait for the same, from 1; exact up to 10."""
    estimated_duration_seconds: Count | None = None
    """Seconds that the job may take: the median of the model's last runs."""
    attempts: Annotated[list[Attempt], Field(max_length=10)] | None = None
    """The attempts, the newest at the end."""
    active_seconds: Count | None = None
    """Running time in seconds of the attempts that are over; activeDeadlineSeconds bounds it."""
    evictions: Count | None = None
    """How often a pod was evicted, preempted or drained, or lost its node."""
    interrupted_time: Timestamp | None = None
    """When an attempt that ran last lost its pod; pendingDeadlineSeconds and fallbackAfterSeconds count from here."""
    trainer_status: TrainerStatus | None = None
    """The last progress that the trainer reported."""
    start_time: Timestamp | None = None
    """When the first attempt was started."""
    completion_time: Timestamp | None = None
    """When the job succeeded, failed or was cancelled."""
