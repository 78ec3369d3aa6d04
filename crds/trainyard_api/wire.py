"""Messages between operator and trainer: configuration down, progress up, the result in the termination message."""

from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from trainyard_api.base import MAX_INTEGER, Count, Digest, MetricName, MetricValue, Uri, first_problem
from trainyard_api.batch import Message, Metrics
from trainyard_api.modelversion import Comparison, Signature
from trainyard_api.trainingjob import Artifact, SeriesCount, TrainingJobSpec

RESULT_MAX_BYTES = 4096
"""The kubelet keeps this much of a termination message."""

REPORT_MAX_BYTES = 64 * 1024
"""A larger progress report is refused with 413."""


class WireModel(BaseModel):
    """A message. Unknown fields are ignored, so that two neighbouring releases understand each other."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")

    def to_json(self) -> str:
        """Return the message as compact JSON, absent instead of null."""
        return self.model_dump_json(by_alias=True, exclude_none=True)


class ChampionRef(WireModel):
    """The version that serves when an attempt starts: what the trained model is compared with."""

    version: Annotated[int, Field(ge=1, le=MAX_INTEGER)]
    artifact: Artifact
    """Where its run lies, and the digest of its manifest."""


class TrainerConfig(WireModel):
    """Everything a trainer needs, resolved by the operator: what the user left out has the operator's defaults."""

    namespace: str
    name: str
    uid: str
    attempt: Annotated[int, Field(ge=1)] = 1
    model_name: str
    spec: TrainingJobSpec
    """With ``storage`` always set."""
    progress_url: Uri | None = None
    """Where to report; none in a local run."""
    champion: ChampionRef | None = None
    """The version to compare with; none before the model's first Validated version."""
    image: str = ""

    @classmethod
    def parse(cls, text: str | bytes) -> Self:
        """Read a configuration that the operator wrote. Raises :class:`pydantic.ValidationError`."""
        return cls.model_validate_json(text, extra="ignore")


class ReportedStatus(WireModel):
    """Progress as a trainer sends it. The operator adds its own clock and sequence; the sender's clock is ignored."""

    progress_percentage: Annotated[int, Field(ge=0, le=100)] | None = None
    estimated_remaining_seconds: Count | None = None
    stage: Annotated[str, Field(max_length=64)] | None = None
    message: Message | None = None
    metrics: Metrics | None = None


class ProgressReport(WireModel):
    """The body of a POST to the progress endpoint."""

    trainer_status: ReportedStatus


MAX_VERSION: Final = 99_999_999
"""The store writes a number with eight digits; a pod that names a higher one has claimed none."""


class RegisteredVersion(WireModel):
    """The version number a run claimed in the artifact store."""

    version: Annotated[int, Field(ge=1, le=MAX_VERSION)]
    label: Annotated[str, Field(min_length=1, max_length=63)]


class TrainingResult(WireModel):
    """How a trainer ended: the final truth, at most ``RESULT_MAX_BYTES`` of JSON in the termination message.

    A success says what it made: a ``Version`` names the version and the artifact, a ``Dataset`` (``mode: Prepare``) or
    a ``Backtest`` the artifact, a ``Shard`` is a part that another pod of the Job merges. A failure has ``reason`` and
    ``message`` alone.
    """

    outcome: Literal["Succeeded", "Failed"]
    made: Literal["Version", "Dataset", "Backtest", "Shard"] = "Version"
    reason: Annotated[str, Field(max_length=128)] | None = None
    message: Message | None = None
    model_version: RegisteredVersion | None = None
    artifact: Artifact | None = None
    formats: Annotated[list[str], Field(max_length=8)] | None = None
    metrics: Metrics | None = None
    objective_metric: MetricName | None = None
    """The metric that ranks the model."""
    objective_value: MetricValue | None = None
    signature: Signature | None = None
    holdout_digest: Digest | None = None
    data_digest: Digest | None = None
    comparison: Comparison | None = None
    """The champion beside the new version; none without a champion."""
    report: Uri | None = None
    forecast: Uri | None = None
    """The table of the steps behind the end of each series; none unless the task is Forecast."""
    log: Uri | None = None
    """The folder of the job's logs."""
    series: SeriesCount | None = None
    device: Annotated[str, Field(max_length=64)] | None = None
    warnings: Annotated[list[Message], Field(max_length=16)] | None = None

    @model_validator(mode="after")
    def _success_is_complete(self) -> Self:
        if self.outcome != "Succeeded":
            return self
        if self.made == "Version" and (self.model_version is None or self.artifact is None or not self.formats):
            raise ValueError("a Succeeded result needs modelVersion, artifact and formats")
        if self.made in {"Dataset", "Backtest"} and self.artifact is None:
            raise ValueError(f"a Succeeded result of a {self.made.lower()} needs its artifact")
        return self


def parse_result(text: str) -> TrainingResult | str:
    """Read a termination message; return a sentence that says what is wrong with it instead of raising.

    A pod can end before the trainer wrote anything, and a Container job writes its own: the text is not to be trusted.
    """
    if not text.strip():
        return "the pod ended without a result in its termination message"
    try:
        return TrainingResult.model_validate_json(text, extra="ignore")
    except ValidationError as error:
        return f"the result in the termination message cannot be read: {first_problem(error, whole='text')}"
