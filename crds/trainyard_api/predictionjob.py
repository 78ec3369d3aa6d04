"""PredictionJob: a version of a model is applied to data once, and the result is written to files or to a table."""

from typing import Annotated, Literal

from pydantic import Field

from trainyard_api.base import (
    MAX_INTEGER,
    ApiModel,
    ColumnName,
    Count,
    DnsLabel,
    ObjectName,
    Rule,
    Timestamp,
    has_scheme,
    is_set,
)
from trainyard_api.batch import BatchSpec, BatchStatus, Message
from trainyard_api.data import SCHEME_RULE, Columns, Covariate, Source
from trainyard_api.pod import SecretRef
from trainyard_api.training import Storage

SQL_NAME = r"^[A-Za-z_][A-Za-z0-9_]{0,62}(\.[A-Za-z_][A-Za-z0-9_]{0,62})?$"
"""A table, optionally with its schema. Other names would need quotes in each query."""


class PredictionModel(ApiModel):
    """The version that predicts. The operator selects it when an attempt starts."""

    deployment: ObjectName | None = None
    """Name of a ModelDeployment in this namespace. Its active version predicts. So a pin, a hold or a rollback also
    applies to predictions."""
    name: DnsLabel | None = None
    """Name of a model in this namespace, as in spec.modelName of TrainingJobs. The newest Validated version predicts,
    or the one in version."""
    version: Annotated[int, Field(ge=1, le=MAX_INTEGER)] | None = None
    """With name, the number of the version that predicts, whatever its phase. Default: the newest Validated version."""

    rules = (
        Rule(
            "has(self.deployment) != has(self.name)",
            "model needs exactly one of deployment and name",
            lambda m: is_set(m, "deployment") != is_set(m, "name"),
        ),
        Rule(
            "!has(self.version) || has(self.name)",
            "model.version needs model.name",
            lambda m: not is_set(m, "version") or is_set(m, "name"),
            field="version",
        ),
    )


class PredictionData(Source):
    """The rows to predict. For a forecast, the observations up to now. The version knows the roles of the columns. The
    table needs the columns that the model reads.
    """

    covariates: Annotated[list[Covariate], Field(max_length=16)] | None = None
    """Covariate tables, with the names of the training. They replace those of the training. Default: those of the
    training."""
    keep: Columns | None = None
    """Columns to copy from the data to the predictions, such as the key of a row. Not for a forecast, which has series
    and time."""

    rules = (
        Rule(
            "has(self.uri) != has(self.sql)",
            "data needs exactly one of uri and sql",
            lambda m: is_set(m, "uri") != is_set(m, "sql"),
        ),
        SCHEME_RULE,
    )


class FileOutput(Storage):
    """Files in a bucket or on a claim."""

    format: Literal["Parquet", "Csv"] = "Parquet"
    """Format of the files."""

    rules = (
        Rule(
            "self.uri.matches('^(s3|pvc)://.+')",
            "output.files.uri must start with s3:// or pvc://",
            lambda m: has_scheme(m.uri, "s3", "pvc"),
            field="uri",
        ),
        Rule(
            "!has(self.kmsKeyId) || "
            "(has(self.serverSideEncryption) && self.serverSideEncryption.startsWith('aws:kms'))",
            "output.files.kmsKeyId needs output.files.serverSideEncryption aws:kms",
            lambda m: not is_set(m, "kms_key_id") or (m.server_side_encryption or "").startswith("aws:kms"),
            field="kmsKeyId",
        ),
    )


class SqlOutput(ApiModel):
    """A table of a PostgreSQL database. All rows of a run appear in one transaction."""

    secret_ref: SecretRef
    """Secret whose key url contains the connection URL, such as postgresql://user:password@host/database."""
    table: Annotated[str, Field(min_length=1, max_length=127, pattern=SQL_NAME)]
    """Name of the table, optionally with its schema: forecasts or sales.forecasts. If the table does not exist, it is
    created."""
    mode: Literal["Append", "Upsert", "Replace"] = "Append"
    """What happens to rows that exist. Append: they stay. Upsert: rows with the same keys are updated. Replace: rows
    with the same values in keys are deleted first."""
    keys: Annotated[list[ColumnName], Field(min_length=1, max_length=16)] | None = None
    """With mode Upsert, columns that identify a row. With mode Replace, columns that identify the part of the table to
    replace, such as as_of."""

    rules = (
        Rule(
            "(self.mode == 'Append') != has(self.keys)",
            "modes Upsert and Replace need keys, and only these modes have them",
            lambda m: (m.mode == "Append") != is_set(m, "keys"),
            field="keys",
        ),
    )


class Output(ApiModel):
    """Where the predictions are written: to files or to a table."""

    files: FileOutput | None = None
    """Files in a bucket or on a claim. Each run is one file. The object _runs/<uid>.json completes it."""
    sql: SqlOutput | None = None
    """A table of a PostgreSQL database, instead of files."""

    rules = (
        Rule(
            "has(self.files) != has(self.sql)",
            "output needs exactly one of files and sql",
            lambda m: is_set(m, "files") != is_set(m, "sql"),
        ),
    )


class PredictionJobSpec(BatchSpec):
    """What to predict, and where to write it. After creation, only priority, retry, the deadlines, suspend and cancel
    can be changed.
    """

    model: PredictionModel
    """The version that predicts."""
    data: PredictionData
    """The rows to predict."""
    horizon: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """For a forecast, the number of steps after the newest observation of each series. Default and maximum: the horizon
    of the model."""
    output: Output
    """Where the predictions are written."""
    image: Annotated[str, Field(max_length=512)] | None = None
    """Image of the trainer. Default: the image that the chart sets for the framework of the version."""


class PredictionResult(ApiModel):
    """The predictions that the job wrote."""

    rows: Count
    """Number of rows."""
    version: Annotated[int, Field(ge=1, le=MAX_INTEGER)] | None = None
    """Number of the version that predicted the rows."""
    series: Count | None = None
    """For a forecast, the number of series."""
    left_out: Count | None = None
    """For a forecast, the number of series of the data that the model cannot forecast. A warning has the reason."""
    as_of: Timestamp | None = None
    """For a forecast, the time of the newest observation."""
    output: Annotated[str, Field(max_length=2048)]
    """Address of the folder of the files, or the name of the table."""
    log: Annotated[str, Field(max_length=2048)] | None = None
    """Address of the folder with the logs of the trainer, of all attempts."""
    warnings: Annotated[list[Message], Field(max_length=16)] | None = None
    """Warnings of the trainer."""


class PredictionJobStatus(BatchStatus):
    """The observed state of the job. Only the operator writes it."""

    version: Annotated[int, Field(ge=1, le=MAX_INTEGER)] | None = None
    """Number of the version that predicts. It is selected when an attempt starts."""
    result: PredictionResult | None = None
    """The predictions of the finished job."""
