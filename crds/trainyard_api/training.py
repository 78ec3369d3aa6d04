"""The sections of a TrainingJob other than its data: task, split, search, gates, storage, retries."""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from trainyard_api.base import MAX_SECONDS, ApiModel, MetricName, Rule, Uri, has_scheme, is_set
from trainyard_api.pod import KeyRef, LabelMap, SecretRef

Framework = Literal["Auto", "StatsForecast", "LightGBM", "Prophet", "Torch", "Script", "Container"]
Candidate = Literal["StatsForecast", "LightGBM", "Prophet"]
OWN_CODE: Final[frozenset[str]] = frozenset({"Script", "Container"})
"""Frameworks that run the user's own code. Only this code can read the model that it creates."""
Task = Literal["Forecast", "Regression", "Classification"]
Priority = Literal["Urgent", "High", "Normal", "Low"]
Comparator = Literal["<", "<=", ">", ">=", "=="]
Goal = Literal["Minimize", "Maximize"]

FreeForm = Annotated[
    dict[str, Any], Field(max_length=64, json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})
]
"""Parameters by the framework's own names. The API server stores them unchanged, and the trainer validates them."""


class Forecast(ApiModel):
    """What to forecast. ``horizon`` is a number of steps of ``frequency``."""

    horizon: Annotated[int, Field(ge=1, le=10_000)]
    """Number of steps to forecast. frequency sets the length of a step."""
    frequency: Annotated[str, Field(min_length=1, max_length=32, pattern=r"^(Auto|[0-9]*[A-Za-z][A-Za-z0-9-]*)$")] = (
        "Auto"
    )
    """Time between two steps, as a pandas frequency such as 1D, W-MON or 15min. B-1111110 means all days except Sunday.
    h-1111110-0800-2000 means the hours of these days from 8 to 20. Auto detects the frequency from the data."""
    calendar: Literal["Auto", "Full"] = "Auto"
    """Which days and hours are steps. Auto: weekdays and hours of the day that never have a row are closed and get no
    forecast. Full: all of them are steps."""
    holidays_country: Annotated[str, Field(min_length=2, max_length=2, pattern=r"^[A-Z]{2}$")] | None = None
    """Country whose holidays are used, as a two-letter code of ISO 3166-1, such as FR. Default: none."""
    quantiles: Annotated[list[Annotated[float, Field(gt=0, lt=1)]], Field(max_length=20)] | None = None
    """Quantiles to forecast in addition to the prediction, each between 0 and 1. Default: none."""

    rules = (
        Rule(
            "!has(self.quantiles) || self.quantiles.all(level, self.quantiles.exists_one(other, other == level))",
            "quantiles must name each level once",
            lambda m: m.quantiles is None or len(set(m.quantiles)) == len(m.quantiles),
            field="quantiles",
        ),
    )


class Auto(ApiModel):
    """A comparison of several candidates. Their predictions are combined with weights from their errors."""

    candidates: Annotated[list[Candidate], Field(min_length=1, max_length=3)] | None = None
    """Frameworks to compare. Default: StatsForecast, LightGBM and Prophet with task Forecast, otherwise LightGBM."""
    budget_seconds: Annotated[int, Field(ge=1, le=MAX_SECONDS)] | None = None
    """Maximum estimated cost of all candidates, in seconds of one CPU core. The most expensive candidates are left out.
    Default: 600 seconds; with task Forecast, plus 0.5 seconds for each series."""

    rules = (
        Rule(
            "!has(self.candidates) || self.candidates.all(one, self.candidates.exists_one(other, other == one))",
            "candidates must name each framework once",
            lambda m: m.candidates is None or len(set(m.candidates)) == len(m.candidates),
            field="candidates",
        ),
    )


class Backtest(ApiModel):
    """An evaluation of the training at several cutoffs in the past. A model sees only the rows before its cutoff."""

    windows: Annotated[int, Field(ge=1, le=100)]
    """Number of cutoffs. The newest cutoff is one horizon before the end of each series."""
    step: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Number of steps between two cutoffs. Default: forecast.horizon."""
    refit: bool = True
    """Whether to train again at each cutoff. If false, the job trains once, at the oldest cutoff. At each later cutoff
    the model gets the observations up to this cutoff."""


class Split(ApiModel):
    """How rows are held out.

    ``Auto`` uses Time for forecasts, Group if a group column is set, Stratified for classes, otherwise Random.
    """

    strategy: Literal["Auto", "Time", "Group", "Stratified", "Random"] = "Auto"
    """How rows are divided. Auto: Time for forecasts, Group if data.group is set, Stratified for classes, otherwise
    Random."""
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of rows in the test part, between 0 and 1. The test part evaluates the model. With task Forecast, the test
    part is one horizon, and at most this share of a series."""
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of rows in the validation part, between 0 and 1. It is used for early stopping and to choose the
    threshold."""
    folds: Annotated[int, Field(ge=1, le=20)] = 2
    """With task Forecast, number of windows before the holdout on which models and parameter sets are compared. Some
    frameworks use more windows for long series."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 42
    """Random seed. The same seed gives the same split."""

    rules = (
        Rule(
            "self.testFraction + self.validationFraction < 1.0",
            "the sum of testFraction and validationFraction must be less than 1",
            lambda m: m.test_fraction + m.validation_fraction < 1,
            field="testFraction",
        ),
    )


class AdaptiveTrials(ApiModel):
    """Maximum number of trials of a series by its demand class. Only framework Prophet uses it."""

    high: Annotated[int, Field(ge=0, le=1000, alias="High")] = 30
    """Maximum number of trials for a series of demand class High. 0: no search."""
    medium: Annotated[int, Field(ge=0, le=1000, alias="Medium")] = 25
    """Maximum number of trials for a series of demand class Medium. 0: no search."""
    low: Annotated[int, Field(ge=0, le=1000, alias="Low")] = 20
    """Maximum number of trials for a series of demand class Low. 0: no search."""
    intermittent: Annotated[int, Field(ge=0, le=1000, alias="Intermittent")] = 15
    """Maximum number of trials for a series of demand class Intermittent. 0: no search."""


class Search(ApiModel):
    """A hyperparameter search within a budget."""

    trials: Annotated[int, Field(ge=1, le=1000)] = 20
    """Maximum number of parameter sets to try. For framework Prophet, see also adaptiveTrials."""
    timeout_seconds: Annotated[int, Field(ge=1, le=7 * 86400)] = 600
    """Time in seconds after which the search tries no further parameter set."""
    space: FreeForm | None = None
    """Search space: ranges or choices by the name of the parameter. Default: the search space of the framework."""
    adaptive_trials: AdaptiveTrials | None = None
    """Maximum number of trials of a series by its demand class, for framework Prophet. Default: trials, if it is set to
    another value than its default; otherwise the defaults of the classes."""


class Objective(ApiModel):
    """The metric that determines which model is better."""

    metric: MetricName
    """Name of a metric that the trainer reports, such as mae, rmse or auc."""
    goal: Goal | None = None
    """Whether a lower or a higher value is better. Set it if your own code defines the metric. Default: determined by
    the name of the metric."""


class Gate(ApiModel):
    """A condition for a version to become Validated: a limit for a metric, or a comparison with the champion."""

    metric: MetricName
    """Name of the metric."""
    op: Comparator | None = None
    """Comparison operator. The metric of the version is on its left side, value on its right side."""
    value: float | None = None
    """Fixed value to compare the metric with."""
    compare_to: Literal["Champion"] | None = None
    """Compare the version with the champion: the version that serves, otherwise the newest Validated version. If there
    is no champion, the gate is met."""
    tolerance: Annotated[float, Field(ge=0)] | None = None
    """How much worse than the champion the version may be, as a fraction of the champion's value. Default: 0."""
    confidence: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Confidence level between 0 and 1. The whole confidence interval of the difference must be within the tolerance.
    Few rows lead to a wide interval. Default: only the difference itself is compared."""

    rules = (
        Rule(
            "has(self.compareTo) != (has(self.op) && has(self.value))",
            "a gate needs either op and value, or compareTo",
            lambda m: is_set(m, "compare_to") != (is_set(m, "op") and is_set(m, "value")),
        ),
        Rule(
            "has(self.op) == has(self.value)",
            "a gate needs both op and value, or none of them",
            lambda m: is_set(m, "op") == is_set(m, "value"),
        ),
        Rule(
            "!has(self.tolerance) || has(self.compareTo)",
            "tolerance needs compareTo",
            lambda m: not is_set(m, "tolerance") or is_set(m, "compare_to"),
            field="tolerance",
        ),
        Rule(
            "!has(self.confidence) || has(self.compareTo)",
            "confidence needs compareTo",
            lambda m: not is_set(m, "confidence") or is_set(m, "compare_to"),
            field="confidence",
        ),
    )


class Script(ApiModel):
    """Your own training code, for framework Script."""

    config_map_ref: KeyRef | None = None
    """Key of a ConfigMap in the namespace that contains the code."""
    uri: Uri | None = None
    """Address of the code: s3://bucket/key, https://host/path or pvc://claim/path."""
    inline: Annotated[str, Field(min_length=1, max_length=65536)] | None = None
    """The code as text."""

    rules = (
        Rule(
            "[has(self.configMapRef), has(self.uri), has(self.inline)].filter(x, x).size() == 1",
            "script needs exactly one of configMapRef, uri and inline",
            lambda m: [is_set(m, f) for f in ("config_map_ref", "uri", "inline")].count(True) == 1,
        ),
    )


class Export(ApiModel):
    """Model formats to write in addition to the format of the framework."""

    onnx: bool = False
    """Whether to write the model also as ONNX. The ONNX file is compared with the model. If their predictions differ,
    the file is left out with a warning."""


class Storage(ApiModel):
    """Storage of the models. If endpoint, region and secretRef of an S3 storage are all unset, the chart sets them."""

    uri: Uri
    """Address of the storage: s3://bucket/prefix or pvc://claim/path."""
    endpoint: Annotated[str, Field(max_length=2048)] | None = None
    """URL of an S3 server other than AWS. If endpoint, region and secretRef are all unset, the storage settings of the
    chart apply. Default: AWS."""
    region: Annotated[str, Field(max_length=64)] | None = None
    """Region of the bucket, such as eu-central-1. Default: the region in the Secret, otherwise the region that the
    cloud sets in the pod, otherwise us-east-1."""
    secret_ref: SecretRef | None = None
    """Secret with the credentials, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Default: the cloud identity of
    the pod."""
    server_side_encryption: Annotated[str, Field(max_length=64)] | None = None
    """Server-side encryption of written objects: AES256, aws:kms or aws:kms:dsse. Default: the encryption of the
    bucket."""
    kms_key_id: Annotated[str, Field(max_length=2048)] | None = None
    """With aws:kms, the ID, ARN or alias of the KMS key. Default: the AWS managed key of the account for S3."""
    checksum_mode: Literal["WhenRequired", "WhenSupported"] = "WhenRequired"
    """When S3 requests contain checksums. WhenRequired: only if S3 requires them, which every server supports.
    WhenSupported: whenever the client supports them."""

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
"""A resource with this domain, or without a domain (memory, cpu, hugepages-2Mi), belongs to Kubernetes. It is not a
device."""


class Accelerator(ApiModel):
    """A device such as a GPU, and what to do if no node has a free one."""

    resource: Annotated[str, Field(min_length=1, max_length=317)] = "nvidia.com/gpu"
    """Extended resource that the nodes with the device offer."""
    count: Annotated[int, Field(ge=1, le=64)] = 1
    """Number of devices that each pod requests."""
    node_selector: LabelMap | None = None
    """Labels of the nodes that have the device. Default: the labels that the chart sets for the resource."""
    fallback: Literal["None", "CPU"] = "None"
    """What to do if no node has a free device in time. None: the job continues to wait. CPU: the job trains on the
    CPU."""
    fallback_after_seconds: Annotated[int, Field(ge=0, le=86400)] = 600
    """With fallback CPU, time in seconds to wait for a device."""

    rules = (
        Rule(
            f"self.resource.matches('{_EXTENDED_RESOURCE}') && !self.resource.contains('{_NATIVE_DOMAIN}')",
            "accelerator.resource must be an extended resource that nodes offer, such as nvidia.com/gpu; "
            "set cpu and memory in resources",
            lambda m: re.fullmatch(_EXTENDED_RESOURCE, m.resource) is not None and _NATIVE_DOMAIN not in m.resource,
            field="resource",
        ),
    )


class Retry(ApiModel):
    """Attempts and the delay between them: ``initialSeconds * factor ** n``, at most ``maxSeconds``."""

    max_attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """Maximum number of attempts, including the first one."""
    initial_seconds: Annotated[int, Field(ge=0, le=86400)] = 10
    """Seconds to wait after the first failure."""
    factor: Annotated[float, Field(ge=1, le=10)] = 2
    """Factor by which the delay grows with each further failure."""
    max_seconds: Annotated[int, Field(ge=0, le=86400)] = 300
    """Maximum delay in seconds."""
    memory_growth: Annotated[float, Field(ge=1, le=4)] = 1.5
    """Factor by which the memory of the next attempt grows after a pod ran out of memory."""


class Mlflow(ApiModel):
    """An MLflow server. Each job creates one run on it."""

    uri: Annotated[str, Field(min_length=1, max_length=2048)]
    """URL of the MLflow server, such as https://mlflow.example.com."""
    experiment: Annotated[str, Field(min_length=1, max_length=256)]
    """Name of the experiment. If it does not exist, it is created."""
    secret_ref: SecretRef | None = None
    """Secret with the credentials of the MLflow server."""


class Tracking(ApiModel):
    """Experiment trackers. Their failures never fail a training."""

    mlflow: Mlflow | None = None
    """An MLflow server. Each job creates one run on it."""
