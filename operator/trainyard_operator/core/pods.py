"""What every pod of ours has, whichever kind it is for: the restricted profile, and what chart and users add to it.

Three layers say what a pod is given: the chart, the chart for the pod's namespace, and the object. Each is a
``PodOptions``; :func:`over` lays one over another, and :func:`give` puts the result into a PodSpec.
"""

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from trainyard_api import meta
from trainyard_api.pod import PodOptions
from trainyard_operator.core.config import PodDefaults
from trainyard_operator.core.plan import Body
from trainyard_operator.core.resolve import InvalidSpecError

T = TypeVar("T")

_SHARED_MEMORY: Final = "shared-memory"
_RESERVED: Final = (
    meta.CONFIG_DIR,
    meta.DATA_SECRET_DIR,
    meta.STORAGE_SECRET_DIR,
    meta.TRACKING_SECRET_DIR,
    meta.CLAIMS_DIR,
    meta.WORK_DIR,
    meta.INPUT_DIR,
    meta.OUTPUT_DIR,
    meta.SCRIPT_DIR,
)
"""Where our own volumes lie: another one there would hide them."""


def confined_pod(defaults: PodDefaults) -> Body:
    """Return the fields of a PodSpec that keep its containers from the node and from the API server."""
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": dict(defaults.pod_security_context),
    }


def confined_container(defaults: PodDefaults) -> Body:
    """Return the fields of a container that may gain no rights and writes to its volumes and its last words alone."""
    return {
        "terminationMessagePath": meta.TERMINATION_LOG,
        "terminationMessagePolicy": "File",
        "securityContext": dict(defaults.security_context),
    }


def over(own: PodOptions, base: PodOptions) -> PodOptions:
    """Lay the options of an object over those of its surroundings.

    Maps are merged by key and variables by name, lists are put together, and a single value takes the place of the
    other.
    """
    # Not validated again: together there may be more of something than one layer may have.
    return PodOptions.model_construct(
        node_selector=_merged(base.node_selector, own.node_selector),
        tolerations=_union(base.tolerations, own.tolerations),
        affinity=own.affinity or base.affinity,
        topology_spread_constraints=own.topology_spread_constraints or base.topology_spread_constraints,
        service_account_name=own.service_account_name or base.service_account_name,
        image_pull_secrets=_union(base.image_pull_secrets, own.image_pull_secrets),
        env=list({one.name: one for one in (*(base.env or ()), *(own.env or ()))}.values()) or None,
        labels=_merged(base.labels, own.labels),
        annotations=_merged(base.annotations, own.annotations),
        pod_labels=_merged(base.pod_labels, own.pod_labels),
        pod_annotations=_merged(base.pod_annotations, own.pod_annotations),
        priority_class_name=own.priority_class_name or base.priority_class_name,
        runtime_class_name=own.runtime_class_name or base.runtime_class_name,
        volumes=_union(base.volumes, own.volumes),
        volume_mounts=_union(base.volume_mounts, own.volume_mounts),
        shared_memory=base.shared_memory if own.shared_memory is None else own.shared_memory,
    )


def labels_of(options: PodOptions, own: Mapping[str, str]) -> dict[str, str]:
    """Return the labels of an object that is made for a user's: ours cannot be changed."""
    return {**(options.labels or {}), **own}


def pod_metadata(options: PodOptions, labels: Mapping[str, str], annotations: Mapping[str, str]) -> Body:
    """Return the metadata of a pod template. Ours cannot be changed."""
    noted = {**(options.annotations or {}), **(options.pod_annotations or {}), **annotations}
    return {
        "labels": {**(options.labels or {}), **(options.pod_labels or {}), **labels},
        **({"annotations": noted} if noted else {}),
    }


def mount(container: Body, options: PodOptions) -> None:
    """Add to a container what it is to see of the pod's further volumes.

    Raises
    ------
    InvalidSpecError
        If a volume would lie where one of ours does.
    """
    mounts = [one.wire() for one in options.volume_mounts or ()]
    for one in mounts:
        path = one["mountPath"].rstrip("/") + "/"
        hidden = [own for own in _RESERVED if f"{own}/".startswith(path) or path.startswith(f"{own}/")]
        if hidden:
            raise InvalidSpecError(f"volumeMounts: {one['mountPath']} would hide {hidden[0]}; mount it elsewhere")
    if options.shared_memory is not None:
        mounts.append({"name": _SHARED_MEMORY, "mountPath": "/dev/shm"})  # noqa: S108 - where shared memory lies
    container["volumeMounts"] = [*container["volumeMounts"], *mounts]


def give(pod: Body, options: PodOptions) -> Body:
    """Return a PodSpec with what it is given beside mounts and variables: those belong to single containers.

    Raises
    ------
    InvalidSpecError
        If a volume has the name of another one, or a container mounts one that is not there.
    """
    given: Body = {
        **pod,
        "volumes": [*pod["volumes"], *_volumes(options)],
        "nodeSelector": options.node_selector,
        "tolerations": [one.wire() for one in options.tolerations or ()] or None,
        "affinity": options.affinity.wire() if options.affinity is not None else None,
        "serviceAccountName": options.service_account_name or None,
        "imagePullSecrets": [one.wire() for one in options.image_pull_secrets or ()] or None,
        "priorityClassName": options.priority_class_name or None,
        "runtimeClassName": options.runtime_class_name or None,
    }
    if options.topology_spread_constraints:
        given["topologySpreadConstraints"] = [one.wire() for one in options.topology_spread_constraints]
    given = {key: value for key, value in given.items() if value is not None}
    _check_volumes(given)
    return given


def _volumes(options: PodOptions) -> list[Body]:
    volumes = [one.wire() for one in options.volumes or ()]
    if options.shared_memory is not None:
        folder = {"medium": "Memory", "sizeLimit": options.shared_memory}
        volumes.append({"name": _SHARED_MEMORY, "emptyDir": folder})
    return volumes


def _check_volumes(pod: Body) -> None:
    names = [volume["name"] for volume in pod["volumes"]]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InvalidSpecError(
            f"volumes: {twice} is there twice, or is a volume of the operator's; choose another name"
        )
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        for one in container["volumeMounts"]:
            if one["name"] not in names:
                raise InvalidSpecError(f"volumeMounts: there is no volume {one['name']}; add it to volumes")


def _merged(base: Mapping[str, str] | None, own: Mapping[str, str] | None) -> dict[str, str] | None:
    return {**(base or {}), **(own or {})} or None


def _union(base: Sequence[T] | None, own: Sequence[T] | None) -> list[T] | None:
    found = list(base or ())
    return [*found, *(one for one in own or () if one not in found)] or None
