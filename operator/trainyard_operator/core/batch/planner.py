"""Lifecycle planner of all kinds that run to completion, in the order of docs/trainingjob.md.

:meth:`BatchPlanner.plan` is total and deterministic. Every state gives a plan, and the same state gives the same plan.
At the fixed point, the plan is empty. The status follows from observed facts, never from the planned actions.
"""

from dataclasses import replace
from typing import Any, Generic

from trainyard_api.batch import Attempt, Phase
from trainyard_api.training import Retry
from trainyard_operator.core.admission.decision import Waiting
from trainyard_operator.core.batch import (
    accelerator,
    attempts,
    causes,
    completion,
    deadlines,
    interruption,
    outcome,
    progress,
    starting,
    stop,
)
from trainyard_operator.core.batch.kind import BatchKind, SpecT, StateT, Unmet
from trainyard_operator.core.batch.state import BatchState
from trainyard_operator.core.batch.transition import Transition, finish, report
from trainyard_operator.core.facts import Fact, Need, Refusal
from trainyard_operator.core.naming import is_fallback
from trainyard_operator.core.objects import PodView, WorkloadView
from trainyard_operator.core.plan import NOTHING, EventNote, Plan
from trainyard_operator.core.resolve import InvalidSpecError
from trainyard_operator.core.saved import restore
from trainyard_operator.core.times import to_rfc3339
from trainyard_operator.core.unreadable import leave_unchanged

UNMET_SECONDS = 300.0
"""Delay before a missing object is looked for again."""


class BatchPlanner(Generic[StateT, SpecT]):
    """Planner for one kind."""

    def __init__(self, kind: BatchKind[StateT, SpecT]) -> None:
        self._kind = kind

    def plan(self, state: StateT) -> Plan:  # noqa: PLR0911 - a list of questions
        """Return the next step for one object."""
        job = state.job
        if job.deleting:
            return NOTHING
        if job.unreadable:
            return leave_unchanged(job)
        if job.recalled_from:
            return restore(job)
        if job.finished:
            return self._finished(state)
        try:
            spec = self._kind.spec_of(state)
        except InvalidSpecError as error:
            return stop.stop(state, Transition("Failed", "InvalidSpec", str(error), {}))
        if (found := self._kind.is_done_already(state, spec)) is not None:
            return found
        current, last = attempts.current_workload(state), attempts.last_attempt(state)
        if current is not None and last is not None and last.number == current.attempt and last.end is not None:
            current = None  # its end is in the status; its Job and pods stay, so that users can read the logs
        return (
            self._ended(state, spec, current)
            or self._stopped(state, spec, current)
            or self._live(state, spec, current, last)
        )

    def _finished(self, state: StateT) -> Plan:
        """Plan for a finished job. A terminal phase never changes.

        A later change of the spec only updates ``observedGeneration`` and how long Jobs are kept. Only what the kind
        follows, for example the verdict on a version, can change after the end. A workload that still runs is deleted.
        It comes from another replica, or from a create request whose response was lost.
        """
        job = state.job
        obsolete = stop.unfinished(state)
        if obsolete:
            return Plan(actions=obsolete)
        found = self._kind.follow(state)
        if isinstance(found, Need):
            return Plan(needs=(found,))
        if found is not None or job.status.observed_generation != job.generation:
            changes = {"observed_generation": job.generation, **(found.changes if found is not None else {})}
            events = found.events if found is not None else ()
            return Plan(status=job.status.model_copy(update=changes), events=events)
        return stop.clean_up(state, self._time_to_live(state))

    def _time_to_live(self, state: StateT) -> int | None:
        try:
            return self._kind.spec_of(state).ttl_seconds_after_finished
        except InvalidSpecError:
            return None  # it ended because of the invalid spec and never had a workload

    def _ended(self, state: StateT, spec: SpecT, current: WorkloadView | None) -> Plan | None:
        """Handle an attempt that ended.

        A success takes precedence over a cancellation and a suspension. A failure takes precedence only over a
        suspension that has not deleted the Job yet.
        """
        if current is None:
            return None
        if current.complete:
            pods = state.pods.get(current.name)
            if pods is None:
                return Plan(needs=(Need(Fact.PODS, current.name),))
            return None if outcome.result_is_gone(current, pods) else self._kind.complete(state, spec, current, pods)
        if not current.finished and (pods := outcome.staying(spec.pods, state.pods.get(current.name, ()))):
            return self._stayed(state, spec, current, pods)
        if current.failed and not (spec.cancel or stop.is_suspending(state, current)):
            return completion.attempt_failed(state, spec, current)
        return None

    def _stayed(self, state: StateT, spec: SpecT, workload: WorkloadView, pods: tuple[PodView, ...]) -> Plan:
        """End an attempt whose work is done while another container keeps its pod running. The Job is deleted."""
        if any(pod.exit_code for pod in pods if pod.staying):
            found = completion.after_failure(
                state, spec, workload.attempt, workload, outcome.failure_of(workload, pods)
            )
        else:
            found = self._kind.complete(state, spec, workload, pods)
        if found.status is None:
            return found
        pod = next(pod for pod in pods if pod.staying)
        message = (
            f"container {', '.join(pod.staying)} of pod {pod.name} still ran after the training had ended, so Job "
            f"{workload.name} is deleted; use a native sidecar, or do not inject the container into pods that train "
            "(docs/service-meshes.md)"
        )
        event = EventNote("Warning", "ContainerStayed", message[:1024], f"stayed-{workload.name}")
        return replace(found, events=(*found.events, event))

    def _stopped(self, state: StateT, spec: SpecT, current: WorkloadView | None) -> Plan | None:
        """Handle ``spec.cancel`` and ``spec.suspend``."""
        if spec.cancel:
            return stop.cancel(state)
        if spec.suspend or stop.is_suspending(state, current):
            return stop.suspend(state, current)
        return None

    def _live(self, state: StateT, spec: SpecT, current: WorkloadView | None, last: Attempt | None) -> Plan:
        """Continue with the current Job, or create the next one."""
        if current is not None and current.finished:
            return NOTHING  # it is being deleted; this counts as a failure when it is gone
        if current is not None:
            return self._underway(state, spec, current)
        if state.job.status.phase == "Suspended":
            return stop.resume(state)
        if last is None:
            return self._start(state, spec, 1)
        if last.end is None:
            return self._workload_missing(state, spec, last)
        return self._retry(state, spec, last)

    def _start(self, state: StateT, spec: SpecT, attempt: int) -> Plan:
        """Start an attempt unless its pending deadline has passed."""
        left = deadlines.pending_left(state, spec)
        if left is not None and left <= 0:
            return stop.pending_too_long(state, spec)
        return deadlines.sooner(self._admit(state, spec, attempt), left)

    def _admit(self, state: StateT, spec: SpecT, attempt: int) -> Plan:
        """Admit and create the attempt's Job.

        Every attempt passes through this method. Admission control and checks of the operator's configuration and
        release apply here only, so they never affect an attempt that already runs.
        """
        if state.refused is not None:
            return _refused(state, state.refused)
        status, waiting = state.job.status, state.admission
        if isinstance(waiting, Waiting) and status.phase == "Queued":
            return _queued(state, waiting)
        try:
            if isinstance(waiting, Waiting):
                self._kind.check(state, spec)
                return _queued(state, waiting)
            return self._wait(state, spec) or self._create(state, spec, attempt)
        except InvalidSpecError as error:
            return finish(state, Transition("Failed", "InvalidSpec", str(error), {}))

    def _wait(self, state: StateT, spec: SpecT) -> Plan | None:
        """Read or wait for what is missing for the next attempt."""
        missing = self._kind.missing(state, spec)
        if isinstance(missing, Need):
            return Plan(needs=(missing,))
        return None if missing is None else _unmet(state, missing)

    def _create(self, state: StateT, spec: SpecT, attempt: int) -> Plan:
        return Plan(actions=self._kind.workload.create(self._kind.launch(state, spec, attempt)))

    def _underway(self, state: StateT, spec: SpecT, workload: WorkloadView) -> Plan:
        """Handle a Job that exists and has not ended. The phase is Running while a pod of it trains, else Starting."""
        job = state.job
        running = interruption.is_running(state, workload)
        if running is None:
            return Plan(needs=(Need(Fact.PODS, workload.name),))
        evicted = causes.evicted_too_often(state.pods.get(workload.name, ()))
        if evicted is not None and not workload.deleting:
            return completion.evicted(state, spec, workload, evicted)
        if not running and accelerator.fallback_of(job.status) and not is_fallback(workload.name):
            return NOTHING if workload.deleting else Plan(actions=stop.deletions(workload))
        limit = deadlines.due(job.status, spec, workload)
        if limit is not None and not workload.deleting:
            if state.refused is None:
                return Plan(actions=self._kind.workload.limit(job.namespace, workload, limit))
            return _deadline_refused(state, state.refused)
        return self._observed_state(state, spec, workload, running=running)

    def _observed_state(self, state: StateT, spec: SpecT, workload: WorkloadView, *, running: bool) -> Plan:
        """Report whether the Job trains or waits for a pod, and update the attempt's entry."""
        job, pods = state.job, state.pods.get(workload.name, ())
        fresh = not attempts.is_known(job.status, workload)
        stopped = job.status.phase == "Running" and not (fresh or running)
        changes: dict[str, Any] = {
            "attempts": attempts.with_workload(
                state, workload, running=running, device=accelerator.device_of(spec, workload)
            ),
            **interruption.changes(state, pods, stopped=stopped),
            **self._kind.describe(workload),
        }
        if fresh:
            changes["trainer_status"] = None  # the progress of the previous attempt does not apply to this one
        hint = self._kind.start_hint(spec)
        if stopped:
            return starting.interrupted(state, workload, changes, hint)
        if not running:
            return starting.still_starting(state, spec, workload, changes, hint)
        return _running(state, workload, changes)

    def _workload_missing(self, state: StateT, spec: SpecT, last: Attempt) -> Plan:
        """Check whether the workload of a running attempt was deleted. A deletion counts as a failure.

        Watches of different kinds are not ordered. Therefore a status that another replica wrote may arrive before the
        Job that it lists.
        """
        if last.job_name not in state.missing:
            return Plan(needs=(Need(Fact.JOB, last.job_name),))
        if accelerator.fallback_of(state.job.status) and not is_fallback(last.job_name):
            return self._start(state, spec, last.number)
        left = deadlines.pending_left(state, spec)
        pending = last.start is None or state.job.status.phase == "Starting"
        if pending and left is not None and left <= 0:
            return stop.pending_too_long(state, spec)
        return completion.workload_deleted(state, spec, last)

    def _retry(self, state: StateT, spec: SpecT, last: Attempt) -> Plan:
        """Create the next attempt's Job after the old pods are gone and the back-off has ended."""
        obsolete = stop.unfinished(state)
        if obsolete:  # the attempt ended before its Job did
            return Plan(actions=obsolete)
        if any(workload.active or workload.terminating or not workload.finished for workload in state.workloads):
            return NOTHING
        used_up = completion.used_up(state, spec)
        if used_up is not None:
            return used_up
        wait = attempts.backoff_left(spec.retry or Retry(), last, state)
        if wait > 0:
            return Plan(requeue_after=wait)
        return self._start(state, spec, last.number + 1)


def _queued(state: BatchState, waiting: Waiting) -> Plan:
    """Report the position in the queue. A job that cannot run is refused earlier, so it does not wait for a refusal."""
    message = "; ".join(filter(None, (waiting.message, _bounded_priority(state))))
    return report(state, Transition("Queued", waiting.reason, message, {"queue_position": waiting.position}))


def _bounded_priority(state: BatchState) -> str:
    """Return a message if the priority is above the maximum of the namespace."""
    job, asked = state.job, state.job.spec.get("priority")
    counted = state.config.admission.priority_in(job.namespace, asked)
    if asked in (None, counted):
        return ""
    return f"priority {asked} counts as {counted} in namespace {job.namespace} (admission.maxPriority)"


def _refused(state: BatchState, refusal: Refusal) -> Plan:
    """Handle a Job that the API server refused: permanently, or for now (a quota, a policy, a name conflict)."""
    if refusal.permanent:
        return finish(state, Transition("Failed", "InvalidSpec", refusal.message, {}))
    before = state.job.status.phase
    phase: Phase = before if before in ("Starting", "Retrying") else "Pending"
    return report(state, Transition(phase, "JobRefused", refusal.message, {}), requeue_after=completion.REFUSED_SECONDS)


def _unmet(state: BatchState, unmet: Unmet) -> Plan:
    """Report what an attempt waits for. An event about it wakes the object; the requeue is a safety net."""
    before = state.job.status.phase
    phase: Phase = "Retrying" if before == "Retrying" else "Pending"
    return report(state, Transition(phase, unmet.reason, unmet.message, {}), requeue_after=UNMET_SECONDS)


def _running(state: BatchState, workload: WorkloadView, changes: dict[str, Any]) -> Plan:
    """Report a running attempt and its progress. ``changes`` are the status changes from the workload itself."""
    job, reported = state.job, state.reported
    stored = job.status.trainer_status if attempts.is_known(job.status, workload) else None
    requeue: float | None = None
    if reported is not None and progress.newer(stored, reported):
        requeue = progress.seconds_until_due(stored, reported, state.now)
        if requeue == 0 or job.status.phase != "Running":
            changes["trainer_status"] = reported.model_copy(update={"last_updated_time": to_rfc3339(state.now)})
            requeue = None
    if job.status.start_time is None:
        changes["start_time"] = to_rfc3339(workload.start or workload.created)
    message = f"attempt {workload.attempt} is running in Job {workload.name}"
    # A pod that got its accelerator during the fallback decision keeps it.
    facts = accelerator.fallback_of(job.status) if is_fallback(workload.name) else ()
    transition = Transition("Running", "Running", message, changes, facts)
    if workload.ready == 0 and not workload.deleting:  # only a check shows when such a pod is gone
        check = starting.next_check(interruption.waiting_seconds(state, workload))
        requeue = check if requeue is None else min(requeue, check)
    return report(state, transition, requeue_after=requeue)


def _deadline_refused(state: BatchState, refusal: Refusal) -> Plan:
    """Report that the API server refused a new deadline. The Job continues with the old one."""
    before = state.job.status.phase
    phase: Phase = before if before in ("Starting", "Running") else "Starting"
    return report(
        state, Transition(phase, "DeadlineRefused", refusal.message, {}), requeue_after=completion.REFUSED_SECONDS
    )
