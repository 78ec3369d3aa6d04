"""TrainingJobs whose version already exists, for example after a restore from Git or a backup without a status.

The version was not deleted, or it was imported from the storage. A TrainingJob with this name and spec created it.
Therefore this job has nothing left to do.
"""

from pydantic import ValidationError

from trainyard_api.modelversion import ModelVersionSpec
from trainyard_api.trainingjob import Result, TrainingJobSpec, VersionRef
from trainyard_operator.core.batch.transition import Transition, finish
from trainyard_operator.core.naming import has_its_name, version_number
from trainyard_operator.core.objects import ModelVersionView
from trainyard_operator.core.plan import Plan
from trainyard_operator.core.times import to_rfc3339
from trainyard_operator.core.training import verdict
from trainyard_operator.core.training.saved import job_digest
from trainyard_operator.core.training.state import TrainingState

VERSION_EXISTS = "VersionExists"


def trained_before(state: TrainingState, job_spec: TrainingJobSpec) -> Plan | None:
    """End a job that has not begun and whose version exists, ``None`` for any other job."""
    status = state.job.status
    pending = status.phase in (None, "Pending", "Queued") and not status.attempts and not state.workloads
    if job_spec.mode != "Train" or not pending:
        return None
    fitting = [view for view in state.earlier if _fits(state, view)]
    view = max(fitting, key=version_number, default=None)
    if view is None:
        return None
    try:
        spec = ModelVersionSpec.model_validate(view.spec, extra="ignore")
    except ValidationError:
        return None  # it cannot be served
    message = (
        f"ModelVersion {view.name} was created by an earlier TrainingJob with this name and spec, so this job trains "
        "nothing; to train again, give the TrainingJob another name"
    )
    made = to_rfc3339(view.created)
    judged = verdict.of_version(view)
    changes = {
        "model_version": VersionRef(name=view.name, version=spec.version),
        "objective_metric": spec.objective_metric or (spec.objective.metric if spec.objective is not None else None),
        "objective_value": spec.objective_value,
        "verdict": judged,
        "start_time": made,
        "completion_time": made,
        "result": Result(metrics=spec.metrics, artifact=spec.artifact),
    }
    transition = Transition("Succeeded", VERSION_EXISTS, message, changes)
    return finish(state, transition, events=verdict.event_of(judged))


def _fits(state: TrainingState, view: ModelVersionView) -> bool:
    """Return whether this job would train the same version. An imported version does not record its spec."""
    made_by = view.spec.get("trainingJob") or {}
    same_spec = made_by.get("specDigest") in (None, job_digest(state.job))
    return made_by.get("name") == state.job.name and same_spec and has_its_name(view) and not view.deleting
