"""Who belongs to whom: by what an object is found, and whose decisions it may change."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from trainyard_api import meta
from trainyard_api.modeldeployment import ModelDeploymentStatus
from trainyard_operator.core.naming import FALLBACK_SUFFIX, version_name
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


def waiting_term(namespace: str, model: str) -> Term:
    """Return the term that finds the versions of a model that are still to be judged."""
    return ("waiting", namespace, model)


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
            found = (model_term(metadata["namespace"], spec["model"]),)
            waits = (body.get("status") or {}).get("phase") in (None, "Pending")
            return (*found, waiting_term(metadata["namespace"], spec["model"])) if waits else found
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


class Concern(NamedTuple):
    """Whose decisions hang on an object.

    Attributes
    ----------
    keys
        Those that it names.
    versions
        ModelVersions that it names; some may not be there.
    terms
        What finds the others, by their kind.
    """

    keys: set[Key]
    versions: frozenset[Key] = frozenset()
    terms: tuple[tuple[Kind, Term], ...] = ()


def concerned(kind: Kind, body: Mapping[str, Any]) -> Concern:
    """Return whose decisions hang on an object as it is; whoever changes it asks for its state before, too.

    A judged version looks at itself, and at what the ModelDeployments of its model say of it. So thousands of them
    sleep while one is judged or served. One that is still to be judged looks at all versions and deployments.
    """
    metadata = body["metadata"]
    namespace = metadata["namespace"]
    if kind in OWNER:
        owner = controller_of(body, OWNER[kind])
        return Concern({Key(namespace, owner["name"], OWNER[kind])} if owner else set())
    keys = {Key(namespace, metadata["name"], kind)}
    match kind:
        case "TrainingJob" if schedule := controller_of(body, "TrainingSchedule"):
            return Concern(keys | {Key(namespace, schedule["name"], "TrainingSchedule")})
        case "ModelVersion":
            spec = body.get("spec") or {}
            job = spec.get("trainingJob") or {}
            made_by = {Key(namespace, job["name"], "TrainingJob")} if "name" in job else set()
            return Concern(keys | made_by, terms=_of_model(namespace, spec["model"], waiting_term))
        case "ModelDeployment":
            view = views.model_deployment(dict(body))
            if view.unreadable:  # all versions wait for it to be readable again, whatever it says then
                return Concern(keys, terms=_of_model(namespace, view.model, model_term))
            named = (Key(namespace, version_name(view.model, n), "ModelVersion") for n in _numbers(view.status))
            return Concern(keys, frozenset(named), _of_model(namespace, view.model, waiting_term))
        case _:
            return Concern(keys)


def _of_model(namespace: str, model: str, versions: Callable[[str, str], Term]) -> tuple[tuple[Kind, Term], ...]:
    return (("ModelVersion", versions(namespace, model)), ("ModelDeployment", model_term(namespace, model)))


def _numbers(status: ModelDeploymentStatus) -> set[int]:
    """Return the versions of which a ModelDeployment says something."""
    serving = (status.active_version, status.previous_version, status.candidate_version)
    return {n for n in serving if n is not None} | {entry.version for entry in status.rejected_versions or ()}
