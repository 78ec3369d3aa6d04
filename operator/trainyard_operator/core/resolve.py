"""Resolve a spec: add the operator's defaults, or report why the spec cannot run."""

from typing import TypeVar

from pydantic import ValidationError

from trainyard_api.base import first_problem
from trainyard_api.batch import BatchSpec
from trainyard_api.meta import progress_path
from trainyard_api.pod import Resources, SecretRef, Toleration
from trainyard_api.training import Storage
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_api.wire import ChampionRef, TrainerConfig
from trainyard_operator.core.config import OperatorConfig, StorageDefaults
from trainyard_operator.core.objects import ModelVersionView, TrainingJobView

StorageT = TypeVar("StorageT", bound=Storage)


class InvalidSpecError(ValueError):
    """The spec cannot run. The text is one message for the user."""


def parse_spec(job: TrainingJobView) -> TrainingJobSpec:
    """Return the parsed spec. Fields of a newer release are ignored.

    Raises
    ------
    InvalidSpecError
        If the API server accepted an invalid spec (an older CRD, disabled validation).
    """
    try:
        return TrainingJobSpec.model_validate(job.spec, extra="ignore")
    except ValidationError as error:
        raise InvalidSpecError(first_problem(error, "spec")) from error


def refuse_unsupported(spec: TrainingJobSpec) -> None:
    """Raise :class:`InvalidSpecError` if the spec uses a feature that this release does not support."""
    if spec.shards > 1 and (spec.framework != "Prophet" or spec.mode != "Train"):
        raise InvalidSpecError(
            f"spec.shards {spec.shards} needs framework Prophet and mode Train, which train one model for each series; "
            "remove it"
        )


def resolve_storage(spec: TrainingJobSpec, defaults: StorageDefaults) -> Storage:
    """Return the storage of the model: the job's own storage, completed by the operator's defaults.

    See :func:`complete_storage`.
    """
    own = spec.storage
    if own is None:
        if not defaults.uri:
            raise InvalidSpecError(
                "no storage is set and the operator has no default: set spec.storage.uri, or storage.uri in the chart"
            )
        try:
            own = Storage(uri=defaults.uri)
        except ValidationError as error:
            message = (
                f"the operator's default storage.uri {defaults.uri!r} is invalid: it must start with s3:// or pvc://"
            )
            raise InvalidSpecError(message) from error
    return complete_storage(own, defaults)


def complete_storage(own: StorageT, defaults: StorageDefaults) -> StorageT:
    """Return a storage with the server and the Secret of the operator's default storage.

    They belong to the server of the default storage. So they apply only if the storage is in a bucket and sets none of
    endpoint, region and secretRef.
    """
    if (
        not own.uri.startswith("s3://")
        or own.endpoint is not None
        or own.region is not None
        or own.secret_ref is not None
    ):
        return own
    return own.model_copy(
        update={
            "endpoint": defaults.endpoint or None,
            "region": defaults.region or None,
            "secret_ref": SecretRef(name=defaults.secret_name) if defaults.secret_name else None,
        }
    )


def storage_of(version: ModelVersionView, defaults: StorageDefaults) -> Storage:
    """Return how to read the artifact of a version. For a version from an earlier release, the defaults apply.

    Raises
    ------
    InvalidSpecError
        If the storage in its spec is invalid.
    """
    stored = version.spec.get("storage")
    if stored is None:
        return Storage(
            uri=str(version.spec["artifact"]["uri"]),
            endpoint=defaults.endpoint or None,
            region=defaults.region or None,
            secret_ref=SecretRef(name=defaults.secret_name) if defaults.secret_name else None,
        )
    try:
        return Storage.model_validate(stored, extra="ignore")
    except ValidationError as error:
        problem = first_problem(error, "spec", "storage")
        raise InvalidSpecError(f"ModelVersion {version.name}: {problem}") from error


def resolve_image(spec: TrainingJobSpec, config: OperatorConfig) -> str:
    """Return the image of the trainer container. With framework Container, ``spec.image`` is used only for training."""
    own = None if spec.framework == "Container" and spec.mode == "Prepare" else spec.image
    return own or config.images.for_framework(spec.framework)


def resolve_resources(spec: BatchSpec, config: OperatorConfig) -> Resources:
    """Return the job's requests and limits merged over the operator's, with the requested device."""
    merged = merge_resources(spec.resources or Resources(), config.resources)
    if spec.accelerator is None:
        return merged
    limits = {**(merged.limits or {}), spec.accelerator.resource: spec.accelerator.count}
    return Resources.model_construct(requests=merged.requests, limits=limits)


def merge_resources(own: Resources, defaults: Resources) -> Resources:
    """Merge a user's resources over the defaults, key by key.

    A limit also sets the request, so a limit below the default request gives a small pod.
    """
    limits = {**(defaults.limits or {}), **(own.limits or {})}
    requests = {**(defaults.requests or {}), **(own.limits or {}), **(own.requests or {})}
    for key in (own.requests or {}).keys() - (own.limits or {}).keys():
        limits.pop(key, None)  # a default limit may be lower than the request
    # Not validated again: with the defaults, there may be more keys than a user may write.
    return Resources.model_construct(requests=requests or None, limits=limits or None)


def accelerated_selector(spec: BatchSpec, config: OperatorConfig) -> dict[str, str]:
    """Return the node labels of the accelerator: the job's own, else the operator's for this resource."""
    wanted = spec.accelerator
    if wanted is None:
        return {}
    known = config.accelerators.get(wanted.resource)
    default = known.node_selector if known is not None else {}
    return default if wanted.node_selector is None else wanted.node_selector


def accelerated_tolerations(spec: BatchSpec, config: OperatorConfig) -> tuple[Toleration, ...]:
    """Return the tolerations of a pod with the accelerator, in addition to the job's own.

    Nodes with devices usually have a taint with the name of the resource. For other taints, the chart has a setting.
    """
    if spec.accelerator is None:
        return ()
    known = config.accelerators.get(spec.accelerator.resource)
    if known is None:
        return (Toleration(key=spec.accelerator.resource, operator="Exists", effect="NoSchedule"),)
    return known.tolerations


def trainer_config(
    job: TrainingJobView,
    spec: TrainingJobSpec,
    attempt: int,
    config: OperatorConfig,
    champion: ChampionRef | None = None,
) -> TrainerConfig:
    """Return the configuration of one attempt."""
    url = config.progress.url.rstrip("/")
    return TrainerConfig(
        namespace=job.namespace,
        name=job.name,
        uid=job.uid,
        attempt=attempt,
        model_name=job.model,
        spec=spec.model_copy(update={"storage": resolve_storage(spec, config.storage)}),
        progress_url=f"{url}{progress_path(job.namespace, job.name)}" if url else None,
        champion=champion,
        image=resolve_image(spec, config),
    )
