"""Which version predicts. The rule is applied anew for each attempt, so a rollback also applies to a retry."""

from collections.abc import Iterable

from trainyard_api.predictionjob import PredictionJobSpec
from trainyard_operator.core.batch.kind import Unmet
from trainyard_operator.core.champion import bare, digest_of
from trainyard_operator.core.facts import Fact, Need
from trainyard_operator.core.naming import has_its_name, version_number
from trainyard_operator.core.objects import ModelVersionView
from trainyard_operator.core.prediction.state import PredictionState

DEPLOYMENT_MISSING = "DeploymentMissing"
DEPLOYMENT_UNREADABLE = "DeploymentUnreadable"
NO_ACTIVE_VERSION = "NoActiveVersion"
VERSION_MISSING = "VersionMissing"
NO_VALIDATED_VERSION = "NoValidatedVersion"


def choose(state: PredictionState, spec: PredictionJobSpec) -> ModelVersionView | Unmet | Need:
    """Return the version that predicts, what it waits for, or what must be read first."""
    asked = spec.model
    if asked.deployment is not None:
        return _active(state, asked.deployment)
    model = asked.name or ""
    if state.model_objects is None:
        return Need(Fact.MODEL_OBJECTS, model)
    known = _usable(state.model_objects.versions)
    if asked.version is not None:
        view = known.get(asked.version)
        message = (
            f"version {asked.version} of model {model} (spec.model) does not exist in this namespace; import it, or "
            "create a PredictionJob with another version"
        )
        return view if view is not None else Unmet(VERSION_MISSING, message)
    newest = max((number for number, view in known.items() if view.status.phase == "Validated"), default=None)
    if newest is None:
        message = (
            f"model {model} (spec.model) has no Validated version in this namespace yet; train one, or create a "
            "PredictionJob with spec.model.version"
        )
        return Unmet(NO_VALIDATED_VERSION, message)
    return known[newest]


def _active(state: PredictionState, name: str) -> ModelVersionView | Unmet | Need:
    deployment = state.deployment
    if deployment is None or deployment.deleting:
        message = f"ModelDeployment {name} (spec.model.deployment) does not exist in this namespace; create it"
        return Unmet(DEPLOYMENT_MISSING, message)
    number = deployment.status.active_version
    if deployment.unreadable:
        message = f"this release cannot read the status of ModelDeployment {name}: {deployment.unreadable}"
        return Unmet(DEPLOYMENT_UNREADABLE, message)
    if number is None:
        return Unmet(NO_ACTIVE_VERSION, f"ModelDeployment {name} (spec.model.deployment) has no active version yet")
    if state.model_objects is None:
        return Need(Fact.MODEL_OBJECTS, deployment.model)
    view = _usable(state.model_objects.versions).get(number)
    digest = bare(deployment.status.active_digest)
    if view is None or (digest and digest_of(view) != digest):
        message = (
            f"version {number}, the active one of ModelDeployment {name}, has no ModelVersion any more; restore it "
            "with trainyard-trainer import, or promote another version"
        )
        return Unmet(VERSION_MISSING, message)
    return view


def _usable(versions: Iterable[ModelVersionView]) -> dict[int, ModelVersionView]:
    return {version_number(view): view for view in versions if not view.deleting and has_its_name(view)}
