"""Who belongs to whom: by what an object is found, and whose decisions it may change."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from trainyard_api import meta
from trainyard_operator.core.naming import FALLBACK_SUFFIX
from trainyard_operator.kube import views
from trainyard_operator.kube.watched import Kind
from trainyard_operator.runtime.keys import Key

Term = tuple[str, ...]

OWNER: Final[dict[Kind, Kind]] = {
    "Job": "TrainingJob",
    "Deployment": "ModelDeployment",
    "Service": "ModelDeployment",
    "PodDisruptionBudget": "ModelDeployment",
}
"""For each kind of child: the kind of its owner."""


def owner_term(namespace: str, uid: str) -> Term:
    """Return the term that finds what an object controls, in its own namespace: an owner has no children elsewhere."""
    return ("owner", namespace, uid)


def model_term(namespace: str, model: str) -> Term:
    """Return the term that finds what concerns one model."""
    return ("model", namespace, model)


def orphan_term(namespace: str, schedule: str) -> Term:
    """Return the term that finds runs that name a schedule and that none owns, as after a restore."""
    return ("orphan", namespace, schedule)


def terms(kind: Kind, body: Mapping[str, Any]) -> tuple[Term, ...]:
    """Return the terms that find an object."""
    metadata, spec = body["metadata"], body.get("spec") or {}
    match kind:
        case "TrainingJob":
            model = model_term(metadata["namespace"], spec.get("modelName") or metadata["name"])
            schedule = controller_of(body, "TrainingSchedule")
            if schedule:
                return (model, owner_term(metadata["namespace"], schedule["uid"]))
            named = (metadata.get("labels") or {}).get(meta.SCHEDULE_LABEL)
            return (model, orphan_term(metadata["namespace"], named)) if named else (model,)
        case "ModelVersion":
            return (model_term(metadata["namespace"], spec["model"]),)
        case "ModelDeployment":
            return (model_term(metadata["namespace"], spec["modelName"]),)
        case "Job" | "Deployment" | "Service" | "PodDisruptionBudget":
            owner = controller_of(body, OWNER[kind])
            return (owner_term(metadata["namespace"], owner["uid"]),) if owner else ()
        case "TrainingSchedule":
            return ()


def is_child(kind: Kind, body: Mapping[str, Any]) -> bool:
    """Tell whether an object of ours controls a child, and the child is named after it.

    Labels do not tell: people copy them, and a tenant may write those of another. They only say whether a watch of ours
    would tell of it: a child that has lost them is not seen any more.
    """
    if kind not in OWNER:
        return True
    metadata, owner = body["metadata"], controller_of(body, OWNER[kind])
    if owner is None or (metadata.get("labels") or {}).get(meta.MANAGED_BY_LABEL) != meta.MANAGED_BY:
        return False
    child = metadata["name"]
    match kind:
        case "Job":
            attempt = views.attempt_of(child)
            return attempt > 0 and child.removesuffix(FALLBACK_SUFFIX) == f"{owner['name']}-{attempt}"
        case "Deployment":
            version = views.version_of(child)
            return version > 0 and child == f"{owner['name']}-v{version}"
        case _:
            return True


def controller_of(body: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    """Return the reference to the object of this kind that controls an object, ``None`` if there is none."""
    owners: Iterable[Mapping[str, Any]] = body["metadata"].get("ownerReferences") or ()
    return next((each for each in owners if each.get("controller") and each.get("kind") == kind), None)


def concerned(kind: Kind, body: Mapping[str, Any]) -> tuple[set[Key], Term | None]:
    """Return whose decisions hang on an object: keys, and a term that finds further versions and deployments."""
    metadata = body["metadata"]
    namespace = metadata["namespace"]
    if kind in OWNER:
        owner = controller_of(body, OWNER[kind])
        return ({Key(namespace, owner["name"], OWNER[kind])} if owner else set()), None
    keys = {Key(namespace, metadata["name"], kind)}
    match kind:
        case "TrainingJob" if schedule := controller_of(body, "TrainingSchedule"):
            return keys | {Key(namespace, schedule["name"], "TrainingSchedule")}, None
        case "ModelVersion":
            job = (body.get("spec") or {}).get("trainingJob") or {}
            made_by = {Key(namespace, job["name"], "TrainingJob")} if "name" in job else set()
            return keys | made_by, terms(kind, body)[0]
        case "ModelDeployment":
            return keys, terms(kind, body)[0]
        case _:
            return keys, None
