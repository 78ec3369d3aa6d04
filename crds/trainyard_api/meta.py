"""Names that trainyard writes on objects, and the paths and variables inside a trainer pod."""

from typing import Final

from trainyard_api import GROUP

MANAGED_BY_LABEL: Final = "app.kubernetes.io/managed-by"
MANAGED_BY: Final = "trainyard"

JOB_LABEL: Final = f"{GROUP}/trainingjob"
"""On a child: the name of its TrainingJob (at most 63 characters, so it fits a label)."""
UID_LABEL: Final = f"{GROUP}/trainingjob-uid"
ATTEMPT_LABEL: Final = f"{GROUP}/attempt"
MODEL_LABEL: Final = f"{GROUP}/model"
VERSION_LABEL: Final = f"{GROUP}/version"
SCHEDULE_LABEL: Final = f"{GROUP}/schedule"
"""On a TrainingJob: the name of the TrainingSchedule that created it."""
SCHEDULE_UID_LABEL: Final = f"{GROUP}/schedule-uid"
DEPLOYMENT_LABEL: Final = f"{GROUP}/modeldeployment"
"""On the Deployments, pods and Service of a ModelDeployment: its name."""
DEPLOYMENT_UID_LABEL: Final = f"{GROUP}/modeldeployment-uid"
KEEP_LABEL: Final = f"{GROUP}/keep"
"""On a ModelVersion or a TrainingJob, with any value but false: no retention deletes it."""

SCHEDULED_FOR_ANNOTATION: Final = f"{GROUP}/scheduled-for"
"""On a TrainingJob: the nominal time of the run."""
RUN_NOW_ANNOTATION: Final = f"{GROUP}/run-now"
"""On a TrainingSchedule: any text; a text that was not there before runs once."""
ACTION_ANNOTATION: Final = f"{GROUP}/requested-action"
"""On a ModelDeployment or a ModelVersion: a verb with a token, such as ``rollback/previous/2026-11-21T10:00Z``."""
ACTION_REASON_ANNOTATION: Final = f"{GROUP}/action-reason"
"""Beside it, on a ModelVersion: why somebody asks for it."""
APPLIED_ANNOTATION: Final = f"{GROUP}/applied"
"""On a child that is applied: a hash of what it was rendered from; the API server's defaults change no hash."""
ASKED_ANNOTATION: Final = f"{GROUP}/asked"
"""On a Deployment that serves: a hash of what its user asked for. What else changes is the operator's own."""
SAVED_ANNOTATION: Final = f"{GROUP}/saved-status"
"""On objects of our kinds: what of the status a restore needs. The operator writes it."""
RETRY_OF_ANNOTATION: Final = f"{GROUP}/retry-of"
"""On a TrainingJob: the finished one that it repeats."""

ADDRESS_ANNOTATION: Final = f"{GROUP}/progress-address"
"""On the Lease of the leader: where the pod that holds it takes progress reports."""
CLAIM_LEASE: Final = "trainyard"
"""The Lease in each namespace that a release works in: its holder is the release, as namespace/name."""
CLUSTER_CLAIM_NAMESPACE: Final = "kube-public"
"""Where the Lease of the release lies that watches the whole cluster: it exists always and cannot be deleted."""

CONFIG_ANNOTATION: Final = f"{GROUP}/config"
"""On the pod template: the TrainerConfig as JSON. The Job is its own snapshot."""
CA_ANNOTATION: Final = f"{GROUP}/ca"
"""On the pod template: the certificate authority (PEM) of the progress endpoint."""

FIELD_MANAGER: Final = "trainyard-operator"

CONTAINER: Final = "trainer"
"""What trains: the trainer, or with framework Container the user's own image between the two that follow."""
FETCH_CONTAINER: Final = "fetch"
REGISTER_CONTAINER: Final = "register"
CONTAINERS: Final = (FETCH_CONTAINER, CONTAINER, REGISTER_CONTAINER)
SERVER_CONTAINER: Final = "server"
"""What serves, in a pod of a ModelDeployment."""
CONFIG_DIR: Final = "/var/run/trainyard"
CONFIG_FILE: Final = "config.json"
CA_FILE: Final = "ca.crt"
TOKEN_FILE: Final = "token"
DATA_SECRET_DIR: Final = "/var/run/secrets/trainyard/data"
STORAGE_SECRET_DIR: Final = "/var/run/secrets/trainyard/storage"
TRACKING_SECRET_DIR: Final = "/var/run/secrets/trainyard/tracking"
CLAIMS_DIR: Final = "/mnt/claims"
"""Each claim named by a ``pvc://claim/path`` is mounted at ``/mnt/claims/<claim>``."""
WORK_DIR: Final = "/tmp"  # noqa: S108 - an emptyDir of the pod, the only writable folder beside the claims
TERMINATION_LOG: Final = "/dev/termination-log"
INPUT_DIR: Final = "/trainyard/input"
"""Framework Container: the data and the ``config.json`` of the user's container, which may only read them."""
OUTPUT_DIR: Final = "/trainyard/output"
"""Framework Container: where the user's container leaves its model and ``metrics.json``."""
SCRIPT_DIR: Final = "/trainyard/script"
"""Framework Script: the key of the ConfigMap that holds the script, as a file of its name."""

# The trainer takes every path from its environment, so that it also runs where nothing can be mounted.
CONFIG_DIR_ENV: Final = "TRAINYARD_CONFIG_DIR"
DATA_SECRET_DIR_ENV: Final = "TRAINYARD_DATA_SECRET_DIR"
STORAGE_SECRET_DIR_ENV: Final = "TRAINYARD_STORAGE_SECRET_DIR"
TRACKING_SECRET_DIR_ENV: Final = "TRAINYARD_TRACKING_SECRET_DIR"
CLAIMS_DIR_ENV: Final = "TRAINYARD_CLAIMS_DIR"
WORK_DIR_ENV: Final = "TRAINYARD_WORK_DIR"
TERMINATION_LOG_ENV: Final = "TRAINYARD_TERMINATION_LOG"
INPUT_DIR_ENV: Final = "TRAINYARD_INPUT_DIR"
OUTPUT_DIR_ENV: Final = "TRAINYARD_OUTPUT_DIR"
SCRIPT_DIR_ENV: Final = "TRAINYARD_SCRIPT_DIR"
MAX_DOWNLOAD_BYTES_ENV: Final = "TRAINYARD_MAX_DOWNLOAD_BYTES"
CONTAINER_CONFIG_ENV: Final = "TRAINYARD_CONFIG"
"""For the user's container of framework Container, and for a script: the path of its ``config.json``."""

# What one inference server serves: a version of a model, and the bytes that it is. All by the environment of its pod.
MODEL_NAME_ENV: Final = "TRAINYARD_MODEL_NAME"
MODEL_VERSION_ENV: Final = "TRAINYARD_MODEL_VERSION"
ARTIFACT_URI_ENV: Final = "TRAINYARD_ARTIFACT_URI"
"""``ModelVersion.spec.artifact.uri``: the folder of the run."""
MANIFEST_SHA256_ENV: Final = "TRAINYARD_MANIFEST_SHA256"
STORAGE_ENDPOINT_ENV: Final = "TRAINYARD_STORAGE_ENDPOINT"
STORAGE_REGION_ENV: Final = "TRAINYARD_STORAGE_REGION"
STORAGE_CHECKSUM_MODE_ENV: Final = "TRAINYARD_STORAGE_CHECKSUM_MODE"
SERVER_HOST_ENV: Final = "TRAINYARD_SERVER_HOST"
"""The address to listen on: all of them when left out. Pods that share one network name their own."""
SERVER_PORT_ENV: Final = "TRAINYARD_SERVER_PORT"
SERVER_PORT: Final = 8080
SERVER_THREADS_ENV: Final = "TRAINYARD_SERVER_THREADS"
SERVER_MAX_ROWS_ENV: Final = "TRAINYARD_SERVER_MAX_ROWS"
SERVER_DRAIN_SECONDS_ENV: Final = "TRAINYARD_SERVER_DRAIN_SECONDS"
SERVER_GRACE_SECONDS_ENV: Final = "TRAINYARD_SERVER_GRACE_SECONDS"

# KEP-2779: a callback written for Kubeflow Trainer reports to us unchanged.
KUBEFLOW_URL_ENV: Final = "KUBEFLOW_TRAINER_SERVER_URL"
KUBEFLOW_CA_ENV: Final = "KUBEFLOW_TRAINER_SERVER_CA_CERT"
KUBEFLOW_TOKEN_ENV: Final = "KUBEFLOW_TRAINER_SERVER_TOKEN"


def progress_path(namespace: str, name: str) -> str:
    """Return the path of the progress endpoint of one TrainingJob."""
    return f"/apis/{GROUP}/v1alpha1/namespaces/{namespace}/trainingjobs/{name}/status"


def model_ready_path(model: str) -> str:
    """Return the path of an inference server's readiness: 200 only when the wanted version and digest are loaded."""
    return f"/v2/models/{model}/ready"


def token_audience(namespace: str, name: str, uid: str) -> str:
    """Return the audience of a trainer's token: this very job, so that it opens nothing else."""
    return f"{GROUP}/v1alpha1/namespaces/{namespace}/trainingjobs/{name}/{uid}"
