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
    Auto,
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
    framework: Framework = "Auto"
    """What trains: a built-in framework, a script of yours, or a container of yours; Auto compares several."""
    task: Task
    """What the model answers: values ahead in time, a number, or a class."""
    data: Data
    """The table to learn from, and what its columns mean."""
    forecast: Forecast | None = None
    """With task Forecast: what to predict ahead."""
    auto: Auto | None = None
    """With framework Auto: what is compared, and how much that may cost."""
    backtest: Backtest | None = None
    """With task Forecast: judge the training at several moments of the past."""
    split: Split | None = None
    """How rows are held out; default: by the task."""
    threshold: Threshold | None = None
    """From which probability on the positive one of two classes is called; default: 0.5 where the classes are balanced,
    else the best F1."""
    parameters: FreeForm | None = None
    """The framework's own parameters by their own names, checked by the trainer."""
    search: Search | None = None
    """Search hyper-parameters within a budget; default: no search."""
    objective: Objective | None = None
    """The metric that says which model is better; default: by the task."""
    gates: Annotated[list[Gate], Field(max_length=16)] | None = None
    """What a version must meet to be Validated, all of it; default: nothing."""
    mode: Literal["Train", "Prepare", "Backtest"] = "Train"
    """Train, or Prepare: the dataset and a report of it, or Backtest: how good forecasts would have been. Only Train
    makes a model."""
    script: Script | None = None
    """With framework Script: your own training code."""
    command: Annotated[list[Annotated[str, Field(max_length=4096)]], Field(min_length=1, max_length=64)] | None = None
    """Framework Container: the command of your image, with the same contract of files and exit codes."""
    export: Export | None = None
    """Formats to write beside the framework's own."""
    storage: Storage | None = None
    """Where models are written; default: storage of the chart."""
    image: Annotated[str, Field(max_length=512)] | None = None
    """The image of the trainer; default: by framework, from the chart."""
    workers: Annotated[int, Field(ge=0, le=256)] = 0
    """How many processes the trainer has; 0: as many as its CPU quota allows."""
    shards: Annotated[int, Field(ge=1, le=1000)] = 1
    """How many pods share the series of one job."""
    resources: Resources | None = None
    """Requests and limits of the trainer container, merged over the chart's defaults key by key."""
    accelerator: Accelerator | None = None
    """A device beside the CPU; default: none."""
    priority: Priority = "Normal"
    """Which waiting job starts first; then the older one."""
    retry: Retry | None = None
    """How often a failed training is tried again, and when."""
    active_deadline_seconds: Annotated[int, Field(ge=1, le=MAX_SECONDS)] | None = None
    """Seconds that all attempts together may run, without waiting and suspension; default: no limit."""
    pending_deadline_seconds: Annotated[int, Field(ge=1, le=MAX_SECONDS)] | None = None
    """Seconds that each wait for a start may take; default: no limit."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=MAX_SECONDS)] | None = None
    """Seconds after the end when the Jobs and pods are deleted; the TrainingJob itself stays. Default: never."""
    delete_seconds_after_finished: Annotated[int, Field(ge=0, le=MAX_SECONDS)] | None = None
    """Seconds after the end when the TrainingJob itself is deleted; default: never. Leave it out where Git holds it."""
    suspend: bool = False
    """Stop the pods and wait until this is false again."""
    cancel: bool = False
    """Stop for good; it cannot be taken back."""
    tracking: Tracking | None = None
    """Experiment trackers that are told of the run; their failures never fail a training."""

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
            "self.framework != 'StatsForecast' || self.task == 'Forecast'",
            "framework StatsForecast needs task Forecast",
            lambda m: m.framework != "StatsForecast" or m.task == "Forecast",
            field="task",
        ),
        Rule(
            "!has(self.auto) || self.framework == 'Auto'",
            "the section auto needs framework Auto",
            lambda m: not is_set(m, "auto") or m.framework == "Auto",
            field="auto",
        ),
        Rule(
            "!has(self.auto) || !has(self.auto.candidates) || self.task == 'Forecast' || self.auto.candidates == "
            "['LightGBM']",
            "auto.candidates StatsForecast and Prophet need task Forecast",
            lambda m: (
                m.auto is None or m.auto.candidates is None or m.task == "Forecast" or m.auto.candidates == ["LightGBM"]
            ),
            field="auto.candidates",
        ),
        Rule(
            "(self.task == 'Forecast') == has(self.forecast)",
            "task Forecast needs the section forecast (at least forecast.horizon), and only task Forecast has it",
            lambda m: (m.task == "Forecast") == is_set(m, "forecast"),
            field="forecast",
        ),
        Rule(
            "!has(self.data.static) || self.task == 'Forecast'",
            "data.static is for task Forecast; a column of a table is a feature",
            lambda m: not is_set(m.data, "static") or m.task == "Forecast",
            field="data",
        ),
        Rule(
            "!has(self.backtest) || self.task == 'Forecast'",
            "the section backtest needs task Forecast",
            lambda m: not is_set(m, "backtest") or m.task == "Forecast",
            field="backtest",
        ),
        Rule(
            "!has(self.backtest) || !(self.framework in ['Script', 'Container'])",
            "the section backtest needs a framework other than Script and Container: own code is not asked twice",
            lambda m: not is_set(m, "backtest") or m.framework not in OWN_CODE,
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
    """Name of the metric."""
    value: MetricValue
    """Its value: a finite number as text."""


Metrics = Annotated[list[Metric], Field(max_length=64)]
Message = Annotated[str, Field(max_length=1024)]


class TrainerStatus(ApiModel):
    """The last progress the trainer reported, with the operator's clock and count (KEP-2779)."""

    progress_percentage: Annotated[int, Field(ge=0, le=100)] | None = None
    """How much is done, in percent."""
    estimated_remaining_seconds: Count | None = None
    """Seconds until the training ends, as the trainer estimates."""
    stage: Annotated[str, Field(max_length=64)] | None = None
    """What the trainer does now, such as load or train."""
    message: Message | None = None
    """The same in a sentence."""
    metrics: Metrics | None = None
    """The metrics of this moment."""
    last_updated_time: Timestamp | None = None
    """When the report came, by the operator's clock."""
    sequence: Count | None = None
    """How many reports came; an older one never replaces a newer one."""


class Attempt(ApiModel):
    """One try: a child Job and how it ended."""

    number: Annotated[int, Field(ge=1, le=MAX_INTEGER)]
    """Which attempt it is, from 1."""
    job_name: ObjectName
    """Name of its Job."""
    reason: Annotated[str, Field(max_length=128)] | None = None
    """How it ended, such as Completed, OOMKilled or Suspended."""
    exit_code: Annotated[int, Field(ge=0, le=255)] | None = None
    """Exit code of its container."""
    device: Annotated[str, Field(max_length=64)] | None = None
    """With an accelerator: the device that it asked for, cpu or the resource."""
    start: Timestamp | None = None
    """When its Job started."""
    end: Timestamp | None = None
    """When its Job ended."""


class Artifact(ApiModel):
    """Where a run's files lie and the digest of the manifest that lists them all."""

    uri: Uri
    """The folder of the run."""
    manifest_sha256: Annotated[str, Field(max_length=64, pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of the manifest, which lists each file with its own digest."""
    size_bytes: Count
    """Bytes of all its files."""


class SeriesCount(ApiModel):
    """What became of the series of a job that trains many models."""

    total: Count
    """Series in the data."""
    trained: Count
    """Series that have a trained model."""
    fallback: Count = 0
    """Series that kept a simpler model instead."""
    failed: Count = 0
    """Series without a model."""


class Result(ApiModel):
    """What a finished training left behind."""

    metrics: Metrics | None = None
    """What the model reached on rows that it had not seen."""
    artifact: Artifact | None = None
    """Where the files of the run lie."""
    report: Uri | None = None
    """Address of the report, a page of HTML."""
    forecast: Uri | None = None
    """The table of what was forecast for the steps behind the data, with task Forecast."""
    log: Uri | None = None
    """The folder with what the trainer has logged, in all attempts."""
    series: SeriesCount | None = None
    """What became of the series of a job that trains many models."""
    device: Annotated[str, Field(max_length=64)] | None = None
    """The device that trained, such as cpu."""
    warnings: Annotated[list[Message], Field(max_length=16)] | None = None
    """What the trainer warns of, a sentence each."""


class VersionRef(ApiModel):
    """The ModelVersion that a job made."""

    name: ObjectName
    """Name of the ModelVersion."""
    version: Annotated[int, Field(ge=1, le=MAX_INTEGER)]
    """Its number."""


class Verdict(ApiModel):
    """What became of the version that a job made: the training may succeed and its model be refused."""

    phase: Literal["Pending", "Validated", "Rejected", "Unknown"]
    """Phase of the ModelVersion; Unknown: it was deleted before its verdict was seen."""
    reason: Annotated[str, Field(min_length=1, max_length=1024)]
    """Why, in one word."""
    message: Message = ""
    """The sentence of the gates."""
    time: Timestamp | None = None
    """When it was judged, or validated by hand."""


class TrainingJobStatus(ApiModel):
    """What the operator observed. Written by the operator alone."""

    observed_generation: Generation = -1
    """The metadata.generation that this status tells of; -1 before the operator saw the object."""
    phase: Phase | None = None
    """Where the job stands."""
    model_name: DnsLabel | None = None
    """The model whose next version the job makes."""
    conditions: Conditions | None = None
    """Ready, Reconciling, Stalled, Complete, Failed and DeviceFallback, each with a reason and a sentence."""
    queue_position: Count | None = None
    """Its place among all that wait for the same, from 1; exact up to 10."""
    estimated_duration_seconds: Count | None = None
    """Seconds that the job may take: the median of the model's last runs."""
    attempts: Annotated[list[Attempt], Field(max_length=10)] | None = None
    """The attempts, the newest at the end."""
    active_seconds: Count | None = None
    """Running time in seconds of the attempts that are over; activeDeadlineSeconds bounds it."""
    evictions: Count | None = None
    """How often a pod was evicted, preempted or drained, or lost its node."""
    interrupted_time: Timestamp | None = None
    """When an attempt that ran last lost its pod; pendingDeadlineSeconds and fallbackAfterSeconds count from here."""
    trainer_status: TrainerStatus | None = None
    """The last progress that the trainer reported."""
    objective_metric: MetricName | None = None
    """The metric whose value objectiveValue is."""
    objective_value: MetricValue | None = None
    """Value of the objective's metric."""
    result: Result | None = None
    """What the finished training left behind."""
    model_version: VersionRef | None = None
    """The ModelVersion that the job made."""
    verdict: Verdict | None = None
    """Whether that version is good enough."""
    start_time: Timestamp | None = None
    """When the first attempt was started."""
    completion_time: Timestamp | None = None
    """When the job succeeded, failed or was cancelled."""
