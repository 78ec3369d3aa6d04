"""Messages between operator and trainer: the configuration, the progress, and the result in the termination message."""

from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from trainyard_api.base import MAX_INTEGER, Count, Digest, MetricName, MetricValue, Uri, first_problem
from trainyard_api.batch import Message, Metrics
from trainyard_api.modelversion import Comparison, Signature
from trainyard_api.predictionjob import PredictionJobSpec, PredictionResult
from trainyard_api.training import Storage
from trainyard_api.trainingjob import Artifact, SeriesCount, TrainingJobSpec

RESULT_MAX_BYTES = 4096
"""Maximum number of bytes of a termination message that the kubelet keeps."""

REPORT_MAX_BYTES = 64 * 1024
"""Maximum size of a progress report in bytes. A larger report is refused with status 413."""


class WireModel(BaseModel):
    """A message. Unknown fields are ignored, so that two consecutive releases can exchange messages."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")

    def to_json(self) -> str:
        """Return the message as compact JSON without nulls."""
        return self.model_dump_json(by_alias=True, exclude_none=True)


class ChampionRef(WireModel):
    """The champion when an attempt starts. The trained model is compared with it."""

    version: Annotated[int, Field(ge=1, le=MAX_INTEGER)]
    artifact: Artifact
    """Address of its run, and the digest of its manifest."""


class TrainerConfig(WireModel):
    """The complete configuration of a trainer. The operator has filled in its defaults for omitted fields."""

    namespace: str
    name: str
    uid: str
    attempt: Annotated[int, Field(ge=1)] = 1
    model_name: str
    spec: TrainingJobSpec
    """The spec. ``storage`` is always set."""
    progress_url: Uri | None = None
    """URL for progress reports. Not set in a local run."""
    champion: ChampionRef | None = None
    """The version to compare with. Not set before the first Validated version of the model."""
    image: str = ""

    @classmethod
    def parse(cls, text: str | bytes) -> Self:
        """Parse a configuration that the operator wrote. Raises :class:`pydantic.ValidationError`."""
        return cls.model_validate_json(text, extra="ignore")


class PredictionConfig(WireModel):
    """The complete configuration of a pod that predicts. The operator has selected the version."""

    namespace: str
    name: str
    uid: str
    attempt: Annotated[int, Field(ge=1)] = 1
    model_name: str
    version: Annotated[int, Field(ge=1, le=MAX_INTEGER)]
    """Number of the version that predicts."""
    artifact: Artifact
    """Address of its run, and the digest of its manifest."""
    storage: Storage
    """Storage of the artifact. The logs are kept there too."""
    spec: PredictionJobSpec
    progress_url: Uri | None = None
    """URL for progress reports. Not set in a local run."""
    image: str = ""

    @classmethod
    def parse(cls, text: str | bytes) -> Self:
        """Parse a configuration that the operator wrote. Raises :class:`pydantic.ValidationError`."""
        return cls.model_validate_json(text, extra="ignore")


class ReportedStatus(WireModel):
    """Progress as a trainer sends it. The operator adds the time and the sequence number."""

    progress_percentage: Annotated[int, Field(ge=0, le=100)] | None = None
    estimated_remaining_seconds: Count | None = None
    stage: Annotated[str, Field(max_length=64)] | None = None
    message: Message | None = None
    metrics: Metrics | None = None


class ProgressReport(WireModel):
    """The body of a POST to the progress endpoint."""

    trainer_status: ReportedStatus


MAX_VERSION: Final = 99_999_999
"""The highest version number. The store writes a number with eight digits, so no run can claim a higher one."""


class RegisteredVersion(WireModel):
    """The version number that a run claimed in the artifact store."""

    version: Annotated[int, Field(ge=1, le=MAX_VERSION)]
    label: Annotated[str, Field(min_length=1, max_length=63)]


class TrainingResult(WireModel):
    """The final result of a trainer: at most ``RESULT_MAX_BYTES`` of JSON in the termination message.

    A success states in ``made`` what was created. A ``Version`` has the version and the artifact. A ``Dataset``
    (``mode: Prepare``) and a ``Backtest`` have the artifact. A ``Shard`` is a part that another pod of the Job merges.
    ``Predictions`` of a PredictionJob have the number of rows and the address of the output.
    A failure has only ``reason`` and ``message``.
    """

    outcome: Literal["Succeeded", "Failed"]
    made: Literal["Version", "Dataset", "Backtest", "Shard", "Predictions"] = "Version"
    reason: Annotated[str, Field(max_length=128)] | None = None
    message: Message | None = None
    model_version: RegisteredVersion | None = None
    artifact: Artifact | None = None
    formats: Annotated[list[str], Field(max_length=8)] | None = None
    metrics: Metrics | None = None
    objective_metric: MetricName | None = None
    """Name of the metric that ranks the model."""
    objective_value: MetricValue | None = None
    signature: Signature | None = None
    holdout_digest: Digest | None = None
    data_digest: Digest | None = None
    comparison: Comparison | None = None
    """The comparison with the champion. Not set without a champion."""
    report: Uri | None = None
    forecast: Uri | None = None
    """Address of the table with the steps after the end of each series. Set only with task Forecast."""
    log: Uri | None = None
    """Address of the folder with the logs of the job."""
    series: SeriesCount | None = None
    device: Annotated[str, Field(max_length=64)] | None = None
    warnings: Annotated[list[Message], Field(max_length=16)] | None = None
    predictions: PredictionResult | None = None
    """What a PredictionJob wrote."""

    @model_validator(mode="after")
    def _success_is_complete(self) -> Self:
        if self.outcome != "Succeeded":
            return self
        if self.made == "Version" and (self.model_version is None or self.artifact is None or not self.formats):
            raise ValueError("a Succeeded result needs modelVersion, artifact and formats")
        if self.made in {"Dataset", "Backtest"} and self.artifact is None:
            raise ValueError(f"a Succeeded result of a {self.made.lower()} needs its artifact")
        if self.made == "Predictions" and self.predictions is None:
            raise ValueError("a Succeeded result of predictions needs the section predictions")
        return self


def parse_result(text: str) -> TrainingResult | str:
    """Parse a termination message. If it is not valid, return a message with the reason instead of raising.

    A pod can end before the trainer wrote anything, and a Container job writes its own text. So the text is not
    trusted.
    """
    if not text.strip():
        return "the pod ended without a result in its termination message"
    try:
        return TrainingResult.model_validate_json(text, extra="ignore")
    except ValidationError as error:
        return f"the result in the termination message cannot be read: {first_problem(error, whole='text')}"
