"""ModelDeployments: they concern the versions that they name, and those that wait for a verdict."""

from collections.abc import Mapping
from typing import Any, Final

from trainyard_api.modeldeployment import ModelDeploymentStatus
from trainyard_operator.core.naming import version_name
from trainyard_operator.core.objects import ModelDeploymentView
from trainyard_operator.core.plan import Kind
from trainyard_operator.kinds.base import Concern, Key, Term, WatchedKind, model_term
from trainyard_operator.kinds.model_version import of_model, waiting_term
from trainyard_operator.kube import views
from trainyard_operator.kube.port import MODEL_DEPLOYMENTS


def _terms(body: Mapping[str, Any]) -> tuple[Term, ...]:
    return (model_term(body["metadata"]["namespace"], (body.get("spec") or {})["modelName"]),)


def _concerns(body: Mapping[str, Any], kind: Kind) -> Concern:
    namespace, view = body["metadata"]["namespace"], views.model_deployment(dict(body))
    keys = {Key(namespace, body["metadata"]["name"], kind)}
    if view.unreadable:  # all versions wait for it to be readable again, whatever it says then
        return Concern(keys, terms=of_model(namespace, view.model, model_term))
    named = (Key(namespace, version_name(view.model, number), "ModelVersion") for number in _numbers(view.status))
    return Concern(keys, frozenset(named), of_model(namespace, view.model, waiting_term))


def _numbers(status: ModelDeploymentStatus) -> set[int]:
    """Return the versions of which a ModelDeployment says something."""
    serving = (status.active_version, status.previous_version, status.candidate_version)
    return {n for n in serving if n is not None} | {entry.version for entry in status.rejected_versions or ()}


MODEL_DEPLOYMENT: Final[WatchedKind[ModelDeploymentView]] = WatchedKind(
    name="ModelDeployment",
    resource=MODEL_DEPLOYMENTS,
    read=views.model_deployment,
    owns=("Deployment", "Service", "PodDisruptionBudget"),
    terms=_terms,
    concerns=_concerns,
)
