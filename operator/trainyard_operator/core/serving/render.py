"""Objects for serving: a Deployment for each version, and one Service that selects one of them.

All functions are pure, so tests compare dicts.
"""

import hashlib
import json

from trainyard_api import API_VERSION, meta
from trainyard_api.modeldeployment import ModelDeploymentSpec, Serving
from trainyard_api.pod import PodOptions, Resources
from trainyard_api.training import Storage
from trainyard_operator.core.config import OperatorConfig, ServingDefaults
from trainyard_operator.core.naming import serving_name
from trainyard_operator.core.objects import ModelDeploymentView, ModelVersionView
from trainyard_operator.core.plan import Body
from trainyard_operator.core.pods import (
    confined_container,
    confined_pod,
    give,
    labels_of,
    mount,
    over,
    pod_metadata,
)
from trainyard_operator.core.resolve import InvalidSpecError, merge_resources, storage_of

SERVICE_PORT = 80
_PORT_NAME = "http"

STARTUP_SECONDS = 120
"""Time until the port is open. Loading the model may take as long as the deadline of the rollout."""

_MARGIN_SECONDS = 5
"""Margin after drain and grace, before the kubelet kills the container."""


def deployment(
    md: ModelDeploymentView, spec: ModelDeploymentSpec, version: ModelVersionView, *, config: OperatorConfig
) -> Body:
    """Return the Deployment of one version. Its pods are ready only when they have loaded this digest.

    Raises
    ------
    InvalidSpecError
        If ``spec.serving.env`` sets a variable of the operator, or the version's storage cannot be read.
    """
    serving = spec.serving or Serving()
    labels = _labels(md, version.version)
    options = _options(md, spec, config)
    pods = selector(md, version.version)
    body: Body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(
            md,
            serving_name(md, version.version),
            options,
            labels,
            {meta.ASKED_ANNOTATION: _digest(_asked(serving, version))},
        ),
        "spec": {
            "replicas": serving.replicas,
            "revisionHistoryLimit": 1,
            "selector": {"matchLabels": pods},
            # A changed template removes no pod before its replacement is ready.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": pod_metadata(options, labels, {}),
                "spec": _pod(serving, version, pods, config, options),
            },
        },
    }
    return _with_hash(body)


def service(md: ModelDeploymentView, spec: ModelDeploymentSpec, version: int, *, config: OperatorConfig) -> Body:
    """Return the Service of one version. To switch the version, this selector is changed."""
    return _with_hash(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": _metadata(md, md.name, _options(md, spec, config), _labels(md, version), {}),
            "spec": {
                "type": "ClusterIP",
                "selector": selector(md, version),
                "ports": [{"name": _PORT_NAME, "port": SERVICE_PORT, "targetPort": _PORT_NAME, "protocol": "TCP"}],
            },
        }
    )


def disruption_budget(
    md: ModelDeploymentView, spec: ModelDeploymentSpec, version: int, *, config: OperatorConfig
) -> Body:
    """Return the PodDisruptionBudget of the active version. A drain evicts one of its pods at a time.

    Like the Service, it selects that version alone, so an unready candidate never blocks a drain. Unready pods may
    always be evicted.
    """
    return _with_hash(
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": _metadata(md, md.name, _options(md, spec, config), _labels(md, version), {}),
            "spec": {
                "maxUnavailable": 1,
                "selector": {"matchLabels": selector(md, version)},
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
            },
        }
    )


def _options(md: ModelDeploymentView, spec: ModelDeploymentSpec, config: OperatorConfig) -> PodOptions:
    """Return the pod options: from the chart, the namespace, and the ModelDeployment."""
    return over(spec.serving or Serving(), over(config.in_namespace(md.namespace).server, config.server))


def _metadata(
    md: ModelDeploymentView, name: str, options: PodOptions, labels: dict[str, str], annotations: dict[str, str]
) -> Body:
    return {
        "name": name,
        "namespace": md.namespace,
        "labels": labels_of(options, labels),
        "annotations": {**(options.annotations or {}), **annotations},
        "ownerReferences": [_owner(md)],
    }


def _pod(
    serving: Serving, version: ModelVersionView, pods: dict[str, str], config: OperatorConfig, options: PodOptions
) -> Body:
    defaults = config.serving
    storage = storage_of(version, config.storage)
    volumes, mounts = _volumes(version, storage)
    container: Body = {
        "name": meta.SERVER_CONTAINER,
        "image": serving.image or config.images.server,
        "imagePullPolicy": defaults.pull_policy,
        "env": _environment(serving, version, storage, defaults, options),
        "ports": [{"name": _PORT_NAME, "containerPort": meta.SERVER_PORT, "protocol": "TCP"}],
        "startupProbe": _probe("/v2/health/live", period=1, timeout=2, failures=STARTUP_SECONDS),
        "livenessProbe": _probe("/v2/health/live", period=10, timeout=5, failures=6),
        "readinessProbe": _probe(meta.model_ready_path(version.model), period=1, timeout=2, failures=3),
        "resources": merge_resources(serving.resources or Resources(), defaults.resources).wire(),
        "volumeMounts": mounts,
        **confined_container(config.server),
    }
    mount(container, options)
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": pods},
    }
    pod: Body = {
        **confined_pod(config.server),
        "terminationGracePeriodSeconds": defaults.drain_seconds + defaults.grace_seconds + _MARGIN_SECONDS,
        "topologySpreadConstraints": [spread],
        "containers": [container],
        "volumes": volumes,
    }
    # Always set: the API server copies this field to a deprecated one, which restores it when it is omitted.
    return {"serviceAccountName": "default", **give(pod, options)}


def _environment(
    serving: Serving, version: ModelVersionView, storage: Storage, defaults: ServingDefaults, options: PodOptions
) -> list[Body]:
    """Return the variables: what is served and where it is stored, then the user's own, each name once."""
    own = {
        meta.MODEL_NAME_ENV: version.model,
        meta.MODEL_VERSION_ENV: str(version.version),
        meta.ARTIFACT_URI_ENV: _artifact_uri(version),
        meta.MANIFEST_SHA256_ENV: version.digest.removeprefix("sha256:"),
        meta.STORAGE_ENDPOINT_ENV: storage.endpoint or "",
        meta.STORAGE_REGION_ENV: storage.region or "",
        meta.STORAGE_CHECKSUM_MODE_ENV: storage.checksum_mode,
        meta.STORAGE_SECRET_DIR_ENV: meta.STORAGE_SECRET_DIR,
        meta.CLAIMS_DIR_ENV: meta.CLAIMS_DIR,
        meta.WORK_DIR_ENV: meta.WORK_DIR,
        meta.TERMINATION_LOG_ENV: meta.TERMINATION_LOG,
        meta.SERVER_PORT_ENV: str(meta.SERVER_PORT),
        meta.SERVER_DRAIN_SECONDS_ENV: str(defaults.drain_seconds),
        meta.SERVER_GRACE_SECONDS_ENV: str(defaults.grace_seconds),
    }
    if taken := sorted(own.keys() & {variable.name for variable in serving.env or ()}):
        raise InvalidSpecError(f"spec.serving.env: the operator sets {taken[0]} to define what is served; remove it")
    further = [variable.wire() for variable in options.env or () if variable.name not in own]
    return [*({"name": name, "value": value} for name, value in own.items()), *further]


def _volumes(version: ModelVersionView, storage: Storage) -> tuple[list[Body], list[Body]]:
    """Return volumes and mounts: scratch space, and the credentials or the claim of the artifact."""
    volumes: list[Body] = [{"name": "work", "emptyDir": {}}]
    mounts: list[Body] = [{"name": "work", "mountPath": meta.WORK_DIR}]
    uri = _artifact_uri(version)
    if uri.startswith("pvc://"):
        claim = uri.removeprefix("pvc://").split("/", 1)[0]
        volumes.append({"name": "claim", "persistentVolumeClaim": {"claimName": claim}})
        mounts.append({"name": "claim", "mountPath": f"{meta.CLAIMS_DIR}/{claim}", "readOnly": True})
    elif storage.secret_ref is not None:
        secret = {"secretName": storage.secret_ref.name, "defaultMode": 0o440}
        volumes.append({"name": "storage-secret", "secret": secret})
        mounts.append({"name": "storage-secret", "mountPath": meta.STORAGE_SECRET_DIR, "readOnly": True})
    return volumes, mounts


def _artifact_uri(version: ModelVersionView) -> str:
    return str(version.spec["artifact"]["uri"])


def _probe(path: str, *, period: int, timeout: int, failures: int) -> Body:
    return {
        "httpGet": {"path": path, "port": _PORT_NAME},
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
    }


def _labels(md: ModelDeploymentView, version: int) -> dict[str, str]:
    return {
        meta.MANAGED_BY_LABEL: meta.MANAGED_BY,
        meta.DEPLOYMENT_LABEL: md.name,
        meta.MODEL_LABEL: md.model,
        **selector(md, version),
    }


def selector(md: ModelDeploymentView, version: int) -> dict[str, str]:
    """Select by uid, so that pods of a deleted ModelDeployment with the same name get no requests."""
    return {meta.DEPLOYMENT_UID_LABEL: md.uid, meta.VERSION_LABEL: str(version)}


def selector_text(md: ModelDeploymentView, version: int) -> str:
    """Return the label selector of a version's pods as a string."""
    return ",".join(f"{label}={value}" for label, value in selector(md, version).items())


def _owner(md: ModelDeploymentView) -> Body:
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelDeployment",
        "name": md.name,
        "uid": md.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _with_hash(body: Body) -> Body:
    """Add the hash of the whole object. Comparing hashes needs no knowledge of the API server's defaults."""
    annotations = {**body["metadata"].get("annotations", {}), meta.APPLIED_ANNOTATION: _digest(body)}
    return {**body, "metadata": {**body["metadata"], "annotations": annotations}}


def _digest(body: Body) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]


def _asked(serving: Serving, version: ModelVersionView) -> Body:
    """Return the part of a Deployment that the user controls. The number of replicas is no reason to replace pods."""
    fields = serving.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"replicas"})
    return {"serving": fields, "artifact": version.spec["artifact"], "storage": version.spec.get("storage")}


def hash_of(body: Body) -> str:
    """Return the hash in the annotation of a rendered object."""
    return str(body["metadata"]["annotations"][meta.APPLIED_ANNOTATION])
