"""Children as dicts: the Job of an attempt, the ModelVersion of a result. Pure, so tests compare dicts."""

from typing import Any

from trainyard_api import API_VERSION, meta
from trainyard_api.exit_codes import NON_RETRYABLE
from trainyard_api.pod import Resources
from trainyard_api.training import Retry
from trainyard_api.trainingjob import TrainingJobSpec
from trainyard_api.wire import TrainerConfig, TrainingResult
from trainyard_operator.core.config import OperatorConfig
from trainyard_operator.core.naming import attempt_job_name, version_name
from trainyard_operator.core.observed import JobView, TrainingJobView
from trainyard_operator.core.quantity import grown
from trainyard_operator.core.resolve import InvalidSpecError, resolve_resources, trainer_config

Body = dict[str, Any]

TOKEN_SECONDS = 3600
"""How long a projected token lives; the kubelet renews it long before."""

GRACE_SECONDS = 60
"""After SIGTERM the trainer saves what it has."""

STOPPED_CODES = [int(code) for code in NON_RETRYABLE]


def attempt_job(
    job: TrainingJobView,
    spec: TrainingJobSpec,
    attempt: int,
    *,
    config: OperatorConfig,
    ca: str,
    out_of_memory: int = 0,
) -> Body:
    """Return the Job of one attempt.

    ``out_of_memory`` counts the attempts before that were killed for memory; each multiplies it by
    ``retry.memoryGrowth``. The Job carries its configuration in pod-template annotations, so one write is an attempt.
    """
    settings = trainer_config(job, spec, attempt, config)
    labels = child_labels(job, attempt, settings.model_name)
    body: Body = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": attempt_job_name(job, attempt),
            "namespace": job.namespace,
            "labels": labels,
            "ownerReferences": [_owner(job)],
        },
        "spec": {
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    {
                        "action": "FailJob",
                        "onExitCodes": {"containerName": meta.CONTAINER, "operator": "In", "values": STOPPED_CODES},
                    },
                ]
            },
            "template": {
                "metadata": {
                    "labels": {**(spec.pod_labels or {}), **labels},
                    "annotations": {
                        **(spec.pod_annotations or {}),
                        meta.CONFIG_ANNOTATION: settings.to_json(),
                        meta.CA_ANNOTATION: ca,
                    },
                },
                "spec": _pod(job, spec, settings, config, out_of_memory),
            },
        },
    }
    if spec.active_deadline_seconds is not None:
        body["spec"]["activeDeadlineSeconds"] = spec.active_deadline_seconds
    return body


def model_version(job: TrainingJobView, child: JobView, model: str, result: TrainingResult) -> Body:
    """Return the ModelVersion of a successful result. It has no owner: it outlives the job that made it."""
    registered, artifact = result.model_version, result.artifact
    if registered is None or artifact is None:
        raise ValueError("only a successful result makes a version")
    spec: Body = {
        "model": model,
        "version": registered.version,
        "label": registered.label,
        "artifact": artifact.wire(),
        "formats": result.formats,
        "signature": result.signature and result.signature.wire(),
        "metrics": result.metrics and [metric.wire() for metric in result.metrics],
        "holdoutDigest": result.holdout_digest,
        "dataDigest": result.data_digest,
        "trainingJob": {"name": job.name, "uid": job.uid},
        "image": child.image or None,
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelVersion",
        "metadata": {
            "name": version_name(model, registered.version),
            "namespace": job.namespace,
            "labels": {
                meta.MANAGED_BY_LABEL: meta.MANAGED_BY,
                meta.MODEL_LABEL: model,
                meta.VERSION_LABEL: str(registered.version),
                meta.JOB_LABEL: job.name,
                meta.UID_LABEL: job.uid,
            },
        },
        "spec": {key: value for key, value in spec.items() if value is not None},
    }


def child_labels(job: TrainingJobView, attempt: int, model: str) -> dict[str, str]:
    """Return the labels of an attempt. The owner's own are never copied: Argo CD would prune the child by them."""
    return {
        meta.MANAGED_BY_LABEL: meta.MANAGED_BY,
        meta.JOB_LABEL: job.name,
        meta.UID_LABEL: job.uid,
        meta.ATTEMPT_LABEL: str(attempt),
        meta.MODEL_LABEL: model,
    }


def _owner(job: TrainingJobView) -> Body:
    return {
        "apiVersion": API_VERSION,
        "kind": "TrainingJob",
        "name": job.name,
        "uid": job.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _pod(
    job: TrainingJobView, spec: TrainingJobSpec, settings: TrainerConfig, config: OperatorConfig, out_of_memory: int
) -> Body:
    volumes, mounts = _volumes(job, settings)
    growth = (spec.retry or Retry()).memory_growth
    container: Body = {
        "name": meta.CONTAINER,
        "image": settings.image,
        "imagePullPolicy": config.images.pull_policy,
        "env": [*_environment(settings), *(variable.wire() for variable in spec.env or ())],
        "resources": _grown(resolve_resources(spec, config), growth**out_of_memory),
        "volumeMounts": mounts,
        "terminationMessagePath": meta.TERMINATION_LOG,
        "terminationMessagePolicy": "File",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    if spec.command is not None:
        container["command"] = spec.command
    accelerated = spec.accelerator.node_selector if spec.accelerator is not None else None
    pod: Body = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": volumes,
        "nodeSelector": {**(spec.node_selector or {}), **(accelerated or {})} or None,
        "tolerations": [toleration.wire() for toleration in spec.tolerations or ()] or None,
        "serviceAccountName": spec.service_account_name,
        "imagePullSecrets": [reference.wire() for reference in spec.image_pull_secrets or ()] or None,
        "priorityClassName": spec.priority_class_name,
    }
    return {key: value for key, value in pod.items() if value is not None}


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
        meta.CLAIMS_DIR_ENV: meta.CLAIMS_DIR,
        meta.WORK_DIR_ENV: meta.WORK_DIR,
        meta.TERMINATION_LOG_ENV: meta.TERMINATION_LOG,
        meta.KUBEFLOW_URL_ENV: settings.progress_url or "",
        meta.KUBEFLOW_CA_ENV: f"{meta.CONFIG_DIR}/{meta.CA_FILE}",
        meta.KUBEFLOW_TOKEN_ENV: f"{meta.CONFIG_DIR}/{meta.TOKEN_FILE}",
    }
    return [{"name": name, "value": value} for name, value in paths.items()]


def _volumes(job: TrainingJobView, settings: TrainerConfig) -> tuple[list[Body], list[Body]]:
    """Return volumes and mounts: the projected configuration, scratch space, credentials, and claims named by URIs."""
    audience = meta.token_audience(job.namespace, job.name, job.uid)
    annotations = ((meta.CONFIG_FILE, meta.CONFIG_ANNOTATION), (meta.CA_FILE, meta.CA_ANNOTATION))
    items = [{"path": path, "fieldRef": {"fieldPath": f"metadata.annotations['{key}']"}} for path, key in annotations]
    token = {"path": meta.TOKEN_FILE, "audience": audience, "expirationSeconds": TOKEN_SECONDS}
    projected = {"sources": [{"downwardAPI": {"items": items}}, {"serviceAccountToken": token}]}
    volumes: list[Body] = [{"name": "trainyard", "projected": projected}, {"name": "work", "emptyDir": {}}]
    mounts: list[Body] = [
        {"name": "trainyard", "mountPath": meta.CONFIG_DIR, "readOnly": True},
        {"name": "work", "mountPath": meta.WORK_DIR},
    ]
    data, storage = settings.spec.data, settings.spec.storage
    for name, reference, path in (
        ("data-secret", data.secret_ref or (data.sql.secret_ref if data.sql else None), meta.DATA_SECRET_DIR),
        ("storage-secret", storage.secret_ref if storage else None, meta.STORAGE_SECRET_DIR),
    ):
        if reference is not None:
            volumes.append({"name": name, "secret": {"secretName": reference.name, "defaultMode": 0o440}})
            mounts.append({"name": name, "mountPath": path, "readOnly": True})
    for number, (claim, writable) in enumerate(sorted(_claims(settings).items())):
        name = f"claim-{number}"
        volumes.append({"name": name, "persistentVolumeClaim": {"claimName": claim}})
        mounts.append({"name": name, "mountPath": f"{meta.CLAIMS_DIR}/{claim}", "readOnly": not writable})
    return volumes, mounts


def _claims(settings: TrainerConfig) -> dict[str, bool]:
    """Return the claims that URIs name, and whether each is written to."""
    data, storage = settings.spec.data, settings.spec.storage
    read = [data.uri, *(covariate.uri for covariate in data.covariates or ())]
    claims = {claim: False for uri in read if (claim := _claim(uri))}
    if storage is not None and (claim := _claim(storage.uri)):
        claims[claim] = True
    return claims


def _claim(uri: str | None) -> str:
    return uri.removeprefix("pvc://").split("/", 1)[0] if uri and uri.startswith("pvc://") else ""
