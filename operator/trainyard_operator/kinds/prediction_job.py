"""PredictionJobs. Those that wait for a version are indexed by their model, and by their ModelDeployment."""

from collections.abc import Mapping
from typing import Any, Final

from trainyard_api.batch import TERMINAL_PHASES
from trainyard_operator.core.objects import PredictionJobView
from trainyard_operator.core.prediction.planner import PREDICTION
from trainyard_operator.core.prediction.saved import SAVES
from trainyard_operator.kinds.base import BatchWatchedKind, Term, phase_of
from trainyard_operator.kinds.batch_series import BatchSeries
from trainyard_operator.kube import views
from trainyard_operator.kube.port import PREDICTION_JOBS

_WAITING: Final = (None, "Pending", "Retrying")
"""Phases in which the version is selected."""


def waits_for_model(namespace: str, model: str) -> Term:
    """Return the index term of the PredictionJobs that wait for a version of a model."""
    return ("predicts", namespace, model)


def waits_for_deployment(namespace: str, name: str) -> Term:
    """Return the index term of the PredictionJobs that wait for a version of a ModelDeployment."""
    return ("predicts-with", namespace, name)


def _terms(body: Mapping[str, Any]) -> tuple[Term, ...]:
    if phase_of(body) not in _WAITING:
        return ()
    namespace, model = body["metadata"]["namespace"], (body.get("spec") or {}).get("model") or {}
    if deployment := model.get("deployment"):
        return (waits_for_deployment(namespace, deployment),)
    return (waits_for_model(namespace, model.get("name") or ""),)


_SERIES: Final = BatchSeries("PredictionJob", "predict")

PREDICTION_JOB: Final[BatchWatchedKind[PredictionJobView]] = BatchWatchedKind(
    name="PredictionJob",
    resource=PREDICTION_JOBS,
    read=views.prediction_job,
    owns=PREDICTION.workload.kinds,
    workload=PREDICTION.workload,
    terms=_terms,
    is_at_rest=lambda body: phase_of(body) in TERMINAL_PHASES,
    saves=SAVES,
    families=_SERIES.families,
    series=_SERIES.add,
)
