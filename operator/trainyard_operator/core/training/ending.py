"""How an attempt ends, and what follows: a version or a dataset, another attempt, or the end of the job."""

from dataclasses import replace
from typing import Any

from trainyard_api.batch import Attempt, TrainerStatus
from trainyard_api.training import Retry, Storage
from trainyard_api.trainingjob import Artifact, Result, TrainingJobSpec, Verdict, VersionRef
from trainyard_api.version_object import objective_metric, objective_value
from trainyard_api.wire import TrainingResult
from trainyard_operator.core.facts import Fact, Need, Refusal
from trainyard_operator.core.naming import model_name, version_name
from trainyard_operator.core.objects import JobView, ModelVersionView, PodView
from trainyard_operator.core.plan import Create, EventNote, Plan
from trainyard_operator.core.resolve import InvalidSpecError, resolve_storage
from trainyard_operator.core.times import to_rfc3339
from trainyard_operator.core.training import (
    accelerator,
    attempts,
    deadlines,
    interruption,
    outcome,
    render,
    stop,
    verdict,
)
from trainyard_operator.core.training.compare_again import compare_again
from trainyard_operator.core.training.observed import Observed
from trainyard_operator.core.training.transition import Transition, finish, report

REFUSED_SECONDS = 30.0
"""How long to wait before the API server is asked again for what it refused."""

_MADE = {"Train": "Version", "Prepare": "Dataset", "Backtest": "Backtest"}
"""What the pod of each mode leaves behind."""

# ---- success ---------------------------------------------------------------------------------------------------------


def complete(observed: Observed, spec: TrainingJobSpec, child: JobView, pods: tuple[PodView, ...]) -> Plan:
    """The Job is complete: read the result, make its version if it trained one, then call it Succeeded."""
    result = outcome.success_of(child, pods)
    if isinstance(result, outcome.Failure):
        return _after_failure(observed, spec, child.attempt, child, result)
    if result.made == "Shard":
        return _after_failure(observed, spec, child.attempt, child, outcome.not_merged(child))
    unusable = _unusable(observed, spec, child, result)
    if unusable is not None:
        return _failed(observed, child.attempt, child, unusable)
    if result.made == "Dataset":
        return _succeeded(observed, spec, child, result, f"prepared {result.message or 'the dataset'}", {})
    if result.made == "Backtest":
        return _succeeded(observed, spec, child, result, f"made {result.message or 'the backtest'}", {})
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
        return _version_refused(observed, spec, child, observed.refused)
    if version is None:
        again = compare_again(observed, spec, child, result)
        if again is not None:
            return again
        body = render.model_version(observed.job, spec, child, result, _storage(observed, spec, result.artifact))
        return Plan(actions=(Create("ModelVersion", body),))
    if version.job_uid != observed.job.uid:
        return _failed(observed, child.attempt, child, _version_taken(observed, version))
    made: dict[str, Any] = {
        "model_version": VersionRef(name=name, version=number),
        "objective_metric": objective_metric(spec.objective, result),
        "objective_value": objective_value(spec.objective, result),
        "verdict": verdict.of_version(version),
    }
    return _succeeded(observed, spec, child, result, f"made ModelVersion {name}", made)


def _version_refused(observed: Observed, spec: TrainingJobSpec, child: JobView, refusal: Refusal) -> Plan:
    """The model is trained and stored, but its ModelVersion cannot be made; the artifact stays where it is."""
    if refusal.permanent:
        failure = outcome.Failure("VersionRefused", refusal.message, retryable=False, exit_code=0, end=child.end)
        return _failed(observed, child.attempt, child, failure)
    if spec.cancel:
        return stop.cancel(observed)
    transition = Transition("Running", "VersionRefused", refusal.message, {})
    return report(observed, transition, requeue_after=REFUSED_SECONDS)


def _succeeded(
    observed: Observed,
    spec: TrainingJobSpec,
    child: JobView,
    result: TrainingResult,
    message: str,
    made: dict[str, Any],
) -> Plan:
    """End well. ``made`` are the fields of the status that tell of a version."""
    end = to_rfc3339(child.end or observed.now)
    device = result.device or accelerator.device_of(spec, child)
    done = Attempt(
        number=child.attempt,
        job_name=child.name,
        reason="Completed",
        exit_code=0,
        device=device,
        start=to_rfc3339(child.start or child.created),
        end=end,
    )
    before = observed.reported or observed.job.status.trainer_status or TrainerStatus(sequence=0)
    changes: dict[str, Any] = {
        **attempts.with_end(observed, done),
        "start_time": observed.job.status.start_time or done.start,
        "completion_time": end,
        **made,
        "trainer_status": before.model_copy(
            update={
                "progress_percentage": 100,
                "estimated_remaining_seconds": 0,
                "stage": "register",
                "message": message[:1024],
                "metrics": result.metrics or before.metrics,
                "last_updated_time": before.last_updated_time or end,
            }
        ),
        "result": Result(
            metrics=result.metrics,
            artifact=result.artifact,
            report=result.report,
            forecast=result.forecast,
            log=result.log,
            series=result.series,
            device=device,
            warnings=result.warnings,
        ),
    }
    judged = made.get("verdict")
    events = verdict.event_of(judged) if isinstance(judged, Verdict) else ()
    return finish(observed, Transition("Succeeded", "Succeeded", message, changes), events=events)


# ---- failure ---------------------------------------------------------------------------------------------------------


def attempt_failed(observed: Observed, spec: TrainingJobSpec, child: JobView) -> Plan:
    """The Job failed: explain it from its pods, then try again or give up."""
    pods = observed.pods.get(child.name)
    if pods is None:
        return Plan(needs=(Need(Fact.PODS, child.name),))
    return _after_failure(observed, spec, child.attempt, child, outcome.failure_of(child, pods))


def evicted(observed: Observed, spec: TrainingJobSpec, child: JobView, pod: PodView) -> Plan:
    """The kubelet evicted too many pods of one attempt: the next one would end the same way."""
    return _after_failure(observed, spec, child.attempt, child, outcome.evicted_too_often(child, pod))


def stayed(observed: Observed, spec: TrainingJobSpec, child: JobView, pods: tuple[PodView, ...]) -> Plan:
    """The training is over and a container that is not ours keeps its pod: end, and say which. The Job is deleted."""
    if any(pod.exit_code for pod in pods if pod.staying):
        found = _after_failure(observed, spec, child.attempt, child, outcome.failure_of(child, pods))
    else:
        found = complete(observed, spec, child, pods)
    if found.status is None:
        return found
    pod = next(pod for pod in pods if pod.staying)
    message = (
        f"container {', '.join(pod.staying)} of pod {pod.name} still ran after the training had ended, so Job "
        f"{child.name} is deleted; use a native sidecar, or keep it out of such pods (docs/service-meshes.md)"
    )
    event = EventNote("Warning", "ContainerStayed", message[:1024], f"stayed-{child.name}")
    return replace(found, events=(*found.events, event))


def child_deleted(observed: Observed, spec: TrainingJobSpec, last: Attempt) -> Plan:
    """Somebody deleted the Job of an attempt: that counts, or it would be made again for ever."""
    message = f"Job {last.job_name} was deleted while attempt {last.number} ran"
    failure = outcome.Failure(outcome.CHILD_DELETED, message, retryable=True, end=observed.now)
    return _after_failure(observed, spec, last.number, None, failure)


def used_up(observed: Observed, spec: TrainingJobSpec) -> Plan | None:
    """End a job that may not be tried again: its running time is spent, or ``retry.maxAttempts`` was lowered."""
    status = observed.job.status
    left = deadlines.active_left(status, spec)
    if left is not None and left <= 0:
        spent = f"the attempts so far ran for {status.active_seconds} s"
        message = f"activeDeadlineSeconds ({spec.active_deadline_seconds} s) is used up: {spent}"
        return finish(observed, Transition("Failed", outcome.DEADLINE_EXCEEDED, message, {}))
    failed, limit = attempts.failures(status), (spec.retry or Retry()).max_attempts
    if len(failed) < limit:
        return None
    reason = failed[-1].reason or outcome.POD_LOST
    message = f"{len(failed)} of {limit} attempts failed (retry.maxAttempts), the last with {reason}"
    return finish(observed, Transition("Failed", reason, message, {}))


def _after_failure(
    observed: Observed, spec: TrainingJobSpec, number: int, child: JobView | None, failure: outcome.Failure
) -> Plan:
    count, limit = len(attempts.failures(observed.job.status)) + 1, (spec.retry or Retry()).max_attempts
    if not failure.retryable:
        return _failed(observed, number, child, failure)
    if count >= limit:
        last = f"attempt {count} of {limit} failed: {failure.message}"
        return _failed(observed, number, child, replace(failure, message=last))
    message = f"attempt {count} of {limit} failed ({failure.reason}) and is tried again: {failure.message}"
    changes = _with_failure(observed, number, child, failure)
    event = EventNote("Warning", "AttemptFailed", message, f"attempt-{number}")
    return report(observed, Transition("Retrying", failure.reason, message, changes), events=(event,))


def _failed(observed: Observed, number: int, child: JobView | None, failure: outcome.Failure) -> Plan:
    changes = _with_failure(observed, number, child, failure)
    return finish(observed, Transition("Failed", failure.reason, failure.message, changes))


def _with_failure(observed: Observed, number: int, child: JobView | None, failure: outcome.Failure) -> dict[str, Any]:
    """Return what changes with a failed attempt: its entry, and the last progress it told."""
    pods = observed.pods.get(child.name, ()) if child is not None else ()
    return {
        **attempts.with_failure(observed, number, child, failure),
        **interruption.changes(observed, pods, stopped=False),
        **stop.last_progress(observed),
    }


# ---- small facts -----------------------------------------------------------------------------------------------------


def _storage(observed: Observed, spec: TrainingJobSpec, artifact: Artifact | None) -> Storage | None:
    """Return how the artifact is reached; ``None`` where the operator's defaults changed since it was written.

    A wrong server in a spec that never changes would be worse than none: who serves the version says what is missing.
    """
    try:
        storage = resolve_storage(spec, observed.config.storage)
    except InvalidSpecError:
        return None
    below = storage.uri.rstrip("/") + "/"
    return storage if artifact is not None and artifact.uri.startswith(below) else None


def _unusable(
    observed: Observed, spec: TrainingJobSpec, child: JobView, result: TrainingResult
) -> outcome.Failure | None:
    """Explain a result that cannot be taken, ``None`` for any other: an image of a user's own may say anything."""
    wanted = _MADE[spec.mode]
    if result.made != wanted:
        message = f"the pod made a {result.made}, spec.mode {spec.mode} wants a {wanted}: use the operator's own image"
        return outcome.result_missing(child, message)
    foreign = _foreign_uri(observed, spec, result)
    return outcome.result_refused(child, foreign) if foreign else None


def _foreign_uri(observed: Observed, spec: TrainingJobSpec, result: TrainingResult) -> str:
    """Return what is wrong with a place that the pod names: it must not be another tenant's.

    Servers read the artifact with credentials that may reach further than those of the job. Where the job takes the
    operator's default storage, that may have changed since the attempt began; its namespace is in the path anyway.
    """
    namespace = f"/{observed.job.namespace}/"
    artifact = result.artifact.uri if result.artifact is not None else None
    for uri in (each for each in (artifact, result.report, result.forecast) if each is not None):
        below = f"{spec.storage.uri.rstrip('/')}{namespace}" if spec.storage is not None else ""
        if not uri.startswith(below) or namespace not in uri or {".", ".."} & set(uri.split("/")):
            own = below or f"the storage's folder {observed.job.namespace}/"
            return f"the pod says that it wrote {uri}, which is not below {own}: use the operator's own image"
    return ""


def _version_taken(observed: Observed, version: ModelVersionView) -> outcome.Failure:
    message = (
        f"ModelVersion {version.name} already exists and comes from TrainingJob {version.job_name}: this storage "
        f"numbers its versions anew. Use one storage.uri for all jobs of model {version.model}, or another modelName"
    )
    return outcome.Failure("VersionConflict", message, retryable=False, exit_code=0, end=observed.now)
