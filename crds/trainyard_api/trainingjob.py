"""TrainingJob: one training run, from data to a model version."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from trainyard_api.base import (
    MAX_INTEGER,
    MAX_SECONDS,
    ApiModel,
    Count,
    DnsLabel,
    Generation,
    MetricName,
    MetricValue,
    ObjectName,
    Rule,
    Timestamp,
    Uri,
    is_set,
)
from trainyard_api.conditions import Conditions
from trainyard_api.data import Data
from trainyard_api.pod import PodOptions, Resources
from trainyard_api.threshold import Threshold
from trainyard_api.training import (
    OWN_CODE,
    Accelerator,
    Backtest,
    Export,
    Forecast,
    Framework,
    FreeForm,
    Gate,
    Objective,
    Priority,
    Retry,
    Script,
    Search,
    Split,
    Storage,
    Task,
    Tracking,
)

Phase = Literal["Pending", "Queued", "Starting", "Running", "Retrying", "Suspended", "Succeeded", "Failed", "Cancelled"]
TERMINAL_PHASES: frozenset[Phase] = frozenset({"Succeeded", "Failed", "Cancelled"})


class TrainingJobSpec(PodOptions):
    """What to train. Only priority, retry, the deadlines, suspend and cancel may change after creation."""

    MUTABLE: ClassVar[frozenset[str]] = frozenset(
        {
            "priority",
            "retry",
            "active_deadline_seconds",
            "pending_deadline_seconds",
            "ttl_seconds_after_finished",
            "delete_seconds_after_finished",
            "suspend",
            "cancel",
        }
    )

    model_name: DnsLabel | None = None
    """The model whose next version this is, in this namespace; default: the name of this object."""
    framework: Framework
    """What trains: a built-in framework, a script of yours, or a container of yours."""
    task: Task
    """What the model answers: values ahead in time, a number, or a class."""
    data: Data
    forecast: Forecast | None = None
    backtest: Backtest | None = None
    split: Split | None = None
    threshold: Threshold | None = None
    """From which probability on the positive one of two classes is called; default: 0.5 where the classes are balanced,
    else the best F1."""
    parameters: FreeForm | None = None
    """The framework's own parameters by their own names, checked by the trainer."""
    search: Search | None = None
    objective: Objective | None = None
    gates: Annotated[list[Gate], Field(max_length=16)] | None = None
    """What a version must meet to be Validated; all of them."""
    mode: Literal["Train", "Prepare", "Backtest"] = "Train"
    """Train, or Prepare: the dataset and a report of it, or Backtest: how good forecasts would have been. Only Train
    makes a model."""
    script: Script | None = None
    command: Annotated[list[Annotated[str, Field(max_length=4096)]], Field(min_length=1, max_length=64)] | None = None
    """Framework Container: the command of your image, with the same contract of files and exit codes."""
    export: Export | None = None
    storage: Storage | None = None
    image: Annotated[str, Field(max_length=512)] | None = None
    """The image of the trainer; default: by framework, from the chart."""
    workers: Annotated[int, Field(ge=0, le=256)] = 0
    """Processes of the trainer; 0: as many as its CPU quota allows."""
    shards: Annotated[int, Field(ge=1, le=1000)] = 1
    """Pods that share the series of one job."""
    resources: Resources | None = None
    accelerator: Accelerator | None = None
    priority: Priority = "Normal"
    """Which waiting job starts first; then the older one."""
    retry: Retry | None = None
    active_deadline_seconds: Annotated[int, Field(ge=1, le=MAX_SECONDS)] | None = None
    """Running time of all attempts together, without waiting and suspension."""
    pending_deadline_seconds: Annotated[int, Field(ge=1, le=MAX_SECONDS)] | None = None
    """Time to wait for a start."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=MAX_SECONDS)] | None = None
    """When to delete the Jobs and pods of a finished job; the TrainingJob itself stays."""
    delete_seconds_after_finished: Annotated[int, Field(ge=0, le=MAX_SECONDS)] | None = None
    """When to delete the finished TrainingJob itself; default: never. Leave it out where Git holds the TrainingJob."""
    suspend: bool = False
    """Stop the pods and wait until this is false again."""
    cancel: bool = False
    """Stop for good; it cannot be taken back."""
    tracking: Tracking | None = None

    rules = (
        Rule(
            "self.task != 'Forecast' || has(self.data.time)",
            "task Forecast needs data.time",
            lambda m: m.task != "Forecast" or is_set(m.data, "time"),
            field="data.time",
        ),
        Rule(
            "self.framework != 'Prophet' || self.task == 'Forecast'",
            "framework Prophet needs task Forecast",
            lambda m: m.framework != "Prophet" or m.task == "Forecast",
            field="task",
        ),
        Rule(
            "(self.task == 'Forecast') == has(self.forecast)",
            "task Forecast needs the section forecast (at least forecast.horizon), and only task Forecast has it",
            lambda m: (m.task == "Forecast") == is_set(m, "forecast"),
            field="forecast",
        ),
        Rule(
            "!has(self.backtest) || self.task == 'Forecast'",
            "the section backtest needs task Forecast",
            lambda m: not is_set(m, "backtest") or m.task == "Forecast",
            field="backtest",
        ),
        Rule(
            "!has(self.backtest) || self.framework in ['Prophet', 'LightGBM', 'Torch']",
            "the section backtest needs framework Prophet, LightGBM or Torch",
            lambda m: not is_set(m, "backtest") or m.framework in {"Prophet", "LightGBM", "Torch"},
            field="backtest",
        ),
        Rule(
            "self.mode != 'Backtest' || has(self.backtest)",
            "mode Backtest needs the section backtest (at least backtest.windows)",
            lambda m: m.mode != "Backtest" or is_set(m, "backtest"),
            field="backtest",
        ),
        Rule(
            "(self.framework == 'Script') == has(self.script)",
            "framework Script needs the section script, and only framework Script has it",
            lambda m: (m.framework == "Script") == is_set(m, "script"),
            field="script",
        ),
        Rule(
            "(self.framework == 'Container') == has(self.command)",
            "framework Container needs command, and only framework Container has it",
            lambda m: (m.framework == "Container") == is_set(m, "command"),
            field="command",
        ),
        Rule(
            "self.framework != 'Container' || (has(self.image) && self.image != '')",
            "framework Container needs image",
            lambda m: m.framework != "Container" or bool(m.image),
            field="image",
        ),
        Rule(
            "!has(self.data.positiveClass) || self.task == 'Classification'",
            "data.positiveClass needs task Classification",
            lambda m: not is_set(m.data, "positive_class") or m.task == "Classification",
            field="data.positiveClass",
        ),
        Rule(
            "!has(self.threshold) || (self.task == 'Classification' && !(self.framework in ['Script', 'Container']))",
            "threshold needs task Classification, and a framework other than Script and Container: own code calls "
            "classes itself",
            lambda m: not is_set(m, "threshold") or (m.task == "Classification" and m.framework not in OWN_CODE),
            field="threshold",
        ),
        Rule(
            "!has(self.split) || self.split.strategy != 'Group' || has(self.data.group)",
            "split.strategy Group needs data.group",
            lambda m: m.split is None or m.split.strategy != "Group" or is_set(m.data, "group"),
            field="split.strategy",
        ),
        Rule(
            "!has(self.split) || self.split.strategy != 'Time' || has(self.data.time)",
            "split.strategy Time needs data.time",
            lambda m: m.split is None or m.split.strategy != "Time" or is_set(m.data, "time"),
            field="split.strategy",
        ),
        Rule(
            "!has(self.split) || self.split.strategy != 'Stratified' || self.task == 'Classification'",
            "split.strategy Stratified needs task Classification",
            lambda m: m.split is None or m.split.strategy != "Stratified" or m.task == "Classification",
            field="split.strategy",
        ),
    )


class Metric(ApiModel):
    """A named finite number; text, because a custom resource has no portable floats."""

    name: MetricName
    value: MetricValue


Metrics = Annotated[list[Metric], Field(max_length=64)]
Message = Annotated[str, Field(max_length=1024)]


class TrainerStatus(ApiModel):
    """The last progress the trainer reported, with the operator's clock and count (KEP-2779)."""

    progress_percentage: Annotated[int, Field(ge=0, le=100)] | None = None
    estimated_remaining_seconds: Count | None = None
    stage: Annotated[str, Field(max_length=64)] | None = None
    message: Message | None = None
    metrics: Metrics | None = None
    last_updated_time: Timestamp | None = None
    sequence: Count | None = None


class Attempt(ApiModel):
    """One try: a child Job and how it ended."""

    number: Annotated[int, Field(ge=1, le=MAX_INTEGER)]
    job_name: ObjectName
    reason: Annotated[str, Field(max_length=128)] | None = None
    exit_code: Annotated[int, Field(ge=0, le=255)] | None = None
    device: Annotated[str, Field(max_length=64)] | None = None
    start: Timestamp | None = None
    end: Timestamp | None = None


class Artifact(ApiModel):
    """Where a run's files lie and the digest of the manifest that lists them all."""

    uri: Uri
    manifest_sha256: Annotated[str, Field(max_length=64, pattern=r"^[0-9a-f]{64}$")]
    size_bytes: Count


class SeriesCount(ApiModel):
    """What became of the series of a job that trains many models."""

    total: Count
    trained: Count
    fallback: Count = 0
    failed: Count = 0


class Result(ApiModel):
    """What a finished training left behind."""

    metrics: Metrics | None = None
    artifact: Artifact | None = None
    report: Uri | None = None
    forecast: Uri | None = None
    """The table of what was forecast for the steps behind the data, with task Forecast."""
    series: SeriesCount | None = None
    device: Annotated[str, Field(max_length=64)] | None = None
    warnings: Annotated[list[Message], Field(max_length=16)] | None = None


class VersionRef(ApiModel):
    """The ModelVersion that a job made."""

    name: ObjectName
    version: Annotated[int, Field(ge=1, le=MAX_INTEGER)]


class Verdict(ApiModel):
    """What became of the version that a job made: the training may succeed and its model be refused."""

    phase: Literal["Pending", "Validated", "Rejected", "Unknown"]
    """Unknown: its ModelVersion was deleted before its verdict was seen."""
    reason: Annotated[str, Field(min_length=1, max_length=1024)]
    message: Message = ""
    """The sentence of the gates."""
    time: Timestamp | None = None
    """When it was judged, or validated by hand."""


class TrainingJobStatus(ApiModel):
    """What the operator observed. Written by the operator alone."""

    observed_generation: Generation = -1
    phase: Phase | None = None
    model_name: DnsLabel | None = None
    conditions: Conditions | None = None
    queue_position: Count | None = None
    estimated_duration_seconds: Count | None = None
    attempts: Annotated[list[Attempt], Field(max_length=10)] | None = None
    active_seconds: Count | None = None
    """Running time of the attempts that are over; activeDeadlineSeconds bounds it."""
    evictions: Count | None = None
    """How often a pod was evicted, preempted or drained, or lost its node."""
    interrupted_time: Timestamp | None = None
    """When an attempt that ran last lost its pod; pendingDeadlineSeconds and fallbackAfterSeconds count from here."""
    trainer_status: TrainerStatus | None = None
    objective_metric: MetricName | None = None
    """The metric whose value objectiveValue is."""
    objective_value: MetricValue | None = None
    result: Result | None = None
    model_version: VersionRef | None = None
    verdict: Verdict | None = None
    """Whether that version is good enough."""
    start_time: Timestamp | None = None
    completion_time: Timestamp | None = None
