"""ModelVersions. A judged version depends only on itself and on the ModelDeployments of its model.

Therefore thousands of versions stay idle while one is judged or served. A version that is not judged yet depends on all
versions and deployments of the model.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from trainyard_operator.core.objects import ModelVersionView
from trainyard_operator.core.plan import Kind
from trainyard_operator.core.version.saved import SAVES
from trainyard_operator.kinds.base import Concern, Key, Term, WatchedKind, model_term, phase_of
from trainyard_operator.kinds.prediction_job import waits_for_model
from trainyard_operator.kube import views
from trainyard_operator.kube.port import MODEL_VERSIONS

_WAITING: Final = (None, "Pending")
"""Phases of a version that is not judged yet."""


def waiting_term(namespace: str, model: str) -> Term:
    """Return the index term of a model's versions that are not judged yet."""
    return ("waiting", namespace, model)


def of_model(namespace: str, model: str, versions: Callable[[str, str], Term]) -> tuple[tuple[Kind, Term], ...]:
    """Return the index terms of a model's deployments, and of the versions that ``versions`` selects."""
    return (("ModelVersion", versions(namespace, model)), ("ModelDeployment", model_term(namespace, model)))


def _terms(body: Mapping[str, Any]) -> tuple[Term, ...]:
    namespace, model = body["metadata"]["namespace"], (body.get("spec") or {})["model"]
    found = (model_term(namespace, model),)
    return (*found, waiting_term(namespace, model)) if phase_of(body) in _WAITING else found


def _concerns(body: Mapping[str, Any], kind: Kind) -> Concern:
    namespace, spec = body["metadata"]["namespace"], body.get("spec") or {}
    job = spec.get("trainingJob") or {}
    made_by = {Key(namespace, job["name"], "TrainingJob")} if "name" in job else set()
    keys = {Key(namespace, body["metadata"]["name"], kind)} | made_by
    predicts = ("PredictionJob", waits_for_model(namespace, spec["model"]))
    return Concern(keys, terms=(*of_model(namespace, spec["model"], waiting_term), predicts))


MODEL_VERSION: Final[WatchedKind[ModelVersionView]] = WatchedKind(
    name="ModelVersion",
    resource=MODEL_VERSIONS,
    read=views.model_version,
    terms=_terms,
    concerns=_concerns,
    kept=lambda spec: {key: value for key, value in spec.items() if key != "signature"},
    is_at_rest=lambda body: phase_of(body) not in _WAITING,
    saves=SAVES,
)
