"""TrainingSchedule: TrainingJobs by the clock or when their template changes; CronJob's fields and semantics."""

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
"""The shape of a cron line. Whether its numbers make sense is the operator's to say: in the status, with a reason."""


class TemplateMetadata(ApiModel):
    """Labels and annotations of the TrainingJobs; names are the schedule's."""

    labels: LabelMap | None = None
    """Labels of each TrainingJob."""
    annotations: AnnotationMap | None = None
    """Annotations of each TrainingJob."""


class JobTemplate(ApiModel):
    """The TrainingJobs that a schedule creates."""

    metadata: TemplateMetadata | None = None
    """Labels and annotations of the TrainingJobs; their names are the schedule's to choose."""
    spec: TrainingJobSpec
    """A job's spec; modelName defaults to the name of the schedule, so that all runs train one model."""

    rules = (
        Rule(
            "!self.spec.cancel",
            "a template must not cancel: to stop the schedule, set spec.suspend",
            lambda m: not m.spec.cancel,
            field="spec.cancel",
        ),
    )


class TrainingScheduleSpec(ApiModel):
    """When to train what. The first seven fields mean what they mean in a CronJob."""

    schedule: Annotated[str, Field(max_length=128)] | None = None
    """Five fields of cron (minute hour day-of-month month day-of-week) or a macro such as @daily."""
    time_zone: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """The zone of the schedule by its IANA name, e.g. Europe/Paris; default: UTC."""
    starting_deadline_seconds: Annotated[int, Field(ge=0, le=MAX_SECONDS)] | None = None
    """How many seconds late a missed run may still start; default: at any time."""
    concurrency_policy: Literal["Allow", "Forbid", "Replace"] = "Allow"
    """What a run that is due does when another one has not ended: start all the same, wait for it, or delete it."""
    suspend: bool = False
    """No further runs until this is false again; runs that began go on."""
    successful_jobs_history_limit: Annotated[int, Field(ge=0, le=1000)] = 3
    """Succeeded TrainingJobs that are kept; their models stay in any case."""
    failed_jobs_history_limit: Annotated[int, Field(ge=0, le=1000)] = 1
    """Failed and cancelled TrainingJobs that are kept."""
    stop_after_failures: Annotated[int, Field(ge=1, le=1000)] | None = None
    """After so many failed runs in a row, no more until the template changes or a run by hand succeeds; default:
    never."""
    count_rejections: bool = False
    """A run whose version was refused by its gates counts as failed, too, for stopAfterFailures."""
    run_on_change: bool = False
    """Also run once whenever the template changes, and at creation."""
    template: JobTemplate
    """The TrainingJobs that the schedule creates."""

    rules = (
        Rule(
            "has(self.schedule) || self.runOnChange",
            "a TrainingSchedule needs schedule, or runOnChange: true, or both",
            lambda m: is_set(m, "schedule") or m.run_on_change,
            field="schedule",
        ),
        Rule(
            "!has(self.schedule) || !self.schedule.contains('TZ=')",
            "schedule must not set a time zone: leave TZ= out and name the zone in timeZone",
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
            "countRejections needs stopAfterFailures: it says what counts as a failure",
            lambda m: not m.count_rejections or is_set(m, "stop_after_failures"),
            field="countRejections",
        ),
    )


class ActiveRun(ApiModel):
    """A TrainingJob of the schedule that has not ended, or whose version is not judged yet."""

    name: ObjectName
    """Name of the TrainingJob."""
    uid: Annotated[str, Field(min_length=1, max_length=64)]
    """Its uid."""


class TrainingScheduleStatus(ApiModel):
    """What the operator observed. Written by the operator alone."""

    observed_generation: Generation = -1
    """The metadata.generation that this status tells of; -1 before the operator saw the object."""
    phase: SchedulePhase | None = None
    """Active, Suspended, or Stalled where only you can help."""
    conditions: Conditions | None = None
    """Ready, Reconciling, Stalled and ModelAccepted, each with a reason and a sentence."""
    active: Annotated[list[ActiveRun], Field(max_length=32)] | None = None
    """The newest of the runs that have not ended."""
    active_count: Count | None = None
    """How many runs have not ended."""
    last_schedule_time: Timestamp | None = None
    """The nominal time of the last run by the clock."""
    next_schedule_time: Timestamp | None = None
    """The first nominal time that is neither started nor given up; absent while suspended."""
    held_schedule_time: Timestamp | None = None
    """While suspended, in its place: from here on one run is caught up with."""
    last_successful_time: Timestamp | None = None
    """When the last run that succeeded ended."""
    missed: Count | None = None
    """Runs that were due and did not start: too late, or forbidden by one that still ran."""
    consecutive_failures: Count | None = None
    """Failed runs in a row; stopAfterFailures bounds them."""
    awaiting_verdict: Annotated[list[ActiveRun], Field(max_length=32)] | None = None
    """The newest of the runs that succeeded and whose version is not judged yet."""
    last_accepted_version: Annotated[int, Field(ge=1, le=MAX_INTEGER)] | None = None
    """The version that was Validated last, of those that its runs made."""
    last_accepted_time: Timestamp | None = None
    """When that version was Validated."""
    consecutive_rejections: Count | None = None
    """Versions that were Rejected since lastAcceptedTime."""
    last_template_hash: Annotated[str, Field(max_length=64)] | None = None
    """Hash of the template that runOnChange acted upon last."""
    last_handled_run_now: Annotated[str, Field(max_length=256)] | None = None
    """The annotation trainyard.dev/run-now that was acted upon last."""
    last_run: ObjectName | None = None
    """The TrainingJob created last."""
