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
    """What to train. After creation, only priority, retry, the deadlines, suspend and cancel can be changed."""

    model_name: DnsLabel | None = None
    """Name of the model in this namespace. The job creates the next version of this model. Default: the name of this
    object."""
    framework: Framework = "Auto"
    """Framework that trains the model. Script and Container run your own code. Auto compares several frameworks."""
    task: Task
    """What the model predicts. Forecast: future values of a time series. Regression: a number. Classification: a
    class."""
    data: Data
    """Table to train on, and the roles of its columns."""
    forecast: Forecast | None = None
    """With task Forecast, what to forecast. Required with this task."""
    auto: Auto | None = None
    """With framework Auto, the candidates and the limit of their cost."""
    backtest: Backtest | None = None
    """With task Forecast, an evaluation of the training at several cutoffs in the past."""
    split: Split | None = None
    """How rows are held out. Default: determined by the task."""
    threshold: Threshold | None = None
    """How the threshold is chosen: the probability from which the positive one of two classes is predicted. Default:
    0.5 if the classes are balanced, otherwise the threshold with the highest F1 score."""
    parameters: FreeForm | None = None
    """Parameters of the framework, by the framework's own names. The trainer validates them."""
    search: Search | None = None
    """Hyperparameter search within a budget. Default: no search."""
    objective: Objective | None = None
    """Metric that determines which model is better. Default: determined by the task."""
    gates: Annotated[list[Gate], Field(max_length=16)] | None = None
    """Conditions for a version to become Validated. The version must meet all of them. Default: none."""
    shards: Annotated[int, Field(ge=1, le=1000)] = 1
    """Number of pods that share the series of the job. A value above 1 requires framework Prophet and mode Train."""
    mode: Literal["Train", "Prepare", "Backtest"] = "Train"
    """What the job creates. Train: a model version. Prepare: a dataset and a report about it. Backtest: an evaluation
    of past forecasts. Prepare and Backtest create no model."""
    script: Script | None = None
    """With framework Script, your own training code. Required with this framework."""
    command: Annotated[list[Annotated[str, Field(max_length=4096)]], Field(min_length=1, max_length=64)] | None = None
    """With framework Container, the command of your image. It must use the input files, output files and exit codes
    that trainyard defines."""
    export: Export | None = None
    """Model formats to write in addition to the format of the framework."""
    storage: Storage | None = None
    """Storage of the models. Default: the storage of the chart."""
    tracking: Tracking | None = None
    """Experiment trackers that receive the results. Their failures never fail a training."""

    @property
    def pods(self) -> int:
        """Return the number of shards."""
        return self.shards

    @property
    def uses_accelerator(self) -> bool:
        """Return whether the pods request the accelerator. ``mode: Prepare`` trains nothing, so a device would be
        idle."""
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
            "data.static needs task Forecast; for other tasks, use data.features",
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
            "the section backtest needs a framework other than Script and Container",
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
            "threshold needs task Classification, and a framework other than Script and Container: your own code "
            "predicts classes",
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
    """The address of the files of a run, and the digest of the manifest that lists them."""

    uri: Uri
    """Address of the folder of the run."""
    manifest_sha256: Annotated[str, Field(max_length=64, pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 digest of the manifest. The manifest lists each file with its digest."""
    size_bytes: Count
    """Total size of the files in bytes."""


class SeriesCount(ApiModel):
    """Number of series of the job by their result."""

    total: Count
    """Number of series in the data."""
    trained: Count
    """Number of series with a trained model."""
    fallback: Count = 0
    """Number of series that use a simpler model instead."""
    failed: Count = 0
    """Number of series without a model."""


class Result(ApiModel):
    """Result of a finished training."""

    metrics: Metrics | None = None
    """Metrics of the model on held-out rows."""
    artifact: Artifact | None = None
    """Address of the files of the run."""
    report: Uri | None = None
    """Address of the report, an HTML page."""
    forecast: Uri | None = None
    """With task Forecast, address of the table with the forecast of the steps after the end of the data."""
    log: Uri | None = None
    """Address of the folder with the logs of the trainer, of all attempts."""
    series: SeriesCount | None = None
    """Number of series of the job by their result."""
    device: Annotated[str, Field(max_length=64)] | None = None
    """Device that the training used, such as cpu."""
    warnings: Annotated[list[Message], Field(max_length=16)] | None = None
    """Warnings of the trainer."""


class VersionRef(ApiModel):
    """The ModelVersion that a job created."""

    name: ObjectName
    """Name of the ModelVersion."""
    version: Annotated[int, Field(ge=1, le=MAX_INTEGER)]
    """Number of the version."""


class Verdict(ApiModel):
    """The verdict on the version of a job. A training can succeed although the gates reject its model."""

    phase: Literal["Pending", "Validated", "Rejected", "Unknown"]
    """Verdict on the ModelVersion. Unknown: the ModelVersion was deleted before the operator observed its verdict."""
    reason: Annotated[str, Field(min_length=1, max_length=1024)]
    """Reason for the verdict, as one CamelCase word."""
    message: Message = ""
    """Message about the verdict, such as the results of the gates."""
    time: Timestamp | None = None
    """Time when the version was judged, or when a person validated it."""


class TrainingJobStatus(BatchStatus):
    """The observed state of the job. Only the operator writes it."""

    objective_metric: MetricName | None = None
    """Name of the metric in objectiveValue."""
    objective_value: MetricValue | None = None
    """Value of objectiveMetric."""
    result: Result | None = None
    """Result of the finished training."""
    model_version: VersionRef | None = None
    """ModelVersion that the job created."""
    verdict: Verdict | None = None
    """Verdict on this version: whether it met its gates."""
