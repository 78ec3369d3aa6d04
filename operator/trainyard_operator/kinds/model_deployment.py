"""ModelDeployments. They affect the versions that they name, and those that are not judged yet."""

from collections.abc import Mapping
from typing import Any, Final

from trainyard_api.modeldeployment import ModelDeploymentStatus
from trainyard_operator.core.naming import version_name
from trainyard_operator.core.objects import ModelDeploymentView
from trainyard_operator.core.plan import Kind
from trainyard_operator.core.serving.saved import SAVES
from trainyard_operator.kinds.base import Concern, Key, Term, WatchedKind, model_term
from trainyard_operator.kinds.model_version import of_model, waiting_term
from trainyard_operator.kinds.prediction_job import waits_for_deployment
from trainyard_operator.kinds.series import Page, Seen, condition_of, family_of, labels_of, seconds_of
from trainyard_operator.kube import views
from trainyard_operator.kube.port import MODEL_DEPLOYMENTS


def _terms(body: Mapping[str, Any]) -> tuple[Term, ...]:
    return (model_term(body["metadata"]["namespace"], (body.get("spec") or {})["modelName"]),)


def _concerns(body: Mapping[str, Any], kind: Kind) -> Concern:
    namespace, view = body["metadata"]["namespace"], MODEL_DEPLOYMENT.view(dict(body))
    keys = {Key(namespace, body["metadata"]["name"], kind)}
    if view.unreadable:  # all versions wait until it is readable, whatever it contains
        return Concern(keys, terms=of_model(namespace, view.model, model_term))
    predicts = ("PredictionJob", waits_for_deployment(namespace, body["metadata"]["name"]))
    named = (Key(namespace, version_name(view.model, number), "ModelVersion") for number in _numbers(view.status))
    return Concern(keys, frozenset(named), (*of_model(namespace, view.model, waiting_term), predicts))


def _numbers(status: ModelDeploymentStatus) -> set[int]:
    """Return the versions in the status of a ModelDeployment."""
    serving = (status.active_version, status.previous_version, status.candidate_version)
    return {n for n in serving if n is not None} | {entry.version for entry in status.rejected_versions or ()}


_TRAINED: Final = family_of(
    "ModelDeployment", "trained_timestamp_seconds", "Time when the active version was created, in seconds since 1970"
)
_ACTIVE: Final = family_of("ModelDeployment", "active_version", "Number of the version that serves")
_OBJECTIVE: Final = family_of(
    "ModelDeployment", "objective", "Objective of the active version, as measured in its training"
)
_READY: Final = family_of("ModelDeployment", "ready", "1 while the active version serves, else 0")
_CONDITION: Final = family_of("ModelDeployment", "condition", "1 for each condition that is True and needs attention")
_ATTENTION: Final = ("Stalled", "RolledBack", "NewerVersionRejected")
"""Conditions that need attention."""


def _series(page: Page, deployment: Seen) -> None:
    if not deployment.named:
        return
    status = deployment.status
    page.add(_READY, deployment.labels, int(condition_of(status, "Ready").get("status") == "True"))
    for name in _ATTENTION:
        if condition_of(status, name).get("status") == "True":
            labels = labels_of(condition=name, reason=page.reason(status, name))
            page.add(_CONDITION, f"{deployment.labels},{labels}", 1)
    active = status.get("activeVersion")
    if active is None:
        return
    page.add(_ACTIVE, deployment.labels, active)
    if (moment := seconds_of(status.get("activeTrainedTime"))) is not None:
        page.add(_TRAINED, deployment.labels, moment)
    model = str(page.spec_of(deployment.namespace, deployment.name, "ModelDeployment").get("modelName") or "")
    version = page.spec_of(deployment.namespace, version_name(model, active), "ModelVersion")
    if (value := version.get("objectiveValue")) is not None:
        metric = version.get("objectiveMetric") or (version.get("objective") or {}).get("metric") or ""
        page.add(_OBJECTIVE, f"{deployment.labels},{labels_of(metric=metric)}", float(value))


MODEL_DEPLOYMENT: Final[WatchedKind[ModelDeploymentView]] = WatchedKind(
    name="ModelDeployment",
    resource=MODEL_DEPLOYMENTS,
    read=views.model_deployment,
    owns=("Deployment", "Service", "PodDisruptionBudget"),
    terms=_terms,
    concerns=_concerns,
    saves=SAVES,
    families=(_TRAINED, _ACTIVE, _OBJECTIVE, _READY, _CONDITION),
    series=_series,
    is_named=True,
)
