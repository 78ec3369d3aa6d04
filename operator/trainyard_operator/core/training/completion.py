"""Results of a successful training: a version, a dataset or a backtest."""

from typing import Any, Final

from trainyard_api.training import Storage
from trainyard_api.trainingjob import Artifact, Result, TrainingJobSpec, Verdict, VersionRef
from trainyard_api.version_object import objective_metric, objective_value
from trainyard_api.wire import TrainingResult
from trainyard_operator.core.batch import accelerator, outcome, stop
from trainyard_operator.core.batch import completion as batch_completion
from trainyard_operator.core.batch.transition import Transition, report
from trainyard_operator.core.facts import Fact, Need, Refusal
from trainyard_operator.core.naming import version_name
from trainyard_operator.core.objects import ModelVersionView, PodView, WorkloadView
from trainyard_operator.core.plan import Create, Plan
from trainyard_operator.core.resolve import InvalidSpecError, resolve_storage
from trainyard_operator.core.training import render, verdict
from trainyard_operator.core.training.compare_again import compare_again
from trainyard_operator.core.training.state import TrainingState

_MADE: Final = {"Train": "Version", "Prepare": "Dataset", "Backtest": "Backtest"}
"""The result of each mode."""


def complete(state: TrainingState, spec: TrainingJobSpec, workload: WorkloadView, pods: tuple[PodView, ...]) -> Plan:
    """Handle a complete Job: read the result, create its version after a training, and set the phase Succeeded."""
    result = outcome.success_of(workload, pods)
    if isinstance(result, outcome.Failure):
        return batch_completion.after_failure(state, spec, workload.attempt, workload, result)
    if result.made == "Shard":
        return batch_completion.after_failure(state, spec, workload.attempt, workload, outcome.not_merged(workload))
    unusable = _unusable(state, spec, workload, result)
    if unusable is not None:
        return batch_completion.failed(state, workload.attempt, workload, unusable)
    if result.made == "Dataset":
        return _succeeded(state, spec, workload, result, f"prepared {result.message or 'the dataset'}", {})
    if result.made == "Backtest":
        return _succeeded(state, spec, workload, result, f"completed {result.message or 'the backtest'}", {})
    return _register(state, spec, workload, result)


def _register(state: TrainingState, spec: TrainingJobSpec, workload: WorkloadView, result: TrainingResult) -> Plan:
    """Create the ModelVersion of a result, then end the job."""
    if result.model_version is None:
        raise AssertionError("a Succeeded result always names its version: TrainingResult checks it")
    model, number = state.job.model, result.model_version.version
    name = version_name(model, number)
    if name not in state.versions:
        return Plan(needs=(Need(Fact.VERSION, name),))
    version = state.versions[name]
    if version is None and state.refused is not None:
        return _version_refused(state, spec, workload, state.refused)
    if version is None:
        again = compare_again(state, spec, workload, result)
        if again is not None:
            return again
        body = render.model_version(state.job, spec, workload, result, _storage(state, spec, result.artifact))
        return Plan(actions=(Create("ModelVersion", body),))
    if version.job_uid != state.job.uid:
        return batch_completion.failed(state, workload.attempt, workload, _version_taken(state, version))
    made: dict[str, Any] = {
        "model_version": VersionRef(name=name, version=number),
        "objective_metric": objective_metric(spec.objective, result),
        "objective_value": objective_value(spec.objective, result),
        "verdict": verdict.of_version(version),
    }
    return _succeeded(state, spec, workload, result, f"created ModelVersion {name}", made)


def _version_refused(state: TrainingState, spec: TrainingJobSpec, workload: WorkloadView, refusal: Refusal) -> Plan:
    """Handle a ModelVersion that the API server refused.

    The model is trained, and its artifact stays in the storage.
    """
    if refusal.permanent:
        failure = outcome.Failure("VersionRefused", refusal.message, retryable=False, exit_code=0, end=workload.end)
        return batch_completion.failed(state, workload.attempt, workload, failure)
    if spec.cancel:
        return stop.cancel(state)
    transition = Transition("Running", "VersionRefused", refusal.message, {})
    return report(state, transition, requeue_after=batch_completion.REFUSED_SECONDS)


def _succeeded(
    state: TrainingState,
    spec: TrainingJobSpec,
    workload: WorkloadView,
    result: TrainingResult,
    message: str,
    made: dict[str, Any],
) -> Plan:
    """End the job successfully. ``made`` contains the status fields that describe the version."""
    left = Result(
        metrics=result.metrics,
        artifact=result.artifact,
        report=result.report,
        forecast=result.forecast,
        log=result.log,
        series=result.series,
        device=result.device or accelerator.device_of(spec, workload),
        warnings=result.warnings,
    )
    judged = made.get("verdict")
    events = verdict.event_of(judged) if isinstance(judged, Verdict) else ()
    return batch_completion.succeeded(state, spec, workload, result, message, {**made, "result": left}, events)


def _storage(state: TrainingState, spec: TrainingJobSpec, artifact: Artifact | None) -> Storage | None:
    """Return how to read the artifact, ``None`` if the operator's defaults have changed since it was written.

    The spec of a ModelVersion never changes, so a wrong server in it is worse than none. Without storage, the
    ModelDeployment reports what is missing.
    """
    try:
        storage = resolve_storage(spec, state.config.storage)
    except InvalidSpecError:
        return None
    below = storage.uri.rstrip("/") + "/"
    return storage if artifact is not None and artifact.uri.startswith(below) else None


def _unusable(
    state: TrainingState, spec: TrainingJobSpec, workload: WorkloadView, result: TrainingResult
) -> outcome.Failure | None:
    """Return the failure of an unusable result, ``None`` if the result is usable.

    A user's own image may report anything.
    """
    wanted = _MADE[spec.mode]
    if result.made != wanted:
        message = (
            f"the pod created a {result.made}, but spec.mode {spec.mode} requires a {wanted}: use the trainer image of "
            "the chart"
        )
        return outcome.result_missing(workload, message)
    foreign = _foreign_uri(state, spec, result)
    return outcome.result_refused(workload, foreign) if foreign else None


def _foreign_uri(state: TrainingState, spec: TrainingJobSpec, result: TrainingResult) -> str:
    """Return what is wrong with a URI that the pod reports, or an empty string. It must be inside the job's namespace.

    Servers may read the artifact with more permissions than the job has. If the job uses the operator's default
    storage, the default may have changed since the attempt began. The namespace is part of the path in every case.
    """
    namespace = f"/{state.job.namespace}/"
    artifact = result.artifact.uri if result.artifact is not None else None
    for uri in (each for each in (artifact, result.report, result.forecast) if each is not None):
        below = f"{spec.storage.uri.rstrip('/')}{namespace}" if spec.storage is not None else ""
        if not uri.startswith(below) or namespace not in uri or {".", ".."} & set(uri.split("/")):
            own = below or f"the folder {state.job.namespace}/ of the storage"
            return f"the pod reported {uri}, which is outside {own}: use the trainer image of the chart"
    return ""


def _version_taken(state: TrainingState, version: ModelVersionView) -> outcome.Failure:
    message = (
        f"ModelVersion {version.name} already exists and was created by TrainingJob {version.job_name}: this storage "
        "assigned the same version number again. "
        f"Use one storage.uri for all jobs of model {version.model}, or another modelName"
    )
    return outcome.Failure("VersionConflict", message, retryable=False, exit_code=0, end=state.now)
