"""Common fields of all pods: the restricted profile, and the options of the chart and the users.

Three layers define the options of a pod: the chart, the chart for the pod's namespace, and the object. Each layer is a
``PodOptions``. :func:`over` merges two layers, and :func:`give` adds the result to a PodSpec.
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
    meta.OUTPUT_SECRET_DIR,
    meta.TRACKING_SECRET_DIR,
    meta.CLAIMS_DIR,
    meta.WORK_DIR,
    meta.INPUT_DIR,
    meta.OUTPUT_DIR,
    meta.SCRIPT_DIR,
)
"""Mount paths of the operator's volumes. Another volume there would hide them."""


def confined_pod(defaults: PodDefaults) -> Body:
    """Return the PodSpec fields that isolate the containers from the node and the API server."""
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": dict(defaults.pod_security_context),
    }


def confined_container(defaults: PodDefaults) -> Body:
    """Return the fields of a container without privileges.

    It may write only to its volumes and its termination message.
    """
    return {
        "terminationMessagePath": meta.TERMINATION_LOG,
        "terminationMessagePolicy": "File",
        "securityContext": dict(defaults.security_context),
    }


def over(own: PodOptions, base: PodOptions) -> PodOptions:
    """Merge the options of an object over the defaults.

    Maps are merged by key and variables by name. ``tolerations``, ``imagePullSecrets``, ``volumes`` and
    ``volumeMounts`` are concatenated. Every other value replaces the default.
    """
    # Not validated again: the merged options may exceed the limits of one layer.
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
    """Return the labels of a child. The operator's labels cannot be overridden."""
    return {**(options.labels or {}), **own}


def pod_metadata(options: PodOptions, labels: Mapping[str, str], annotations: Mapping[str, str]) -> Body:
    """Return the metadata of a pod template. The operator's metadata cannot be overridden."""
    noted = {**(options.annotations or {}), **(options.pod_annotations or {}), **annotations}
    return {
        "labels": {**(options.labels or {}), **(options.pod_labels or {}), **labels},
        **({"annotations": noted} if noted else {}),
    }


def mount(container: Body, options: PodOptions) -> None:
    """Add the mounts of the options to a container.

    Raises
    ------
    InvalidSpecError
        If a mount would hide one of the operator's volumes.
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
    """Return a PodSpec with the options, except mounts and variables, which belong to single containers.

    Raises
    ------
    InvalidSpecError
        If two volumes have the same name, or a container mounts a volume that does not exist.
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
            f"volumes: the name {twice} is used twice, or is the name of a volume of the operator; choose another name"
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
