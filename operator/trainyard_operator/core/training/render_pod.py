"""Pod of an attempt: containers, volumes and mounts.

All functions are pure, so tests compare dicts.
"""

from trainyard_api import meta
from trainyard_api.pod import KeyRef
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_api.wire import TrainerConfig
from trainyard_operator.core.batch.pod import (
    GRACE_SECONDS,
    claim_volumes,
    default_options,
    environment,
    grown_resources,
    open_up,
    options_of,
    own_volumes,
    scratch_volume,
    secret_volumes,
)
from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.core.objects import TrainingJobView
from trainyard_operator.core.plan import Body
from trainyard_operator.core.pods import confined_container, confined_pod, give, mount
from trainyard_operator.core.resolve import resolve_resources
from trainyard_operator.core.training.render_container import is_container, three_steps


def attempt_pod(
    job: TrainingJobView, spec: TrainingJobSpec, settings: TrainerConfig, config: OperatorConfig, out_of_memory: int
) -> Body:
    """Return the PodSpec of one attempt, with restricted permissions and the required mounts.

    With framework Container, the user's image runs between two containers that have the Secrets. These two containers
    get the variables and mounts of the chart. The user's container gets those of the job.
    """
    defaults = default_options(job.namespace, config)
    options = options_of(job.namespace, spec, config)
    scratch = scratch_volume(resolve_resources(spec, config))
    volumes, mounts = _volumes(job, settings, scratch)
    container: Body = {
        "name": meta.CONTAINER,
        "image": settings.image,
        "imagePullPolicy": config.images.pull_policy,
        "env": _environment(settings),
        "resources": grown_resources(spec, config, out_of_memory),
        "volumeMounts": mounts,
        **confined_container(config.trainer),
    }
    own = spec.model_copy(update={"shared_memory": options.shared_memory})
    before: list[Body] = []
    if is_container(spec):
        open_up(container, defaults.model_copy(update={"shared_memory": None}))
        before, container, more = three_steps(container, spec, config, scratch)
        mount(before[-1], own)
        volumes += more
    else:
        open_up(container, options)
    pod: Body = {
        "restartPolicy": "Never",
        **confined_pod(config.trainer),
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        **({"initContainers": before} if before else {}),
        "containers": [container],
        "volumes": volumes,
    }
    return give(pod, options)


def _environment(settings: TrainerConfig) -> list[Body]:
    secret_dirs = {
        meta.DATA_SECRET_DIR_ENV: meta.DATA_SECRET_DIR,
        meta.STORAGE_SECRET_DIR_ENV: meta.STORAGE_SECRET_DIR,
        meta.TRACKING_SECRET_DIR_ENV: meta.TRACKING_SECRET_DIR,
        **({meta.SCRIPT_DIR_ENV: meta.SCRIPT_DIR} if _config_map(settings.spec) else {}),
    }
    return environment(settings.progress_url, secret_dirs)


def _volumes(job: TrainingJobView, settings: TrainerConfig, scratch: Body) -> tuple[list[Body], list[Body]]:
    """Return volumes and mounts for the configuration, scratch space, credentials, and the claims that URIs name."""
    spec = settings.spec
    mlflow = spec.tracking.mlflow if spec.tracking else None
    secrets = {
        meta.DATA_SECRET_DIR: spec.data.secret_ref or (spec.data.sql.secret_ref if spec.data.sql else None),
        meta.STORAGE_SECRET_DIR: spec.storage.secret_ref if spec.storage else None,
        meta.TRACKING_SECRET_DIR: mlflow.secret_ref if mlflow else None,
    }
    read = [spec.data.uri, *(each.uri for each in spec.data.covariates or ()), spec.script.uri if spec.script else None]
    parts = (
        own_volumes(meta.token_audience(job.namespace, job.name, job.uid), scratch),
        secret_volumes(secrets),
        _script_volume(spec),
        claim_volumes(read, [spec.storage.uri if spec.storage else None]),
    )
    return [volume for volumes, _ in parts for volume in volumes], [mount for _, mounts in parts for mount in mounts]


def _script_volume(spec: TrainingJobSpec) -> tuple[list[Body], list[Body]]:
    script = _config_map(spec)
    if script is None:
        return [], []
    source = {"name": script.name, "items": [{"key": script.key, "path": script.key}], "optional": script.optional}
    volume = {"name": "script", "configMap": {key: value for key, value in source.items() if value is not None}}
    return [volume], [{"name": "script", "mountPath": meta.SCRIPT_DIR, "readOnly": True}]


def _config_map(spec: TrainingJobSpec) -> KeyRef | None:
    """Return the ConfigMap key of the script, if it is mounted.

    Without the ConfigMap the pod waits, unless it is optional.
    """
    return spec.script.config_map_ref if spec.script is not None and spec.mode == "Train" else None
