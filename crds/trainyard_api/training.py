"""The model-defining parts of a TrainingJob beside its data: task, split, search, gates, storage, retries."""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from trainyard_api.base import MAX_SECONDS, ApiModel, MetricName, Rule, Uri, has_scheme, is_set
from trainyard_api.pod import KeyRef, LabelMap, SecretRef

Framework = Literal["Auto", "StatsForecast", "LightGBM", "Prophet", "Torch", "Script", "Container"]
Candidate = Literal["StatsForecast", "LightGBM", "Prophet"]
OWN_CODE: Final[frozenset[str]] = frozenset({"Script", "Container"})
"""Frameworks that run code of the user's own: only that code can read the model that it makes."""
Task = Literal["Forecast", "Regression", "Classification"]
Priority = Literal["Urgent", "High", "Normal", "Low"]
Comparator = Literal["<", "<=", ">", ">=", "=="]
Goal = Literal["Minimize", "Maximize"]

FreeForm = Annotated[
    dict[str, Any], Field(max_length=64, json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})
]
"""A framework's own vocabulary: kept as it is, checked by the trainer."""


class Forecast(ApiModel):
    """What to predict ahead. ``horizon`` counts steps of ``frequency``."""

    horizon: Annotated[int, Field(ge=1, le=10_000)]
    """How many steps of frequency to predict ahead."""
    frequency: Annotated[str, Field(min_length=1, max_length=32, pattern=r"^(Auto|[0-9]*[A-Za-z][A-Za-z0-9-]*)$")] = (
        "Auto"
    )
    """Time between two steps, by pandas' names: 1D, W-MON, 15min; B-1111110 is each day but Sunday, h-1111110-0800-2000
    its hours from 8 to 20; Auto looks at the data."""
    calendar: Literal["Auto", "Full"] = "Auto"
    """Auto: days of the week and hours of the day that never have a row are closed and get no forecast. Full: each is a
    step."""
    holidays_country: Annotated[str, Field(min_length=2, max_length=2, pattern=r"^[A-Z]{2}$")] | None = None
    """Country whose holidays count, by its two letters, such as FR; default: none."""
    quantiles: Annotated[list[Annotated[float, Field(gt=0, lt=1)]], Field(max_length=20)] | None = None
    """Quantiles to predict beside the mean, each between 0 and 1; default: none."""

    rules = (
        Rule(
            "!has(self.quantiles) || self.quantiles.all(level, self.quantiles.exists_one(other, other == level))",
            "quantiles must name each level once",
            lambda m: m.quantiles is None or len(set(m.quantiles)) == len(m.quantiles),
            field="quantiles",
        ),
    )


class Auto(ApiModel):
    """Several frameworks are compared on rows before the holdout, and answer together by how good they are there."""

    candidates: Annotated[list[Candidate], Field(min_length=1, max_length=3)] | None = None
    """Frameworks to compare; default: all that the task has."""
    budget_seconds: Annotated[int, Field(ge=1, le=MAX_SECONDS)] | None = None
    """Seconds of one core that the candidates may take, by estimate before they run: the dearest are left out; default:
    600, and 1 for every two series."""

    rules = (
        Rule(
            "!has(self.candidates) || self.candidates.all(one, self.candidates.exists_one(other, other == one))",
            "candidates must name each framework once",
            lambda m: m.candidates is None or len(set(m.candidates)) == len(m.candidates),
            field="candidates",
        ),
    )


class Backtest(ApiModel):
    """Judge the training at several moments of the past: at each cutoff it sees what came before, and forecasts on."""

    windows: Annotated[int, Field(ge=1, le=100)]
    """How many cutoffs there are; the newest lies one horizon before the end of each series."""
    step: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Steps between two cutoffs; default: forecast.horizon."""
    refit: bool = True
    """Train anew at each cutoff; false: train once, at the oldest, and give the model the observations up to each."""


class Split(ApiModel):
    """How rows are held out.

    ``Auto``: Time for forecasts, Group where a group column is named, Stratified for classes, else Random.
    """

    strategy: Literal["Auto", "Time", "Group", "Stratified", "Random"] = "Auto"
    """How rows are divided; Auto: Time for forecasts, Group where a group column is named, Stratified for classes, else
    Random."""
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of rows, from 0 to 1, that judge the model."""
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of rows, from 0 to 1, that stop its training."""
    folds: Annotated[int, Field(ge=1, le=20)] = 2
    """How many rounds of cross-validation a search makes."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 42
    """The same seed gives the same split."""

    rules = (
        Rule(
            "self.testFraction + self.validationFraction < 1.0",
            "testFraction and validationFraction together must leave rows to train on",
            lambda m: m.test_fraction + m.validation_fraction < 1,
            field="testFraction",
        ),
    )


class AdaptiveTrials(ApiModel):
    """Trials by demand class, for jobs over many series."""

    high: Annotated[int, Field(ge=0, le=1000, alias="High")] = 30
    """Parameter sets for a series of demand class High at most; 0: no search."""
    medium: Annotated[int, Field(ge=0, le=1000, alias="Medium")] = 25
    """Parameter sets for a series of demand class Medium at most; 0: no search."""
    low: Annotated[int, Field(ge=0, le=1000, alias="Low")] = 20
    """Parameter sets for a series of demand class Low at most; 0: no search."""
    intermittent: Annotated[int, Field(ge=0, le=1000, alias="Intermittent")] = 15
    """Parameter sets for a series of demand class Intermittent at most; 0: no search."""


class Search(ApiModel):
    """Hyper-parameter search within a budget."""

    trials: Annotated[int, Field(ge=1, le=1000)] = 20
    """How many parameter sets to try."""
    timeout_seconds: Annotated[int, Field(ge=1, le=7 * 86400)] = 600
    """Seconds after which no further set is tried."""
    space: FreeForm | None = None
    """Where to look, by the names of the parameters; default: the framework's own ranges."""
    adaptive_trials: AdaptiveTrials | None = None


class Objective(ApiModel):
    """The one number that says which model is better."""

    metric: MetricName
    """Name of a metric that the trainer reports: mae, rmse, auc, ..."""
    goal: Goal | None = None
    """Which way is better; default: what the metric's name says. A container's own metrics have to say it."""


class Gate(ApiModel):
    """What a version must meet to be Validated: a fixed value, or what the serving version reaches."""

    metric: MetricName
    """Name of the metric that is judged."""
    op: Comparator | None = None
    """How value is compared: the metric of the version stands on the left."""
    value: float | None = None
    """The fixed value to compare with."""
    compare_to: Literal["Champion"] | None = None
    """Compare with the version that serves now, else with the newest Validated one; without either the gate is met."""
    tolerance: Annotated[float, Field(ge=0)] | None = None
    """How much worse than that version is still good, as a fraction of its value; default: as good or better."""
    confidence: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Met only if the whole interval of the difference, at this confidence, lies within the tolerance; few rows make a
    wide interval. Default: the difference itself decides."""

    rules = (
        Rule(
            "has(self.compareTo) != (has(self.op) && has(self.value))",
            "a gate needs either op and value, or compareTo",
            lambda m: is_set(m, "compare_to") != (is_set(m, "op") and is_set(m, "value")),
        ),
        Rule(
            "has(self.op) == has(self.value)",
            "a gate's op and value belong together",
            lambda m: is_set(m, "op") == is_set(m, "value"),
        ),
        Rule(
            "!has(self.tolerance) || has(self.compareTo)",
            "tolerance belongs to compareTo",
            lambda m: not is_set(m, "tolerance") or is_set(m, "compare_to"),
            field="tolerance",
        ),
        Rule(
            "!has(self.confidence) || has(self.compareTo)",
            "confidence belongs to compareTo",
            lambda m: not is_set(m, "confidence") or is_set(m, "compare_to"),
            field="confidence",
        ),
    )


class Script(ApiModel):
    """The user's own training code for framework Script."""

    config_map_ref: KeyRef | None = None
    """The key of a ConfigMap of the namespace that holds the code."""
    uri: Uri | None = None
    """Where the code lies: s3://bucket/key, https://host/path, or pvc://claim/path."""
    inline: Annotated[str, Field(min_length=1, max_length=65536)] | None = None
    """The code itself."""

    rules = (
        Rule(
            "[has(self.configMapRef), has(self.uri), has(self.inline)].filter(x, x).size() == 1",
            "script needs exactly one of configMapRef, uri and inline",
            lambda m: [is_set(m, f) for f in ("config_map_ref", "uri", "inline")].count(True) == 1,
        ),
    )


class Export(ApiModel):
    """Further formats beside the framework's own."""

    onnx: bool = False
    """Also as ONNX, checked against the model before it is kept."""


class Storage(ApiModel):
    """Where models are written. What is left out comes from the operator's defaults."""

    uri: Uri
    """s3://bucket/prefix or pvc://claim/path."""
    endpoint: Annotated[str, Field(max_length=2048)] | None = None
    """Address of an S3 server that is not AWS; default: AWS."""
    region: Annotated[str, Field(max_length=64)] | None = None
    """Region of the bucket, such as eu-central-1; default: what the Secret or the cloud says, else us-east-1."""
    secret_ref: SecretRef | None = None
    """Credentials: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and more."""
    server_side_encryption: Annotated[str, Field(max_length=64)] | None = None
    """How the server encrypts what is written: AES256, aws:kms or aws:kms:dsse; default: as the bucket says."""
    kms_key_id: Annotated[str, Field(max_length=2048)] | None = None
    """With aws:kms: the key, by its id, ARN or alias; default: the account's own for S3."""
    checksum_mode: Literal["WhenRequired", "WhenSupported"] = "WhenRequired"
    """When requests carry checksums: only where S3 requires them, which every server takes, or wherever the client
    supports them."""

    rules = (
        Rule(
            "self.uri.matches('^(s3|pvc)://.+')",
            "storage.uri must start with s3:// or pvc://",
            lambda m: has_scheme(m.uri, "s3", "pvc"),
            field="uri",
        ),
        Rule(
            "!has(self.kmsKeyId) || "
            "(has(self.serverSideEncryption) && self.serverSideEncryption.startsWith('aws:kms'))",
            "storage.kmsKeyId needs storage.serverSideEncryption aws:kms",
            lambda m: not is_set(m, "kms_key_id") or (m.server_side_encryption or "").startswith("aws:kms"),
            field="kmsKeyId",
        ),
    )


_EXTENDED_RESOURCE = "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"
_NATIVE_DOMAIN = "kubernetes.io/"
"""What has this domain, or none (memory, cpu, hugepages-2Mi), is Kubernetes' own and no device."""


class Accelerator(ApiModel):
    """A device beside the CPU, and what to do when no node has one free."""

    resource: Annotated[str, Field(min_length=1, max_length=317)] = "nvidia.com/gpu"
    """The extended resource a node offers."""
    count: Annotated[int, Field(ge=1, le=64)] = 1
    """How many devices each pod asks for."""
    node_selector: LabelMap | None = None
    """Labels of the nodes that have it; default: those that the chart names for the resource."""
    fallback: Literal["None", "CPU"] = "None"
    """What to do when no node has one free in time: wait on, or train on the CPU without it."""
    fallback_after_seconds: Annotated[int, Field(ge=0, le=86400)] = 600
    """With fallback CPU: how many seconds to wait for a device."""

    rules = (
        Rule(
            f"self.resource.matches('{_EXTENDED_RESOURCE}') && !self.resource.contains('{_NATIVE_DOMAIN}')",
            "accelerator.resource must be an extended resource that nodes offer, such as nvidia.com/gpu; "
            "cpu, memory and the like belong into resources",
            lambda m: re.fullmatch(_EXTENDED_RESOURCE, m.resource) is not None and _NATIVE_DOMAIN not in m.resource,
            field="resource",
        ),
    )


class Retry(ApiModel):
    """Attempts and the wait between them: ``initialSeconds * factor ** n``, at most ``maxSeconds``."""

    max_attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """Attempts in all, the first one included."""
    initial_seconds: Annotated[int, Field(ge=0, le=86400)] = 10
    """Seconds to wait after the first failure."""
    factor: Annotated[float, Field(ge=1, le=10)] = 2
    """By how much each wait is longer than the one before."""
    max_seconds: Annotated[int, Field(ge=0, le=86400)] = 300
    """The longest wait in seconds."""
    memory_growth: Annotated[float, Field(ge=1, le=4)] = 1.5
    """By how much the memory of the next attempt grows after the pod ran out of it."""


class Mlflow(ApiModel):
    """An MLflow server that gets one run per job."""

    uri: Annotated[str, Field(min_length=1, max_length=2048)]
    """Address of the MLflow server, such as https://mlflow.example.com."""
    experiment: Annotated[str, Field(min_length=1, max_length=256)]
    """Name of the experiment; it is made where it does not exist."""
    secret_ref: SecretRef | None = None
    """A Secret with the credentials of the MLflow server."""


class Tracking(ApiModel):
    """Experiment trackers; their failures never fail a training."""

    mlflow: Mlflow | None = None
