"""The life of a TrainingJob: a straight list of questions, in the order of the table in docs/trainingjob.md.

:func:`plan` is total and deterministic: any observed state gives a plan, the same state the same plan, and at the fixed
point an empty one. Status follows from facts, never from what the plan is about to do.
"""

from dataclasses import dataclass, replace
from typing import Any

from trainyard_api.training import Retry
from trainyard_api.trainingjob import (
    Attempt,
    Metric,
    Phase,
    Result,
    TrainerStatus,
    TrainingJobSpec,
    VersionRef,
)
from trainyard_api.wire import TrainingResult
from trainyard_operator.core import attempts, outcome, progress, render
from trainyard_operator.core.conditions import conditions_for
from trainyard_operator.core.naming import model_name, version_name
from trainyard_operator.core.objects import ModelVersionView
from trainyard_operator.core.observed import Fact, JobView, Need, Observed, Refusal
from trainyard_operator.core.plan import NOTHING, Create, Delete, EventNote, Plan
from trainyard_operator.core.resolve import InvalidSpecError, parse_spec, refuse_unsupported
from trainyard_operator.core.times import to_rfc3339

FIRST_LOOK_SECONDS = 30.0
"""A pod that has not started after this long is looked at, then at doubling intervals."""
LAST_LOOK_SECONDS = 300.0
REFUSED_SECONDS = 30.0


@dataclass(frozen=True)
class Transition:
    """Where a job goes: its phase with a reason and a sentence, and the fields of the status that change with it."""

    phase: Phase
    reason: str
    message: str
    changes: dict[str, Any]


def plan(observed: Observed) -> Plan:  # noqa: C901, PLR0911 - a list of questions, one line each
    """Return the next step for one TrainingJob."""
    job = observed.job
    if job.deleting:
        return NOTHING
    if job.finished:
        return _keep_finished(observed)
    current = attempts.current_child(observed)
    last = attempts.last_attempt(observed)
    try:
        spec = parse_spec(job)
    except InvalidSpecError as error:
        return _stop(observed, Transition("Failed", "InvalidSpec", str(error), {}))
    if spec.cancel and not (current is not None and current.complete):
        return _stop(observed, Transition("Cancelled", "Cancelled", "cancelled by spec.cancel", {}))
    if current is None:
        if last is None:
            return _start(observed, spec, 1)
        if last.end is None:
            return _child_missing(observed, spec, last)
        return _retry(observed, spec, last)
    if last is not None and last.number == current.attempt and last.end is not None:
        return _retry(observed, spec, last)
    if current.complete:
        return _complete(observed, spec, current)
    if current.failed:
        return _attempt_failed(observed, spec, current)
    return _underway(observed, current)


# ---- the questions, in order -----------------------------------------------------------------------------------------


def _keep_finished(observed: Observed) -> Plan:
    """Terminal is sticky: a later edit of the spec is acknowledged and changes nothing.

    A Job that still lives was created by a write whose answer was lost, or by another replica: nobody waits for it.
    """
    job = observed.job
    doomed = _unfinished_jobs(observed)
    if doomed:
        return Plan(actions=doomed)
    if job.status.observed_generation == job.generation:
        return NOTHING
    return Plan(status=job.status.model_copy(update={"observed_generation": job.generation}))


def _start(observed: Observed, spec: TrainingJobSpec, attempt: int) -> Plan:
    """Admit and create the attempt's Job.

    This is the one door to a running attempt: whoever may hold a job back is asked here, and what this release or the
    operator's configuration cannot run is refused here, so that neither touches an attempt that already runs.
    """
    if observed.refused is not None:
        return _refused(observed, observed.refused)
    killed = sum(entry.reason == outcome.OOM_KILLED for entry in observed.job.status.attempts or ())
    try:
        refuse_unsupported(spec)
        body = render.attempt_job(
            observed.job, spec, attempt, config=observed.config, ca=observed.ca, out_of_memory=killed
        )
    except InvalidSpecError as error:
        return _finish(observed, Transition("Failed", "InvalidSpec", str(error), {}))
    return Plan(actions=(Create("Job", body),))


def _refused(observed: Observed, refusal: Refusal) -> Plan:
    """The API server does not take the Job: wrong for good, or not now (a quota, a policy, a name in use)."""
    if refusal.permanent:
        return _finish(observed, Transition("Failed", "InvalidSpec", refusal.message, {}))
    phase: Phase = "Retrying" if observed.job.status.attempts else "Pending"
    return _report(observed, Transition(phase, "JobRefused", refusal.message, {}), requeue_after=REFUSED_SECONDS)


def _stop(observed: Observed, transition: Transition) -> Plan:
    """Stop what runs; the end is told only once no pod is left."""
    doomed = _unfinished_jobs(observed)
    if doomed:
        return Plan(actions=doomed)
    if any(not child.finished for child in observed.children):
        return NOTHING
    changes = {**attempts.with_last_closed(observed, transition.reason), **_last_progress(observed)}
    return _finish(observed, replace(transition, changes=changes))


def _unfinished_jobs(observed: Observed) -> tuple[Delete, ...]:
    """Return the deletion of every Job that runs and is not being deleted yet."""
    return tuple(
        Delete("Job", child.name, child.uid) for child in observed.children if not (child.finished or child.deleting)
    )


def _underway(observed: Observed, child: JobView) -> Plan:
    """The Job exists and has not ended: Starting until a pod is ready or a report arrived, then Running."""
    job, reported = observed.job, observed.reported
    fresh = not attempts.is_known(job.status, child)
    was_running = job.status.phase == "Running" and not fresh
    running = was_running or child.ready > 0 or reported is not None
    changes: dict[str, Any] = {"attempts": attempts.with_child(observed, child, running=running)}
    events: tuple[EventNote, ...] = ()
    if fresh:
        changes["trainer_status"] = None  # the last attempt's progress is not this one's
        events = (EventNote("Normal", "AttemptStarted", f"Created Job {child.name}", f"start-{child.attempt}"),)
    if not running:
        return _starting(observed, child, changes, events)
    stored = None if fresh else job.status.trainer_status
    requeue: float | None = None
    if reported is not None and progress.newer(stored, reported):
        requeue = progress.seconds_until_due(stored, reported, observed.now)
        if requeue == 0 or job.status.phase != "Running":
            changes["trainer_status"] = reported.model_copy(update={"last_updated_time": to_rfc3339(observed.now)})
            requeue = None
    if job.status.start_time is None:
        changes["start_time"] = to_rfc3339(child.start or child.created)
    message = f"attempt {child.attempt} is running in Job {child.name}"
    return _report(observed, Transition("Running", "Running", message, changes), events=events, requeue_after=requeue)


def _starting(observed: Observed, child: JobView, changes: dict[str, Any], events: tuple[EventNote, ...]) -> Plan:
    """No pod is ready yet; after a while say why."""
    waited = (observed.now - child.created).total_seconds()
    message = f"waiting for a pod of Job {child.name}"
    if waited >= FIRST_LOOK_SECONDS:
        pods = observed.pods.get(child.name)
        if pods is None:
            return Plan(needs=(Need(Fact.PODS, child.name),))
        reasons = [f"pod {pod.name}: {pod.waiting}" for pod in pods if pod.waiting]
        message = "; ".join([message, *reasons[:1]])
    look_again = min(max(FIRST_LOOK_SECONDS - waited, waited, 1.0), LAST_LOOK_SECONDS)
    transition = Transition("Starting", "Starting", message, changes)
    return _report(observed, transition, events=events, requeue_after=look_again)


def _complete(observed: Observed, spec: TrainingJobSpec, child: JobView) -> Plan:
    """The Job is complete: read the result, make its version, then call it Succeeded."""
    pods = observed.pods.get(child.name)
    if pods is None:
        return Plan(needs=(Need(Fact.PODS, child.name),))
    result = outcome.success_of(pods)
    if isinstance(result, str):
        failure = outcome.Failure(outcome.RESULT_MISSING, result, retryable=False, exit_code=0, end=child.end)
        return _failed(observed, child.attempt, child, failure)
    return _register(observed, spec, child, result)


def _register(observed: Observed, spec: TrainingJobSpec, child: JobView, result: TrainingResult) -> Plan:
    """The result is read: make its ModelVersion, then end."""
    if result.model_version is None:
        raise AssertionError("a Succeeded result always names its version: TrainingResult checks it")
    model, number = model_name(observed.job), result.model_version.version
    name = version_name(model, number)
    if name not in observed.versions:
        return Plan(needs=(Need(Fact.VERSION, name),))
    version = observed.versions[name]
    if version is None and observed.refused is not None:
        return _version_refused(observed, child, observed.refused)
    if version is None:
        return Plan(actions=(Create("ModelVersion", render.model_version(observed.job, child, model, result)),))
    if version.job_uid != observed.job.uid:
        return _failed(observed, child.attempt, child, _version_taken(observed, version))
    return _succeeded(observed, spec, child, result, VersionRef(name=name, version=number))


def _version_refused(observed: Observed, child: JobView, refusal: Refusal) -> Plan:
    """The model is trained and stored, but its ModelVersion cannot be made; the artifact stays where it is."""
    if refusal.permanent:
        failure = outcome.Failure("VersionRefused", refusal.message, retryable=False, exit_code=0, end=child.end)
        return _failed(observed, child.attempt, child, failure)
    transition = Transition("Running", "VersionRefused", refusal.message, {})
    return _report(observed, transition, requeue_after=REFUSED_SECONDS)


def _attempt_failed(observed: Observed, spec: TrainingJobSpec, child: JobView) -> Plan:
    """The Job failed: explain it from its pods, then try again or give up."""
    pods = observed.pods.get(child.name)
    if pods is None:
        return Plan(needs=(Need(Fact.PODS, child.name),))
    return _after_failure(observed, spec, child.attempt, child, outcome.failure_of(child, pods))


def _child_missing(observed: Observed, spec: TrainingJobSpec, last: Attempt) -> Plan:
    """The Job of a running attempt is not known: really deleted (that counts, or it would be made again for ever)?

    Two watches keep no order between them, so the status of another replica may be seen before the Job it speaks of.
    """
    if last.job_name not in observed.missing:
        return Plan(needs=(Need(Fact.JOB, last.job_name),))
    message = f"Job {last.job_name} was deleted while attempt {last.number} ran"
    failure = outcome.Failure(outcome.CHILD_DELETED, message, retryable=True, end=observed.now)
    return _after_failure(observed, spec, last.number, None, failure)


def _retry(observed: Observed, spec: TrainingJobSpec, last: Attempt) -> Plan:
    """An attempt failed and another is due: wait for the old pods and the back-off, then create its Job."""
    if any(child.active or child.terminating for child in observed.children):
        return NOTHING
    wait = attempts.backoff_left(spec.retry or Retry(), last, observed)
    if wait > 0:
        return Plan(requeue_after=wait)
    return _start(observed, spec, last.number + 1)


# ---- what follows from an end ----------------------------------------------------------------------------------------


def _after_failure(
    observed: Observed, spec: TrainingJobSpec, number: int, child: JobView | None, failure: outcome.Failure
) -> Plan:
    limit = (spec.retry or Retry()).max_attempts
    if not failure.retryable:
        return _failed(observed, number, child, failure)
    if number >= limit:
        last = f"attempt {number} of {limit} failed: {failure.message}"
        return _failed(observed, number, child, replace(failure, message=last))
    message = f"attempt {number} of {limit} failed ({failure.reason}) and is tried again: {failure.message}"
    changes = _ended(observed, number, child, failure)
    event = EventNote("Warning", "AttemptFailed", message, f"attempt-{number}")
    return _report(observed, Transition("Retrying", failure.reason, message, changes), events=(event,))


def _failed(observed: Observed, number: int, child: JobView | None, failure: outcome.Failure) -> Plan:
    changes = _ended(observed, number, child, failure)
    return _finish(observed, Transition("Failed", failure.reason, failure.message, changes))


def _ended(observed: Observed, number: int, child: JobView | None, failure: outcome.Failure) -> dict[str, Any]:
    """Return what changes with a failed attempt: its entry, and the last progress it told."""
    return {"attempts": attempts.with_end(observed, number, child, failure), **_last_progress(observed)}


def _last_progress(observed: Observed) -> dict[str, Any]:
    """Return the last progress of an attempt that is over: nothing of it remains, so nothing is estimated."""
    told = observed.reported or observed.job.status.trainer_status
    return {} if told is None else {"trainer_status": told.model_copy(update={"estimated_remaining_seconds": None})}


def _succeeded(
    observed: Observed, spec: TrainingJobSpec, child: JobView, result: TrainingResult, version: VersionRef
) -> Plan:
    end = to_rfc3339(child.end or observed.now)
    done = Attempt(
        number=child.attempt,
        job_name=child.name,
        reason="Completed",
        exit_code=0,
        device=result.device,
        start=to_rfc3339(child.start or child.created),
        end=end,
    )
    before = observed.reported or observed.job.status.trainer_status or TrainerStatus(sequence=0)
    changes: dict[str, Any] = {
        "attempts": attempts.replaced(observed, done),
        "start_time": observed.job.status.start_time or done.start,
        "completion_time": end,
        "objective_value": result.objective_value or _objective(spec, result.metrics or []),
        "model_version": version,
        "trainer_status": before.model_copy(
            update={
                "progress_percentage": 100,
                "estimated_remaining_seconds": 0,
                "stage": "register",
                "message": f"registered version {version.version}",
                "metrics": result.metrics or before.metrics,
                "last_updated_time": before.last_updated_time or end,
            }
        ),
        "result": Result(
            metrics=result.metrics,
            artifact=result.artifact,
            report=result.report,
            series=result.series,
            device=result.device,
            warnings=result.warnings,
        ),
    }
    return _finish(observed, Transition("Succeeded", "Succeeded", f"made ModelVersion {version.name}", changes))


def _finish(observed: Observed, transition: Transition) -> Plan:
    """Store a terminal phase and tell it once."""
    changes = {"completion_time": to_rfc3339(observed.now), "queue_position": None, **transition.changes}
    event = EventNote(
        "Warning" if transition.phase == "Failed" else "Normal", transition.reason, transition.message, "end"
    )
    return _report(observed, replace(transition, changes=changes), events=(event,))


def _report(
    observed: Observed,
    transition: Transition,
    *,
    events: tuple[EventNote, ...] = (),
    requeue_after: float | None = None,
) -> Plan:
    """Turn a transition into a status, if it differs from the stored one."""
    job = observed.job
    status = job.status.model_copy(
        update={
            "observed_generation": job.generation,
            "phase": transition.phase,
            "model_name": model_name(job),
            "conditions": conditions_for(
                transition.phase,
                transition.reason,
                transition.message[:1024],
                generation=job.generation,
                now=observed.now,
                before=job.status.conditions or (),
            ),
            **transition.changes,
        }
    )
    if status == job.status:
        return Plan(requeue_after=requeue_after)
    return Plan(status=status, events=events, requeue_after=requeue_after)


# ---- small facts -----------------------------------------------------------------------------------------------------


def _objective(spec: TrainingJobSpec, metrics: list[Metric]) -> str | None:
    if spec.objective is None:
        return None
    return next((metric.value for metric in metrics if metric.name == spec.objective.metric), None)


def _version_taken(observed: Observed, version: ModelVersionView) -> outcome.Failure:
    message = (
        f"ModelVersion {version.name} already exists and comes from TrainingJob {version.job_name}: this storage "
        f"numbers its versions anew. Use one storage.uri for all jobs of model {version.model}, or another modelName"
    )
    return outcome.Failure("VersionConflict", message, retryable=False, exit_code=0, end=observed.now)
