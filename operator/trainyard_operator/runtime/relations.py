"""Who belongs to whom: by what an object is found, and whose decisions it may change."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from trainyard_api import meta
from trainyard_operator.core.naming import FALLBACK_SUFFIX
from trainyard_operator.kube import views
from trainyard_operator.kube.watched import Kind
from trainyard_operator.runtime.keys import Key

Term = tuple[str, ...]

OWNER: Final[dict[Kind, tuple[Kind, str, str]]] = {
    "Job": ("TrainingJob", meta.JOB_LABEL, meta.UID_LABEL),
    "Deployment": ("ModelDeployment", meta.DEPLOYMENT_LABEL, meta.DEPLOYMENT_UID_LABEL),
    "Service": ("ModelDeployment", meta.DEPLOYMENT_LABEL, meta.DEPLOYMENT_UID_LABEL),
}
"""For each kind of child: the kind of its owner, and the labels with the owner's name and uid."""


def owner_term(uid: str) -> Term:
    """Return the term that finds the children of an object."""
    return ("owner", uid)


def schedule_term(uid: str) -> Term:
    """Return the term that finds the TrainingJobs of a TrainingSchedule."""
    return ("schedule", uid)


def model_term(namespace: str, model: str) -> Term:
    """Return the term that finds what concerns one model."""
    return ("model", namespace, model)


def terms(kind: Kind, body: Mapping[str, Any]) -> tuple[Term, ...]:
    """Return the terms that find an object."""
    metadata, spec = body["metadata"], body.get("spec") or {}
    labels = metadata.get("labels") or {}
    match kind:
        case "TrainingJob":
            model = model_term(metadata["namespace"], spec.get("modelName") or metadata["name"])
            schedule = _schedule_of(metadata)
            return (model, schedule_term(schedule["uid"])) if schedule else (model,)
        case "ModelVersion":
            return (model_term(metadata["namespace"], spec["model"]),)
        case "ModelDeployment":
            return (model_term(metadata["namespace"], spec["modelName"]),)
        case "Job" | "Deployment" | "Service":
            return (owner_term(labels[OWNER[kind][2]]),)
        case "TrainingSchedule":
            return ()


def is_child(kind: Kind, body: Mapping[str, Any]) -> bool:
    """Tell whether an object names its owner as a child of ours does, and is named after it.

    A user may have edited its labels, or made a copy of it under another name, which is theirs.
    """
    if kind not in OWNER:
        return True
    _, name, uid = OWNER[kind]
    labels = body["metadata"].get("labels") or {}
    if name not in labels or uid not in labels:
        return False
    child = body["metadata"]["name"]
    match kind:
        case "Job":
            attempt = views.attempt_of(child)
            return attempt > 0 and child.removesuffix(FALLBACK_SUFFIX) == f"{labels[name]}-{attempt}"
        case "Deployment":
            version = str(labels.get(meta.VERSION_LABEL, ""))
            return version.isdecimal() and child == f"{labels[name]}-v{version}"
        case _:
            return True


def concerned(kind: Kind, body: Mapping[str, Any]) -> tuple[set[Key], Term | None]:
    """Return whose decisions hang on an object: keys, and a term that finds further versions and deployments."""
    metadata = body["metadata"]
    namespace, labels = metadata["namespace"], metadata.get("labels") or {}
    if kind in OWNER:
        owner, name, _ = OWNER[kind]
        return {Key(namespace, labels[name], owner)}, None
    keys = {Key(namespace, metadata["name"], kind)}
    match kind:
        case "TrainingJob" if schedule := _schedule_of(metadata):
            return keys | {Key(namespace, schedule["name"], "TrainingSchedule")}, None
        case "ModelVersion":
            job = (body.get("spec") or {}).get("trainingJob") or {}
            made_by = {Key(namespace, job["name"], "TrainingJob")} if "name" in job else set()
            return keys | made_by, terms(kind, body)[0]
        case "ModelDeployment":
            return keys, terms(kind, body)[0]
        case _:
            return keys, None


def _schedule_of(metadata: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the reference to the TrainingSchedule that a TrainingJob is of. Labels do not tell: people copy them."""
    owners: Iterable[Mapping[str, Any]] = metadata.get("ownerReferences") or ()
    return next((each for each in owners if each.get("controller") and each.get("kind") == "TrainingSchedule"), None)
