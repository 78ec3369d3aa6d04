"""Names that trainyard writes on objects, and the paths and variables inside a trainer pod."""

from typing import Final

from trainyard_api import GROUP

MANAGED_BY_LABEL: Final = "app.kubernetes.io/managed-by"
MANAGED_BY: Final = "trainyard"

JOB_LABEL: Final = f"{GROUP}/trainingjob"
"""On a child: the name of its TrainingJob. It has at most 63 characters, so it is a valid label value."""
UID_LABEL: Final = f"{GROUP}/trainingjob-uid"
PREDICTION_JOB_LABEL: Final = f"{GROUP}/predictionjob"
PREDICTION_UID_LABEL: Final = f"{GROUP}/predictionjob-uid"
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
"""On a ModelVersion or a TrainingJob: retention does not delete it. Values such as false disable the label."""

SCHEDULED_FOR_ANNOTATION: Final = f"{GROUP}/scheduled-for"
"""On a TrainingJob: the scheduled time of the run."""
RUN_NOW_ANNOTATION: Final = f"{GROUP}/run-now"
"""On a TrainingSchedule: any text. Each new text starts one run."""
ACTION_ANNOTATION: Final = f"{GROUP}/requested-action"
"""On a ModelDeployment or a ModelVersion: a verb with a token, such as ``rollback/previous/2026-11-21T10:00Z``."""
ACTION_REASON_ANNOTATION: Final = f"{GROUP}/action-reason"
"""On a ModelVersion, together with the requested action: the reason for the request."""
APPLIED_ANNOTATION: Final = f"{GROUP}/applied"
"""On a child: a hash of the rendered object. Defaults of the API server do not change the hash."""
ASKED_ANNOTATION: Final = f"{GROUP}/asked"
"""On a Deployment that serves: a hash of the user's settings. All other changes come from the operator."""
SAVED_ANNOTATION: Final = f"{GROUP}/saved-status"
"""On objects of trainyard's kinds: the part of the status that a restore needs. The operator writes it."""
RETRY_OF_ANNOTATION: Final = f"{GROUP}/retry-of"
"""On a TrainingJob: the name of the finished TrainingJob that it repeats."""

ADDRESS_ANNOTATION: Final = f"{GROUP}/progress-address"
"""On the Lease of the leader: the address at which the leader receives progress reports."""
CLAIM_LEASE: Final = "trainyard"
"""The Lease in each namespace in which a release works. Its holder is the release, as namespace/name."""
CLUSTER_CLAIM_NAMESPACE: Final = "kube-public"
"""Namespace of the Lease of a release that watches the whole cluster. It always exists and cannot be deleted."""

CONFIG_ANNOTATION: Final = f"{GROUP}/config"
"""On the pod template: the TrainerConfig or PredictionConfig as JSON. So a Job keeps the configuration of its start."""
CA_ANNOTATION: Final = f"{GROUP}/ca"
"""On the pod template: the certificate authority (PEM) of the progress endpoint."""

FIELD_MANAGER: Final = "trainyard-operator"

CONTAINER: Final = "trainer"
"""The container that trains: the trainer, or with framework Container the user's own image. Then it runs between the
two containers below."""
FETCH_CONTAINER: Final = "fetch"
REGISTER_CONTAINER: Final = "register"
CONTAINERS: Final = (FETCH_CONTAINER, CONTAINER, REGISTER_CONTAINER)
SERVER_CONTAINER: Final = "server"
"""The container that serves, in a pod of a ModelDeployment."""
CONFIG_DIR: Final = "/var/run/trainyard"
CONFIG_FILE: Final = "config.json"
CA_FILE: Final = "ca.crt"
TOKEN_FILE: Final = "token"
DATA_SECRET_DIR: Final = "/var/run/secrets/trainyard/data"
STORAGE_SECRET_DIR: Final = "/var/run/secrets/trainyard/storage"
OUTPUT_SECRET_DIR: Final = "/var/run/secrets/trainyard/output"
TRACKING_SECRET_DIR: Final = "/var/run/secrets/trainyard/tracking"
CLAIMS_DIR: Final = "/mnt/claims"
"""Each claim named by a ``pvc://claim/path`` is mounted at ``/mnt/claims/<claim>``."""
WORK_DIR: Final = "/tmp"  # noqa: S108 - an emptyDir, the only writable folder except the claims
TERMINATION_LOG: Final = "/dev/termination-log"
INPUT_DIR: Final = "/trainyard/input"
"""Framework Container: the folder with the data and the ``config.json``. The user's container can only read it."""
OUTPUT_DIR: Final = "/trainyard/output"
"""Framework Container: the folder to which the user's container writes its model and ``metrics.json``."""
SCRIPT_DIR: Final = "/trainyard/script"
"""Framework Script: the folder with the script, if it comes from a ConfigMap. The file has the name of the key."""

# The trainer reads every path from its environment, so it also runs if nothing can be mounted.
CONFIG_DIR_ENV: Final = "TRAINYARD_CONFIG_DIR"
DATA_SECRET_DIR_ENV: Final = "TRAINYARD_DATA_SECRET_DIR"
STORAGE_SECRET_DIR_ENV: Final = "TRAINYARD_STORAGE_SECRET_DIR"
OUTPUT_SECRET_DIR_ENV: Final = "TRAINYARD_OUTPUT_SECRET_DIR"
TRACKING_SECRET_DIR_ENV: Final = "TRAINYARD_TRACKING_SECRET_DIR"
CLAIMS_DIR_ENV: Final = "TRAINYARD_CLAIMS_DIR"
WORK_DIR_ENV: Final = "TRAINYARD_WORK_DIR"
TERMINATION_LOG_ENV: Final = "TRAINYARD_TERMINATION_LOG"
INPUT_DIR_ENV: Final = "TRAINYARD_INPUT_DIR"
OUTPUT_DIR_ENV: Final = "TRAINYARD_OUTPUT_DIR"
SCRIPT_DIR_ENV: Final = "TRAINYARD_SCRIPT_DIR"
MAX_DOWNLOAD_BYTES_ENV: Final = "TRAINYARD_MAX_DOWNLOAD_BYTES"
CONTAINER_CONFIG_ENV: Final = "TRAINYARD_CONFIG"
"""For the user's container of framework Container, and for a script: the path of ``config.json``."""

# The environment of an inference server: the version that it serves, the digest of its files, and its settings.
MODEL_NAME_ENV: Final = "TRAINYARD_MODEL_NAME"
MODEL_VERSION_ENV: Final = "TRAINYARD_MODEL_VERSION"
ARTIFACT_URI_ENV: Final = "TRAINYARD_ARTIFACT_URI"
"""``ModelVersion.spec.artifact.uri``: the address of the folder of the run."""
MANIFEST_SHA256_ENV: Final = "TRAINYARD_MANIFEST_SHA256"
STORAGE_ENDPOINT_ENV: Final = "TRAINYARD_STORAGE_ENDPOINT"
STORAGE_REGION_ENV: Final = "TRAINYARD_STORAGE_REGION"
STORAGE_CHECKSUM_MODE_ENV: Final = "TRAINYARD_STORAGE_CHECKSUM_MODE"
SERVER_HOST_ENV: Final = "TRAINYARD_SERVER_HOST"
"""The address to listen on. Default: all addresses. Pods that share one network set their own address."""
SERVER_PORT_ENV: Final = "TRAINYARD_SERVER_PORT"
SERVER_PORT: Final = 8080
SERVER_THREADS_ENV: Final = "TRAINYARD_SERVER_THREADS"
SERVER_MAX_ROWS_ENV: Final = "TRAINYARD_SERVER_MAX_ROWS"
SERVER_DRAIN_SECONDS_ENV: Final = "TRAINYARD_SERVER_DRAIN_SECONDS"
SERVER_GRACE_SECONDS_ENV: Final = "TRAINYARD_SERVER_GRACE_SECONDS"

# KEP-2779: a callback for Kubeflow Trainer can report to trainyard without changes.
KUBEFLOW_URL_ENV: Final = "KUBEFLOW_TRAINER_SERVER_URL"
KUBEFLOW_CA_ENV: Final = "KUBEFLOW_TRAINER_SERVER_CA_CERT"
KUBEFLOW_TOKEN_ENV: Final = "KUBEFLOW_TRAINER_SERVER_TOKEN"


TRAINING_JOBS: Final = "trainingjobs"
PREDICTION_JOBS: Final = "predictionjobs"


def progress_path(namespace: str, name: str, *, plural: str = TRAINING_JOBS) -> str:
    """Return the path of the progress endpoint of one object. ``plural`` names its kind, as in the Kubernetes API."""
    return f"/apis/{GROUP}/v1alpha1/namespaces/{namespace}/{plural}/{name}/status"


def model_ready_path(model: str) -> str:
    """Return the path of the readiness check of an inference server. Status 200: the requested version is loaded."""
    return f"/v2/models/{model}/ready"


def token_audience(namespace: str, name: str, uid: str, *, plural: str = TRAINING_JOBS) -> str:
    """Return the audience of the token of a pod that reports progress. The token is valid only for this object."""
    return f"{GROUP}/v1alpha1/namespaces/{namespace}/{plural}/{name}/{uid}"
