"""Pods of a PredictionJob.

All functions are pure, so tests compare dicts.
"""

from typing import Final

from pydantic import ValidationError

from trainyard_api import API_VERSION, meta
from trainyard_api.base import first_problem
from trainyard_api.meta import PREDICTION_JOBS, progress_path
from trainyard_api.modelversion import ModelVersionSpec
from trainyard_api.predictionjob import PredictionJobSpec
from trainyard_api.training import Framework, Storage
from trainyard_api.wire import PredictionConfig
from trainyard_operator.core.batch.pod import (
    GRACE_SECONDS,
    claim_volumes,
    environment,
    grown_resources,
    open_up,
    options_of,
    own_volumes,
    scratch_volume,
    secret_volumes,
)
from trainyard_operator.core.batch.workload import Launch
from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.core.naming import PREDICTION_PREFIX, attempt_job_name
from trainyard_operator.core.objects import ModelVersionView, PredictionJobView
from trainyard_operator.core.plan import Body
from trainyard_operator.core.pods import confined_container, confined_pod, give, labels_of, pod_metadata
from trainyard_operator.core.resolve import InvalidSpecError, complete_storage, resolve_resources, storage_of

COMMAND: Final = "predict"

_FRAMEWORK_OF: Final[dict[str, Framework]] = {
    "auto": "Auto",
    "auto-table": "Auto",
    "lightgbm-forecast": "LightGBM",
    "lightgbm-text": "LightGBM",
    "prophet-json": "Prophet",
    "statsforecast": "StatsForecast",
    "safetensors": "Torch",
}
"""The framework that reads a format. The chart can set an image for each framework."""


def launch(
    job: PredictionJobView,
    spec: PredictionJobSpec,
    attempt: int,
    version: ModelVersionView,
    *,
    config: OperatorConfig,
    ca: str,
    out_of_memory: int = 0,
    limit: int | None = None,
    fallback: bool = False,
) -> Launch:
    """Return one attempt, ready to be created. ``version`` predicts. For the other parameters, see the launch of a
    training.

    Raises
    ------
    InvalidSpecError
        If the version cannot be read, or ``spec`` can never run.
    """
    settings = prediction_config(job, spec, attempt, version, config)
    labels = _labels(job, attempt, settings)
    options = options_of(job.namespace, spec, config)
    handed = {meta.CONFIG_ANNOTATION: settings.to_json(), meta.CA_ANNOTATION: ca}
    return Launch(
        name=attempt_job_name(job, attempt, prefix=PREDICTION_PREFIX, fallback=fallback),
        namespace=job.namespace,
        owner=_owner(job),
        labels=labels_of(options, labels),
        annotations=options.annotations or {},
        template={
            "metadata": pod_metadata(options, labels, handed),
            "spec": _pod(job, settings, config, out_of_memory),
        },
        containers=(meta.CONTAINER,),
        limit=limit,
    )


def prediction_config(
    job: PredictionJobView, spec: PredictionJobSpec, attempt: int, version: ModelVersionView, config: OperatorConfig
) -> PredictionConfig:
    """Return the configuration of one attempt, with the operator's defaults for the storage of the output."""
    try:
        found = ModelVersionSpec.model_validate(version.spec, extra="ignore")
    except ValidationError as error:
        problem = first_problem(error, "spec")
        raise InvalidSpecError(f"ModelVersion {version.name} cannot be read by this release: {problem}") from error
    url = config.progress.url.rstrip("/")
    path = progress_path(job.namespace, job.name, plural=PREDICTION_JOBS)
    return PredictionConfig(
        namespace=job.namespace,
        name=job.name,
        uid=job.uid,
        attempt=attempt,
        model_name=found.model,
        version=found.version,
        artifact=found.artifact,
        storage=storage_of(version, config.storage),
        spec=with_output(spec, config),
        progress_url=f"{url}{path}" if url else None,
        image=spec.image or config.images.for_framework(_framework_of(found.formats)),
    )


def with_output(spec: PredictionJobSpec, config: OperatorConfig) -> PredictionJobSpec:
    """Return the spec with the operator's defaults for the server of the output files."""
    if spec.output.files is None:
        return spec
    files = complete_storage(spec.output.files, config.storage)
    return spec.model_copy(update={"output": spec.output.model_copy(update={"files": files})})


def _framework_of(formats: list[str]) -> Framework:
    return next((_FRAMEWORK_OF[name] for name in formats if name in _FRAMEWORK_OF), "Auto")


def _pod(job: PredictionJobView, settings: PredictionConfig, config: OperatorConfig, out_of_memory: int) -> Body:
    spec = settings.spec
    options = options_of(job.namespace, spec, config)
    volumes, mounts = _volumes(job, settings, scratch_volume(resolve_resources(spec, config)))
    container: Body = {
        "name": meta.CONTAINER,
        "image": settings.image,
        "args": [COMMAND],
        "imagePullPolicy": config.images.pull_policy,
        "env": environment(
            settings.progress_url,
            {
                meta.DATA_SECRET_DIR_ENV: meta.DATA_SECRET_DIR,
                meta.STORAGE_SECRET_DIR_ENV: meta.STORAGE_SECRET_DIR,
                meta.OUTPUT_SECRET_DIR_ENV: meta.OUTPUT_SECRET_DIR,
            },
        ),
        "resources": grown_resources(spec, config, out_of_memory),
        "volumeMounts": mounts,
        **confined_container(config.trainer),
    }
    open_up(container, options)
    pod: Body = {
        "restartPolicy": "Never",
        **confined_pod(config.trainer),
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "containers": [container],
        "volumes": volumes,
    }
    return give(pod, options)


def _volumes(job: PredictionJobView, settings: PredictionConfig, scratch: Body) -> tuple[list[Body], list[Body]]:
    data, output = settings.spec.data, settings.spec.output
    files: Storage | None = output.files
    secrets = {
        meta.DATA_SECRET_DIR: data.secret_ref or (data.sql.secret_ref if data.sql else None),
        meta.STORAGE_SECRET_DIR: settings.storage.secret_ref,
        meta.OUTPUT_SECRET_DIR: output.sql.secret_ref if output.sql else files.secret_ref if files else None,
    }
    audience = meta.token_audience(job.namespace, job.name, job.uid, plural=PREDICTION_JOBS)
    read = [data.uri, settings.artifact.uri, *(each.uri for each in data.covariates or ())]
    parts = (
        own_volumes(audience, scratch),
        secret_volumes(secrets),
        claim_volumes(read, [files.uri if files else None]),
    )
    return [volume for volumes, _ in parts for volume in volumes], [mount for _, mounts in parts for mount in mounts]


def _labels(job: PredictionJobView, attempt: int, settings: PredictionConfig) -> dict[str, str]:
    return {
        meta.MANAGED_BY_LABEL: meta.MANAGED_BY,
        meta.PREDICTION_JOB_LABEL: job.name,
        meta.PREDICTION_UID_LABEL: job.uid,
        meta.ATTEMPT_LABEL: str(attempt),
        meta.MODEL_LABEL: settings.model_name,
        meta.VERSION_LABEL: str(settings.version),
    }


def _owner(job: PredictionJobView) -> Body:
    return {
        "apiVersion": API_VERSION,
        "kind": "PredictionJob",
        "name": job.name,
        "uid": job.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
