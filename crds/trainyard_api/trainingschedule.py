"""TrainingSchedule: TrainingJobs on a cron schedule or when their template changes, with the fields of a CronJob."""

import re
from typing import Annotated, Literal

from pydantic import Field

from trainyard_api.base import (
    MAX_INTEGER,
    MAX_SECONDS,
    ApiModel,
    Count,
    Generation,
    ObjectName,
    Rule,
    Timestamp,
    is_set,
)
from trainyard_api.conditions import Conditions
from trainyard_api.pod import AnnotationMap, LabelMap
from trainyard_api.trainingjob import TrainingJobSpec

SchedulePhase = Literal["Active", "Suspended", "Stalled"]

_MACRO = "@(yearly|annually|monthly|weekly|daily|midnight|hourly)"
_FIELD = "[0-9A-Za-z*?/,-]+"
_LINE = rf"^[ \t]*({_MACRO}|{_FIELD}([ \t]+{_FIELD}){{4}})[ \t]*$"
"""The syntax of a cron expression. The operator validates its numbers, and reports errors in the status with a
reason."""


class TemplateMetadata(ApiModel):
    """Labels and annotations of the TrainingJobs. The operator sets their names."""

    labels: LabelMap | None = None
    """Labels of each TrainingJob."""
    annotations: AnnotationMap | None = None
    """Annotations of each TrainingJob."""


class JobTemplate(ApiModel):
    """The template of the TrainingJobs that a schedule creates."""

    metadata: TemplateMetadata | None = None
    """Labels and annotations of the TrainingJobs. The operator sets their names."""
    spec: TrainingJobSpec
    """Spec of the TrainingJobs. modelName defaults to the name of the schedule, so all runs train the same model."""

    rules = (
        Rule(
            "!self.spec.cancel",
            "a template must not cancel: to stop the schedule, set spec.suspend",
            lambda m: not m.spec.cancel,
            field="spec.cancel",
        ),
    )


class TrainingScheduleSpec(ApiModel):
    """When to train, and what. The first seven fields have the same meaning as in a CronJob."""

    schedule: Annotated[str, Field(max_length=128)] | None = None
    """Cron expression with five fields (minute hour day-of-month month day-of-week), or a macro such as @daily.
    Required unless runOnChange is true."""
    time_zone: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """IANA time zone of the schedule, such as Europe/Paris. Default: UTC."""
    starting_deadline_seconds: Annotated[int, Field(ge=0, le=MAX_SECONDS)] | None = None
    """Deadline in seconds for starting a run that missed its scheduled time. Default: no deadline."""
    concurrency_policy: Literal["Allow", "Forbid", "Replace"] = "Allow"
    """What a due run does if another run has not ended. Allow: it starts. Forbid: it waits for the other run. Replace:
    it deletes the other run."""
    suspend: bool = False
    """If true, no further runs start automatically. Runs that have started continue."""
    successful_jobs_history_limit: Annotated[int, Field(ge=0, le=1000)] = 3
    """Number of succeeded TrainingJobs to keep. Their models are always kept."""
    failed_jobs_history_limit: Annotated[int, Field(ge=0, le=1000)] = 1
    """Number of failed and cancelled TrainingJobs to keep."""
    stop_after_failures: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Number of failed runs in a row after which the schedule stops. It continues when the template changes or a
    requested run succeeds. Default: never."""
    count_rejections: bool = False
    """Whether a run whose version is Rejected also counts as failed for stopAfterFailures."""
    run_on_change: bool = False
    """Whether a run also starts when the schedule is created, and once for each change of the template."""
    template: JobTemplate
    """Template of the TrainingJobs that the schedule creates."""

    rules = (
        Rule(
            "has(self.schedule) || self.runOnChange",
            "a TrainingSchedule needs schedule, or runOnChange: true, or both",
            lambda m: is_set(m, "schedule") or m.run_on_change,
            field="schedule",
        ),
        Rule(
            "!has(self.schedule) || !self.schedule.contains('TZ=')",
            "schedule must not set a time zone: remove TZ= and set timeZone",
            lambda m: m.schedule is None or "TZ=" not in m.schedule,
            field="schedule",
        ),
        Rule(
            f"!has(self.schedule) || self.schedule.contains('TZ=') || self.schedule.matches(r'{_LINE}')",
            "schedule needs five fields (minute hour day-of-month month day-of-week), such as '30 2 * * 1-5', "
            "or one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually",
            lambda m: m.schedule is None or "TZ=" in m.schedule or re.fullmatch(_LINE, m.schedule) is not None,
            field="schedule",
        ),
        Rule(
            "!self.countRejections || has(self.stopAfterFailures)",
            "countRejections needs stopAfterFailures: a rejection counts only for this limit",
            lambda m: not m.count_rejections or is_set(m, "stop_after_failures"),
            field="countRejections",
        ),
    )


class ActiveRun(ApiModel):
    """A TrainingJob of the schedule that has not ended, or whose version is not judged yet."""

    name: ObjectName
    """Name of the TrainingJob."""
    uid: Annotated[str, Field(min_length=1, max_length=64)]
    """UID of the TrainingJob."""


class TrainingScheduleStatus(ApiModel):
    """The observed state of the schedule. Only the operator writes it."""

    observed_generation: Generation = -1
    """The metadata.generation that this status describes. -1: the operator has not observed the object yet."""
    phase: SchedulePhase | None = None
    """Current phase of the schedule. Stalled: you must act before the schedule can continue."""
    conditions: Conditions | None = None
    """Conditions of the schedule: Ready, Reconciling, Stalled and ModelAccepted."""
    active: Annotated[list[ActiveRun], Field(max_length=32)] | None = None
    """The newest runs that have not ended."""
    active_count: Count | None = None
    """Number of runs that have not ended."""
    last_schedule_time: Timestamp | None = None
    """Scheduled time of the last run that started by the cron schedule."""
    next_schedule_time: Timestamp | None = None
    """First scheduled time for which a run was neither started nor given up. Not set while the schedule is
    suspended."""
    held_schedule_time: Timestamp | None = None
    """Set instead of nextScheduleTime while the schedule is suspended. When the schedule resumes, one run starts for
    all times from this time on, if its deadline allows it."""
    last_successful_time: Timestamp | None = None
    """Time when the last successful run ended."""
    missed: Count | None = None
    """Number of due runs that did not start: their deadline had passed, or only the latest of several due runs
    started."""
    consecutive_failures: Count | None = None
    """Number of failed runs in a row. stopAfterFailures limits it."""
    awaiting_verdict: Annotated[list[ActiveRun], Field(max_length=32)] | None = None
    """The newest successful runs whose version is not judged yet."""
    last_accepted_version: Annotated[int, Field(ge=1, le=MAX_INTEGER)] | None = None
    """Version that was Validated last among the versions that the runs created."""
    last_accepted_time: Timestamp | None = None
    """Time when this version was Validated."""
    consecutive_rejections: Count | None = None
    """Number of versions that were Rejected since lastAcceptedTime."""
    last_template_hash: Annotated[str, Field(max_length=64)] | None = None
    """Hash of the template that the schedule handled last."""
    last_handled_run_now: Annotated[str, Field(max_length=256)] | None = None
    """Value of the annotation trainyard.dev/run-now that was handled last."""
    last_run: ObjectName | None = None
    """Name of the TrainingJob that was created last."""
