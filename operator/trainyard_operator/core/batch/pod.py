"""Parts of a pod of an attempt that all batch kinds share: options, volumes, credentials and the configuration.

All functions are pure, so tests compare dicts.
"""

from collections.abc import Iterable, Mapping

from trainyard_api import meta
from trainyard_api.batch import BatchSpec
from trainyard_api.pod import PodOptions, Resources, SecretRef
from trainyard_api.training import Retry
from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.core.plan import Body
from trainyard_operator.core.pods import mount, over
from trainyard_operator.core.quantity import grown
from trainyard_operator.core.resolve import (
    InvalidSpecError,
    accelerated_selector,
    accelerated_tolerations,
    resolve_resources,
)

TOKEN_SECONDS = 3600
"""Lifetime of a projected token. The kubelet renews it early."""

GRACE_SECONDS = 60
"""Time for the trainer to save its state after SIGTERM."""

Secrets = Mapping[str, SecretRef | None]
"""The Secrets of a pod by their mount path. The last part of the path names the volume."""


def default_options(namespace: str, config: OperatorConfig) -> PodOptions:
    """Return the pod options of the chart and of the namespace."""
    return over(config.in_namespace(namespace).trainer, config.trainer)


def options_of(namespace: str, spec: BatchSpec, config: OperatorConfig) -> PodOptions:
    """Return the pod options of a job: from the chart, the namespace, and the job itself."""
    options = over(spec, default_options(namespace, config))
    return options.model_copy(
        update={
            "node_selector": {**(options.node_selector or {}), **accelerated_selector(spec, config)} or None,
            "tolerations": [*(options.tolerations or ()), *accelerated_tolerations(spec, config)] or None,
        }
    )


def open_up(container: Body, options: PodOptions) -> None:
    """Add the variables and mounts of the options to a container of the operator's image."""
    container["env"] = [*container["env"], *(one.wire() for one in options.env or ())]
    mount(container, options)


def scratch_volume(resources: Resources) -> Body:
    """Return an emptyDir with the pod's storage limit. The kubelet evicts a pod that exceeds it."""
    limit = (resources.limits or {}).get("ephemeral-storage")
    return {"emptyDir": {"sizeLimit": str(limit)} if limit is not None else {}}


def grown_resources(spec: BatchSpec, config: OperatorConfig, out_of_memory: int) -> Body:
    """Return the resources of an attempt. Each earlier attempt without enough memory multiplies the memory.

    Raises
    ------
    InvalidSpecError
        If the memory in ``spec.resources`` is not a quantity.
    """
    body: Body = resolve_resources(spec, config).wire()
    factor = (spec.retry or Retry()).memory_growth ** out_of_memory
    if factor > 1:
        for part in body.values():
            if "memory" in part:
                try:
                    part["memory"] = grown(part["memory"], factor)
                except ValueError as error:
                    raise InvalidSpecError(f"spec.resources: memory {error}") from error
    return body


def environment(progress_url: str | None, secret_dirs: Mapping[str, str]) -> list[Body]:
    """Return the variables of a container of the operator's image.

    ``secret_dirs`` are the folders of the Secrets that the kind mounts, by their variable.
    """
    paths = {
        meta.CONFIG_DIR_ENV: meta.CONFIG_DIR,
        **secret_dirs,
        meta.CLAIMS_DIR_ENV: meta.CLAIMS_DIR,
        meta.WORK_DIR_ENV: meta.WORK_DIR,
        meta.TERMINATION_LOG_ENV: meta.TERMINATION_LOG,
        meta.KUBEFLOW_URL_ENV: progress_url or "",
        meta.KUBEFLOW_CA_ENV: f"{meta.CONFIG_DIR}/{meta.CA_FILE}",
        meta.KUBEFLOW_TOKEN_ENV: f"{meta.CONFIG_DIR}/{meta.TOKEN_FILE}",
    }
    return [{"name": name, "value": value} for name, value in paths.items()]


def own_volumes(audience: str, scratch: Body) -> tuple[list[Body], list[Body]]:
    """Return volumes and mounts of the configuration with the token for ``audience``, and of the scratch space."""
    annotations = ((meta.CONFIG_FILE, meta.CONFIG_ANNOTATION), (meta.CA_FILE, meta.CA_ANNOTATION))
    items = [{"path": path, "fieldRef": {"fieldPath": f"metadata.annotations['{key}']"}} for path, key in annotations]
    token = {"path": meta.TOKEN_FILE, "audience": audience, "expirationSeconds": TOKEN_SECONDS}
    projected = {"sources": [{"downwardAPI": {"items": items}}, {"serviceAccountToken": token}]}
    return (
        [{"name": "trainyard", "projected": projected}, {"name": "work", **scratch}],
        [
            {"name": "trainyard", "mountPath": meta.CONFIG_DIR, "readOnly": True},
            {"name": "work", "mountPath": meta.WORK_DIR},
        ],
    )


def secret_volumes(secrets: Secrets) -> tuple[list[Body], list[Body]]:
    """Return volumes and mounts of Secrets, each named after the folder that it is mounted at."""
    volumes, mounts = [], []
    for path, reference in secrets.items():
        if reference is not None:
            name = f"{path.rpartition('/')[2]}-secret"
            volumes.append({"name": name, "secret": {"secretName": reference.name, "defaultMode": 0o440}})
            mounts.append({"name": name, "mountPath": path, "readOnly": True})
    return volumes, mounts


def claim_volumes(read: Iterable[str | None], written: Iterable[str | None]) -> tuple[list[Body], list[Body]]:
    """Return volumes and mounts of the claims in addresses. A claim is read-only unless the pod writes to it."""
    claims = {claim: False for uri in read if (claim := claim_of(uri))}
    claims |= {claim: True for uri in written if (claim := claim_of(uri))}
    volumes, mounts = [], []
    for number, (claim, writable) in enumerate(sorted(claims.items())):
        name = f"claim-{number}"
        volumes.append({"name": name, "persistentVolumeClaim": {"claimName": claim}})
        mounts.append({"name": name, "mountPath": f"{meta.CLAIMS_DIR}/{claim}", "readOnly": not writable})
    return volumes, mounts


def claim_of(uri: str | None) -> str:
    """Return the name of the claim in an address, empty if there is none."""
    return uri.removeprefix("pvc://").split("/", 1)[0] if uri and uri.startswith("pvc://") else ""
