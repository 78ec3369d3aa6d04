"""TrainingJob: one training run, from data to a model version."""

from typing import Annotated, Literal

from pydantic import Field

from trainyard_api.base import (
    MAX_INTEGER,
    ApiModel,
    Count,
    DnsLabel,
    MetricName,
    MetricValue,
    ObjectName,
    Rule,
    Timestamp,
    Uri,
    is_set,
)
from trainyard_api.batch import BatchSpec, BatchStatus, Message, Metrics
from trainyard_api.data import Data
from trainyard_api.threshold import Threshold
from trainyard_api.training import (
    OWN_CODE,
    Auto,
    Backtest,
    Export,
    Forecast,
    Framework,
    FreeForm,
    Gate,
    Objective,
    Script,
    Search,
    Split,
    Storage,
    Task,
    Tracking,
)


class TrainingJobSpec(BatchSpec):
    """What to train. Only priority, retry, the deadlines, suspend and cancel may change after creation."""

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
    tracking: Tracking | None = None
    """Experiment trackers that are told of the run; their failures never fail a training."""

    @property
    def uses_accelerator(self) -> bool:
        """Who turns a training into a look at its data changes the mode alone: then a device would lie idle."""
        return super().uses_accelerator and self.mode != "Prepare"

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


class TrainingJobStatus(BatchStatus):
    """What the operator observed. Written by the operator alone."""

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
