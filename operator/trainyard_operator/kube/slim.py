"""What the store keeps of an object: without what no decision reads and what fills memory."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from trainyard_api import GROUP
from trainyard_api.meta import SAVED_ANNOTATION
from trainyard_operator.core.saved import fingerprint
from trainyard_operator.kube.port import Body
from trainyard_operator.kube.watched import Kind

CONTAINER_LISTS: Final = ("initContainers", "containers")

MANAGERS = "managers"
"""In the metadata of a slim body, instead of managedFields: who wrote each annotation of our group."""


def slim(kind: Kind, body: Mapping[str, Any]) -> Body:
    """Return a smaller copy; parts that are kept are shared with the original."""
    metadata: Body = {
        key: value for key, value in body["metadata"].items() if key not in ("managedFields", "annotations")
    }
    own = {key: value for key, value in (body["metadata"].get("annotations") or {}).items() if _is_own(key)}
    if own:
        if SAVED_ANNOTATION in own and (body.get("status") or {}).get("observedGeneration", -1) >= 0:
            own[SAVED_ANNOTATION] = fingerprint(own[SAVED_ANNOTATION])
        metadata["annotations"] = own
        metadata[MANAGERS] = _managers(body, own)
    return {**body, "metadata": metadata, "spec": _spec(kind, body.get("spec") or {})}


def _spec(kind: Kind, spec: Body) -> Body:
    match kind:
        case "Job":
            pod = spec["template"]["spec"]
            template = {"spec": {part: _images(pod.get(part) or ()) for part in CONTAINER_LISTS}}
            return {"template": template, "activeDeadlineSeconds": spec.get("activeDeadlineSeconds")}
        case "ModelVersion":
            return {key: value for key, value in spec.items() if key != "signature"}
        case "TrainingJob" | "TrainingSchedule" | "ModelDeployment" | "Deployment" | "Service" | "PodDisruptionBudget":
            return spec


def _images(containers: Iterable[Body]) -> list[Body]:
    return [{"name": container["name"], "image": container.get("image", "")} for container in containers]


def _is_own(annotation: str) -> bool:
    return annotation.startswith(f"{GROUP}/")


def _managers(body: Mapping[str, Any], annotations: Body) -> dict[str, str]:
    """Return the field manager of each annotation: of several that own it, the one that wrote last."""
    entries = sorted(body["metadata"].get("managedFields") or (), key=lambda entry: entry.get("time") or "")
    managers: dict[str, str] = {}
    for entry in entries:
        owned = ((entry.get("fieldsV1") or {}).get("f:metadata") or {}).get("f:annotations") or {}
        managers |= {key: entry.get("manager", "") for key in annotations if f"f:{key}" in owned}
    return managers
