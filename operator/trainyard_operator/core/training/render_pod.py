"""Pod of an attempt: containers, volumes and mounts.

All functions are pure, so tests compare dicts.
"""

from trainyard_api import meta
from trainyard_api.pod import KeyRef, PodOptions, Resources
from trainyard_api.training import Retry
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_api.wire import TrainerConfig
from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.core.objects import TrainingJobView
from trainyard_operator.core.plan import Body
from trainyard_operator.core.pods import confined_container, confined_pod, give, mount, over
from trainyard_operator.core.quantity import grown
from trainyard_operator.core.resolve import (
    InvalidSpecError,
    accelerated_selector,
    accelerated_tolerations,
    resolve_resources,
)
from trainyard_operator.core.training.render_container import is_container, three_steps

TOKEN_SECONDS = 3600
"""Lifetime of a projected token. The kubelet renews it early."""

GRACE_SECONDS = 60
"""Time for the trainer to save its state after SIGTERM."""


def options_of(namespace: str, spec: TrainingJobSpec, config: OperatorConfig) -> PodOptions:
    """Return the pod options of a job: from the chart, the namespace, and the job itself."""
    options = over(spec, _defaults(namespace, config))
    return options.model_copy(
        update={
            "node_selector": {**(options.node_selector or {}), **accelerated_selector(spec, config)} or None,
            "tolerations": [*(options.tolerations or ()), *accelerated_tolerations(spec, config)] or None,
        }
    )


def attempt_pod(
    job: TrainingJobView, spec: TrainingJobSpec, settings: TrainerConfig, config: OperatorConfig, out_of_memory: int
) -> Body:
    """Return the PodSpec of one attempt, with restricted permissions and the required mounts.

    With framework Container, the user's image runs between two containers that have the Secrets. These two containers
    get the variables and mounts of the chart. The user's container gets those of the job.
    """
    defaults = _defaults(job.namespace, config)
    options = options_of(job.namespace, spec, config)
    resources = resolve_resources(spec, config)
    scratch = scratch_volume(resources)
    volumes, mounts = _volumes(job, settings, scratch)
    growth = (spec.retry or Retry()).memory_growth
    container: Body = {
        "name": meta.CONTAINER,
        "image": settings.image,
        "imagePullPolicy": config.images.pull_policy,
        "env": _environment(settings),
        "resources": _grown(resources, growth**out_of_memory),
        "volumeMounts": mounts,
        **confined_container(config.trainer),
    }
    own = spec.model_copy(update={"shared_memory": options.shared_memory})
    before: list[Body] = []
    if is_container(spec):
        _open_up(container, defaults.model_copy(update={"shared_memory": None}))
        before, container, more = three_steps(container, spec, config, scratch)
        mount(before[-1], own)
        volumes += more
    else:
        _open_up(container, options)
    pod: Body = {
        "restartPolicy": "Never",
        **confined_pod(config.trainer),
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        **({"initContainers": before} if before else {}),
        "containers": [container],
        "volumes": volumes,
    }
    return give(pod, options)


def _defaults(namespace: str, config: OperatorConfig) -> PodOptions:
    return over(config.in_namespace(namespace).trainer, config.trainer)


def _open_up(container: Body, options: PodOptions) -> None:
    """Add the variables and mounts of the options to a trainer container."""
    container["env"] = [*container["env"], *(one.wire() for one in options.env or ())]
    mount(container, options)


def scratch_volume(resources: Resources) -> Body:
    """Return an emptyDir with the pod's storage limit. The kubelet evicts a pod that exceeds it."""
    limit = (resources.limits or {}).get("ephemeral-storage")
    return {"emptyDir": {"sizeLimit": str(limit)} if limit is not None else {}}


def _grown(resources: Resources, factor: float) -> Body:
    body: Body = resources.wire()
    if factor > 1:
        for part in body.values():
            if "memory" in part:
                try:
                    part["memory"] = grown(part["memory"], factor)
                except ValueError as error:
                    raise InvalidSpecError(f"spec.resources: memory {error}") from error
    return body


def _environment(settings: TrainerConfig) -> list[Body]:
    paths = {
        meta.CONFIG_DIR_ENV: meta.CONFIG_DIR,
        meta.DATA_SECRET_DIR_ENV: meta.DATA_SECRET_DIR,
        meta.STORAGE_SECRET_DIR_ENV: meta.STORAGE_SECRET_DIR,
        meta.TRACKING_SECRET_DIR_ENV: meta.TRACKING_SECRET_DIR,
        meta.CLAIMS_DIR_ENV: meta.CLAIMS_DIR,
        meta.WORK_DIR_ENV: meta.WORK_DIR,
        meta.TERMINATION_LOG_ENV: meta.TERMINATION_LOG,
        **({meta.SCRIPT_DIR_ENV: meta.SCRIPT_DIR} if _config_map(settings.spec) else {}),
        meta.KUBEFLOW_URL_ENV: settings.progress_url or "",
        meta.KUBEFLOW_CA_ENV: f"{meta.CONFIG_DIR}/{meta.CA_FILE}",
        meta.KUBEFLOW_TOKEN_ENV: f"{meta.CONFIG_DIR}/{meta.TOKEN_FILE}",
    }
    return [{"name": name, "value": value} for name, value in paths.items()]


def _volumes(job: TrainingJobView, settings: TrainerConfig, scratch: Body) -> tuple[list[Body], list[Body]]:
    """Return volumes and mounts for the configuration, scratch space, credentials, and the claims that URIs name."""
    audience = meta.token_audience(job.namespace, job.name, job.uid)
    annotations = ((meta.CONFIG_FILE, meta.CONFIG_ANNOTATION), (meta.CA_FILE, meta.CA_ANNOTATION))
    items = [{"path": path, "fieldRef": {"fieldPath": f"metadata.annotations['{key}']"}} for path, key in annotations]
    token = {"path": meta.TOKEN_FILE, "audience": audience, "expirationSeconds": TOKEN_SECONDS}
    projected = {"sources": [{"downwardAPI": {"items": items}}, {"serviceAccountToken": token}]}
    volumes: list[Body] = [{"name": "trainyard", "projected": projected}, {"name": "work", **scratch}]
    mounts: list[Body] = [
        {"name": "trainyard", "mountPath": meta.CONFIG_DIR, "readOnly": True},
        {"name": "work", "mountPath": meta.WORK_DIR},
    ]
    data, storage = settings.spec.data, settings.spec.storage
    mlflow = settings.spec.tracking.mlflow if settings.spec.tracking else None
    for name, reference, path in (
        ("data-secret", data.secret_ref or (data.sql.secret_ref if data.sql else None), meta.DATA_SECRET_DIR),
        ("storage-secret", storage.secret_ref if storage else None, meta.STORAGE_SECRET_DIR),
        ("tracking-secret", mlflow.secret_ref if mlflow else None, meta.TRACKING_SECRET_DIR),
    ):
        if reference is not None:
            volumes.append({"name": name, "secret": {"secretName": reference.name, "defaultMode": 0o440}})
            mounts.append({"name": name, "mountPath": path, "readOnly": True})
    if (script := _config_map(settings.spec)) is not None:
        source = {"name": script.name, "items": [{"key": script.key, "path": script.key}], "optional": script.optional}
        volumes.append({"name": "script", "configMap": {k: v for k, v in source.items() if v is not None}})
        mounts.append({"name": "script", "mountPath": meta.SCRIPT_DIR, "readOnly": True})
    for number, (claim, writable) in enumerate(sorted(_claims(settings).items())):
        name = f"claim-{number}"
        volumes.append({"name": name, "persistentVolumeClaim": {"claimName": claim}})
        mounts.append({"name": name, "mountPath": f"{meta.CLAIMS_DIR}/{claim}", "readOnly": not writable})
    return volumes, mounts


def _config_map(spec: TrainingJobSpec) -> KeyRef | None:
    """Return the ConfigMap key of the script, if it is mounted.

    Without the ConfigMap the pod waits, unless it is optional.
    """
    return spec.script.config_map_ref if spec.script is not None and spec.mode == "Train" else None


def _claims(settings: TrainerConfig) -> dict[str, bool]:
    """Return the claims that URIs name, and whether the pod writes to each."""
    data, storage = settings.spec.data, settings.spec.storage
    script = settings.spec.script
    read = [data.uri, *(covariate.uri for covariate in data.covariates or ()), script.uri if script else None]
    claims = {claim: False for uri in read if (claim := _claim(uri))}
    if storage is not None and (claim := _claim(storage.uri)):
        claims[claim] = True
    return claims


def _claim(uri: str | None) -> str:
    return uri.removeprefix("pvc://").split("/", 1)[0] if uri and uri.startswith("pvc://") else ""
