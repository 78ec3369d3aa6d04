"""The fields of all batch kinds, that is, of kinds that run to completion: admission, retries, deadlines and stop.

TrainingJob and PredictionJob are batch kinds. ``core/batch`` of the operator implements the same life cycle for both.
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
    """How a job runs to completion, independent of what the job does."""

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
    """Image of the trainer. With framework Container, the image of your own container. Default: the image that the
    chart sets for the framework."""
    workers: Annotated[int, Field(ge=0, le=256)] = 0
    """Number of processes of the trainer in each pod. 0: as many as its CPU quota allows."""
    resources: Resources | None = None
    """Requests and limits of the trainer container. They override the defaults of the chart key by key."""
    accelerator: Accelerator | None = None
    """Device such as a GPU that each pod requests. Default: none."""
    priority: Priority = "Normal"
    """Priority in the queue. Within a priority, the namespace that holds the fewest slots comes first. Within a
    namespace, the oldest job comes first."""
    retry: Retry | None = None
    """How often and when a failed attempt is retried."""
    active_deadline_seconds: Annotated[int, Field(ge=1, le=MAX_SECONDS)] | None = None
    """Maximum total running time of all attempts in seconds. Time in the queue, between attempts and in suspension does
    not count. Default: no limit."""
    pending_deadline_seconds: Annotated[int, Field(ge=1, le=MAX_SECONDS)] | None = None
    """Maximum time in seconds of each wait for a start, in the queue and for the pods. If it has passed, the job fails.
    Default: no limit."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=MAX_SECONDS)] | None = None
    """Time in seconds after the end of the job after which its Jobs and pods are deleted. This object is not deleted.
    Default: never."""
    delete_seconds_after_finished: Annotated[int, Field(ge=0, le=MAX_SECONDS)] | None = None
    """Time in seconds after the end of the job after which this object is deleted. Omit this field if Git manages the
    object. Default: never."""
    suspend: bool = False
    """If true, the pods are stopped, and the job is suspended until this field is false."""
    cancel: bool = False
    """If true, the job is stopped permanently. This cannot be undone."""

    @property
    def pods(self) -> int:
        """Return the number of pods that share the work of an attempt."""
        return 1

    @property
    def uses_accelerator(self) -> bool:
        """Return whether the pods request the accelerator."""
        return self.accelerator is not None


class Metric(ApiModel):
    """A named finite number. It is text, because a custom resource has no portable floats."""

    name: MetricName
    """Name of the metric."""
    value: MetricValue
    """Value of the metric: a finite number as text."""


Metrics = Annotated[list[Metric], Field(max_length=64)]
Message = Annotated[str, Field(max_length=1024)]


class TrainerStatus(ApiModel):
    """The last progress that the trainer reported (KEP-2779). The operator adds the time and the sequence number."""

    progress_percentage: Annotated[int, Field(ge=0, le=100)] | None = None
    """Progress in percent."""
    estimated_remaining_seconds: Count | None = None
    """Time in seconds until the training ends, as estimated by the trainer."""
    stage: Annotated[str, Field(max_length=64)] | None = None
    """Current stage of the trainer, such as load or train."""
    message: Message | None = None
    """Message about the current stage."""
    metrics: Metrics | None = None
    """Current metrics."""
    last_updated_time: Timestamp | None = None
    """Time when the operator received the report."""
    sequence: Count | None = None
    """Sequence number of the report. A report never replaces one with a higher number."""


class Attempt(ApiModel):
    """One attempt: its Job and how it ended."""

    number: Annotated[int, Field(ge=1, le=MAX_INTEGER)]
    """Number of the attempt, starting from 1."""
    job_name: ObjectName
    """Name of the Job of the attempt."""
    reason: Annotated[str, Field(max_length=128)] | None = None
    """Reason for the end of the attempt, such as Completed, OOMKilled or Suspended."""
    exit_code: Annotated[int, Field(ge=0, le=255)] | None = None
    """Exit code of the container."""
    device: Annotated[str, Field(max_length=64)] | None = None
    """Device that the attempt requested: the resource of the accelerator, or cpu. Not set if the spec has no
    accelerator."""
    start: Timestamp | None = None
    """Time when the Job of the attempt started."""
    end: Timestamp | None = None
    """Time when the attempt ended."""


class BatchStatus(ApiModel):
    """The observed state of a job that runs to completion."""

    observed_generation: Generation = -1
    """The metadata.generation that this status describes. -1: the operator has not observed the object yet."""
    phase: Phase | None = None
    """Current phase of the job."""
    model_name: DnsLabel | None = None
    """Name of the model that the job trains or predicts with."""
    conditions: Conditions | None = None
    """Conditions of the job: Ready, Reconciling, Stalled, Complete, Failed and DeviceFallback."""
    queue_position: Count | None = None
    """Position among the jobs that wait in the namespace or for the same model, starting from 1. Positions above 10 are
    rounded up."""
    estimated_duration_seconds: Count | None = None
    """Estimated duration in seconds: the median of the last five successful jobs of the model with the same framework
    and mode."""
    attempts: Annotated[list[Attempt], Field(max_length=10)] | None = None
    """Attempts of the job. The newest attempt is last."""
    active_seconds: Count | None = None
    """Total running time in seconds of the attempts that have ended. activeDeadlineSeconds limits the running time."""
    evictions: Count | None = None
    """Number of pods that were evicted, preempted or drained, or that lost their node."""
    interrupted_time: Timestamp | None = None
    """Time when an attempt last lost its pod, for example by an eviction. pendingDeadlineSeconds and
    fallbackAfterSeconds restart at this time."""
    trainer_status: TrainerStatus | None = None
    """Last progress that the trainer reported."""
    start_time: Timestamp | None = None
    """Time when the first attempt started."""
    completion_time: Timestamp | None = None
    """Time when the job succeeded, failed or was cancelled."""
