"""The life of a TrainingJob: a straight list of questions, in the order of the table in docs/trainingjob.md.

:func:`plan` is total and deterministic: any observed state gives a plan, the same state the same plan, and at the fixed
point an empty one. Status follows from facts, never from what the plan is about to do.
"""

from typing import Any

from trainyard_api.batch import Attempt, Phase
from trainyard_api.training import Retry
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_operator.core.admission.verdict import Waiting
from trainyard_operator.core.facts import Fact, Need, Refusal
from trainyard_operator.core.naming import is_fallback, model_name
from trainyard_operator.core.objects import JobView
from trainyard_operator.core.plan import NOTHING, Apply, Create, Delete, Plan
from trainyard_operator.core.resolve import InvalidSpecError, parse_spec, refuse_unsupported
from trainyard_operator.core.saved import restore
from trainyard_operator.core.times import to_rfc3339
from trainyard_operator.core.training import (
    accelerator,
    attempts,
    causes,
    deadlines,
    ending,
    handover,
    interruption,
    outcome,
    progress,
    render,
    restored,
    starting,
    stop,
)
from trainyard_operator.core.training.observed import Observed
from trainyard_operator.core.training.transition import Transition, finish, report
from trainyard_operator.core.unreadable import hands_off


def plan(observed: Observed) -> Plan:  # noqa: PLR0911 - a list of questions
    """Return the next step for one TrainingJob."""
    job = observed.job
    if job.deleting:
        return NOTHING
    if job.unreadable:
        return hands_off(job)
    if job.recalled_from:
        return restore(job)
    if job.finished:
        return stop.keep_finished(observed)
    try:
        spec = parse_spec(job)
    except InvalidSpecError as error:
        return stop.stop(observed, Transition("Failed", "InvalidSpec", str(error), {}))
    if (found := restored.trained_before(observed, spec)) is not None:
        return found
    current, last = attempts.current_child(observed), attempts.last_attempt(observed)
    if current is not None and last is not None and last.number == current.attempt and last.end is not None:
        current = None  # its end is told; its Job and pods stay for whoever reads logs
    return _ended(observed, spec, current) or _stopped(observed, spec, current) or _live(observed, spec, current, last)


def _ended(observed: Observed, spec: TrainingJobSpec, current: JobView | None) -> Plan | None:
    """An end that came by itself comes first: before a cancellation only success, before a suspension failure too."""
    if current is None:
        return None
    if current.complete:
        pods = observed.pods.get(current.name)
        if pods is None:
            return Plan(needs=(Need(Fact.PODS, current.name),))
        return None if outcome.result_is_gone(current, pods) else ending.complete(observed, spec, current, pods)
    if not current.finished and (pods := outcome.staying(spec.shards, observed.pods.get(current.name, ()))):
        return ending.stayed(observed, spec, current, pods)
    if current.failed and not (spec.cancel or stop.is_suspending(observed, current)):
        return ending.attempt_failed(observed, spec, current)
    return None


def _stopped(observed: Observed, spec: TrainingJobSpec, current: JobView | None) -> Plan | None:
    """Whether the user wants it to stop."""
    if spec.cancel:
        return stop.cancel(observed)
    if spec.suspend or stop.is_suspending(observed, current):
        return stop.suspend(observed, current)
    return None


def _live(observed: Observed, spec: TrainingJobSpec, current: JobView | None, last: Attempt | None) -> Plan:
    """It goes on: from a Job that is there, or to the next one."""
    if current is not None and current.finished:
        return NOTHING  # it is being deleted: once it is gone, that counts
    if current is not None:
        return _underway(observed, spec, current)
    if observed.job.status.phase == "Suspended":
        return stop.resume(observed)
    if last is None:
        return _start(observed, spec, 1)
    if last.end is None:
        return _child_missing(observed, spec, last)
    return _retry(observed, spec, last)


# ---- the questions, in order -----------------------------------------------------------------------------------------


def _start(observed: Observed, spec: TrainingJobSpec, attempt: int) -> Plan:
    """Start, unless the time to wait for it is over."""
    left = deadlines.pending_left(observed, spec)
    if left is not None and left <= 0:
        return stop.pending_too_long(observed, spec)
    return deadlines.sooner(_admit(observed, spec, attempt), left)


def _admit(observed: Observed, spec: TrainingJobSpec, attempt: int) -> Plan:
    """Admit and create the attempt's Job.

    This is the one door to a running attempt: whoever may hold a job back is asked here, and what this release or the
    operator's configuration cannot run is refused here, so that neither touches an attempt that already runs.
    """
    if observed.refused is not None:
        return _refused(observed, observed.refused)
    status, waiting = observed.job.status, observed.admission
    if isinstance(waiting, Waiting) and status.phase == "Queued":
        return _queued(observed, waiting)
    admitted = not isinstance(waiting, Waiting)
    if admitted and handover.is_wanted(spec) and observed.rivals is None:
        return Plan(needs=(Need(Fact.RIVALS, model_name(observed.job)),))
    try:
        refuse_unsupported(spec)
        body = render.attempt_job(
            observed.job,
            accelerator.effective(spec, status),
            attempt,
            config=observed.config,
            ca=observed.ca,
            out_of_memory=attempts.out_of_memory(status),
            limit=deadlines.active_left(status, spec),
            fallback=bool(accelerator.fallback_of(status)),
            champion=handover.champion_of(observed.rivals) if observed.rivals is not None else None,
        )
    except InvalidSpecError as error:
        return finish(observed, Transition("Failed", "InvalidSpec", str(error), {}))
    if isinstance(waiting, Waiting):
        return _queued(observed, waiting)
    return Plan(actions=(Create("Job", body),))


def _queued(observed: Observed, waiting: Waiting) -> Plan:
    """Stand in line. What cannot run was told before, so that nobody waits for a refusal."""
    message = "; ".join(filter(None, (waiting.message, _bounded_priority(observed))))
    return report(observed, Transition("Queued", waiting.reason, message, {"queue_position": waiting.position}))


def _bounded_priority(observed: Observed) -> str:
    """Return what to tell a job whose priority is above the highest of its namespace."""
    job, asked = observed.job, observed.job.spec.get("priority")
    counted = observed.config.admission.priority_in(job.namespace, asked)
    if asked in (None, counted):
        return ""
    return f"priority {asked} counts as {counted} in namespace {job.namespace} (admission.maxPriority)"


def _refused(observed: Observed, refusal: Refusal) -> Plan:
    """The API server does not take the Job: wrong for good, or not now (a quota, a policy, a name in use)."""
    if refusal.permanent:
        return finish(observed, Transition("Failed", "InvalidSpec", refusal.message, {}))
    before = observed.job.status.phase
    phase: Phase = before if before in ("Starting", "Retrying") else "Pending"
    return report(observed, Transition(phase, "JobRefused", refusal.message, {}), requeue_after=ending.REFUSED_SECONDS)


def _underway(observed: Observed, spec: TrainingJobSpec, child: JobView) -> Plan:
    """The Job exists and has not ended: Running while a pod of it trains, else Starting."""
    job = observed.job
    running = interruption.is_running(observed, child)
    if running is None:
        return Plan(needs=(Need(Fact.PODS, child.name),))
    evicted = causes.evicted_too_often(observed.pods.get(child.name, ()))
    if evicted is not None and not child.deleting:
        return ending.evicted(observed, spec, child, evicted)
    if not running and accelerator.fallback_of(job.status) and not is_fallback(child.name):
        return NOTHING if child.deleting else Plan(actions=(Delete("Job", child.name, child.uid),))
    limit = deadlines.due(job.status, spec, child)
    if limit is not None and not child.deleting:
        if observed.refused is None:
            return Plan(actions=(Apply("Job", render.deadline(job, child, limit)),))
        return _deadline_refused(observed, observed.refused)
    return _observed_state(observed, spec, child, running=running)


def _observed_state(observed: Observed, spec: TrainingJobSpec, child: JobView, *, running: bool) -> Plan:
    """Say whether the Job trains or waits for a pod, and what that means for the attempt's entry."""
    job, pods = observed.job, observed.pods.get(child.name, ())
    fresh = not attempts.is_known(job.status, child)
    stopped = job.status.phase == "Running" and not (fresh or running)
    changes: dict[str, Any] = {
        "attempts": attempts.with_child(observed, child, running=running, device=accelerator.device_of(spec, child)),
        **interruption.changes(observed, pods, stopped=stopped),
    }
    if fresh:
        changes["trainer_status"] = None  # the last attempt's progress is not this one's
    if stopped:
        return starting.interrupted(observed, spec, child, changes)
    if not running:
        return starting.still_starting(observed, spec, child, changes)
    return _running(observed, child, changes)


def _running(observed: Observed, child: JobView, changes: dict[str, Any]) -> Plan:
    """A pod trains: say so, with its progress. ``changes`` is what this attempt's being there means by itself."""
    job, reported = observed.job, observed.reported
    stored = job.status.trainer_status if attempts.is_known(job.status, child) else None
    requeue: float | None = None
    if reported is not None and progress.newer(stored, reported):
        requeue = progress.seconds_until_due(stored, reported, observed.now)
        if requeue == 0 or job.status.phase != "Running":
            changes["trainer_status"] = reported.model_copy(update={"last_updated_time": to_rfc3339(observed.now)})
            requeue = None
    if job.status.start_time is None:
        changes["start_time"] = to_rfc3339(child.start or child.created)
    message = f"attempt {child.attempt} is running in Job {child.name}"
    # A pod that got its accelerator in the very moment it was given up keeps it.
    facts = accelerator.fallback_of(job.status) if is_fallback(child.name) else ()
    transition = Transition("Running", "Running", message, changes, facts)
    if child.ready == 0 and not child.deleting:  # nothing but a look tells when such a pod goes
        look = starting.look_again(interruption.waits_since(observed, child))
        requeue = look if requeue is None else min(requeue, look)
    return report(observed, transition, requeue_after=requeue)


def _deadline_refused(observed: Observed, refusal: Refusal) -> Plan:
    """A new deadline did not reach the Job, which goes on with its old one."""
    before = observed.job.status.phase
    phase: Phase = before if before in ("Starting", "Running") else "Starting"
    return report(
        observed, Transition(phase, "DeadlineRefused", refusal.message, {}), requeue_after=ending.REFUSED_SECONDS
    )


def _child_missing(observed: Observed, spec: TrainingJobSpec, last: Attempt) -> Plan:
    """The Job of a running attempt is not known: really deleted (that counts, or it would be made again for ever)?

    Two watches keep no order between them, so the status of another replica may be seen before the Job it speaks of.
    """
    if last.job_name not in observed.missing:
        return Plan(needs=(Need(Fact.JOB, last.job_name),))
    if accelerator.fallback_of(observed.job.status) and not is_fallback(last.job_name):
        return _start(observed, spec, last.number)
    left = deadlines.pending_left(observed, spec)
    waits = last.start is None or observed.job.status.phase == "Starting"
    if waits and left is not None and left <= 0:
        return stop.pending_too_long(observed, spec)
    return ending.child_deleted(observed, spec, last)


def _retry(observed: Observed, spec: TrainingJobSpec, last: Attempt) -> Plan:
    """An attempt is over and another is due: wait for the old pods and the back-off, then create its Job."""
    doomed = stop.unfinished_jobs(observed)
    if doomed:  # the attempt ended before its Job did
        return Plan(actions=doomed)
    if any(child.active or child.terminating or not child.finished for child in observed.children):
        return NOTHING
    used_up = ending.used_up(observed, spec)
    if used_up is not None:
        return used_up
    wait = attempts.backoff_left(spec.retry or Retry(), last, observed)
    if wait > 0:
        return Plan(requeue_after=wait)
    return _start(observed, spec, last.number + 1)
