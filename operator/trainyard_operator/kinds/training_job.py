"""TrainingJobs, indexed by their model and by their schedule."""

from collections.abc import Mapping
from typing import Any, Final

from trainyard_api import meta
from trainyard_api.batch import TERMINAL_PHASES
from trainyard_operator.core.objects import TrainingJobView
from trainyard_operator.core.plan import Kind
from trainyard_operator.core.training.planner import TRAINING
from trainyard_operator.core.training.saved import SAVES
from trainyard_operator.kinds.base import (
    BatchWatchedKind,
    Concern,
    Key,
    Term,
    controller_of,
    model_term,
    owner_term,
    phase_of,
)
from trainyard_operator.kinds.batch_series import BatchSeries
from trainyard_operator.kube import views
from trainyard_operator.kube.port import TRAINING_JOBS

_SCHEDULE: Final = "TrainingSchedule"


def orphan_term(namespace: str, schedule: str) -> Term:
    """Return the index term of runs that name a schedule and have no owner, for example after a restore."""
    return ("orphan", namespace, schedule)


def _terms(body: Mapping[str, Any]) -> tuple[Term, ...]:
    metadata, spec = body["metadata"], body.get("spec") or {}
    namespace = metadata["namespace"]
    model = model_term(namespace, spec.get("modelName") or metadata["name"])
    schedule = controller_of(body, _SCHEDULE)
    if schedule:
        return (model, owner_term(namespace, schedule["uid"]))
    named = (metadata.get("labels") or {}).get(meta.SCHEDULE_LABEL)
    return (model, orphan_term(namespace, named)) if named else (model,)


def _concerns(body: Mapping[str, Any], kind: Kind) -> Concern:
    namespace, schedule = body["metadata"]["namespace"], controller_of(body, _SCHEDULE)
    made_by = {Key(namespace, schedule["name"], _SCHEDULE)} if schedule else set()
    return Concern({Key(namespace, body["metadata"]["name"], kind)} | made_by)


_SERIES: Final = BatchSeries("TrainingJob", "train")

TRAINING_JOB: Final[BatchWatchedKind[TrainingJobView]] = BatchWatchedKind(
    name="TrainingJob",
    resource=TRAINING_JOBS,
    read=views.training_job,
    owns=TRAINING.workload.kinds,
    workload=TRAINING.workload,
    schedule=_SCHEDULE,
    terms=_terms,
    concerns=_concerns,
    is_at_rest=lambda body: phase_of(body) in TERMINAL_PHASES,
    saves=SAVES,
    families=_SERIES.families,
    series=_SERIES.add,
)
