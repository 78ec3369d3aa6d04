"""The data section of a training spec: the address of the table, how to read it, and the roles of its columns."""

from typing import Annotated, Literal

from pydantic import Field

from trainyard_api.base import ApiModel, ColumnName, Rule, Uri, has_scheme, is_set
from trainyard_api.pod import SecretRef

DATA_SCHEMES = ("s3", "https", "pvc")
"""Schemes of the sources that a cluster can read. ``file://`` works only in local runs, so only the API server refuses
it."""

SCHEME_RULE = Rule(
    "!has(self.uri) || self.uri.matches('^(s3|https|pvc)://.+')",
    "uri must start with s3://, https:// or pvc://",
    lambda m: m.uri is None or has_scheme(m.uri, *DATA_SCHEMES),
    field="uri",
)

Ratio = Annotated[float, Field(ge=0, le=1)]
Columns = Annotated[list[ColumnName], Field(max_length=2000)]


class CsvOptions(ApiModel):
    """How to read delimited text. ``Auto`` detects a value from the start of the file."""

    separator: Annotated[str, Field(min_length=1, max_length=4)] = "Auto"
    """Separator between two fields: one character, or a space for any number of spaces. Auto detects it."""
    decimal: Literal["Auto", ".", ","] = "Auto"
    """Decimal separator of numbers. Auto detects it."""
    encoding: Annotated[str, Field(min_length=1, max_length=32)] = "utf-8"
    """Character encoding of the file, by its Python name, such as latin-1."""
    thousands: Literal["Auto", "None", ",", ".", " ", "'"] = "Auto"
    """Thousands separator of numbers. Auto detects it. None: numbers have no thousands separator."""
    nulls: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=32)] | None = None
    """Words that mark a missing value. They replace the built-in words, such as NA and NULL. An empty field is always a
    missing value."""
    skip_lines: Annotated[int, Field(ge=0, le=10_000)] | None = None
    """Number of lines to skip at the start of the file. Default: all lines above the first line that contains all
    needed column names."""
    header: Literal["Auto", "Present", "Absent"] = "Auto"
    """Whether the file has a header line with the column names. Absent: the names are column1, column2, and so on.
    Auto: Absent if all needed columns have such names, otherwise Present."""
    comment: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """Character at the start of comment lines, which are ignored. Default: #, but only for lines that do not look like
    a row."""


class SqlSource(ApiModel):
    """An SQL query on a database. The key ``url`` of the Secret contains the connection URL."""

    secret_ref: SecretRef
    """Secret whose key url contains the connection URL."""
    query: Annotated[str, Field(min_length=1, max_length=16384)]
    """SQL query that returns the rows of the table. End it with ORDER BY to make the digest of the data repeatable."""


class Covariate(ApiModel):
    """An additional table that is joined by time, such as weather, traffic or prices."""

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
    """Name of the table. It is the prefix of its features: the column temp of the table weather becomes
    weather.temp."""
    uri: Uri
    """Address of the table: s3://bucket/key, https://host/path or pvc://claim/path."""
    time: ColumnName
    """Column of this table that contains the time. It is joined with the time of the data."""
    columns: Annotated[list[ColumnName], Field(min_length=1, max_length=100)]
    """Columns of this table to use as features."""
    required: bool = False
    """Whether the job fails if this table cannot be read. If false, the job continues without the table and reports a
    warning."""
    timeout_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    """Maximum time in seconds to fetch the table."""
    known_in_future: bool = False
    """Whether the values are known in advance, so that the table also covers the time of the forecast."""

    rules = (SCHEME_RULE,)


class DataValidation(ApiModel):
    """Requirements that the data must meet before the training starts."""

    min_points: Annotated[int, Field(ge=1, le=1_000_000)] = 30
    """Minimum number of rows of a series. A shorter series is not trained. If the task is not Forecast, the minimum
    number of rows of the table."""
    recommended_points: Annotated[int, Field(ge=1, le=1_000_000)] = 90
    """Recommended number of rows of a series, or of the table if the task is not Forecast. If there are fewer, the
    report contains a warning."""
    max_zero_ratio: Ratio = 0.9
    """Maximum share of zeros in the target, from 0 to 1. A series with a larger share is not trained."""
    min_series: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """Minimum number of series that pass the data checks. If fewer series pass, the job fails."""
    max_failed_ratio: Ratio = 0.2
    """Maximum share of series that may fail the data checks, from 0 to 1. If more series fail, the job fails."""


class Source(ApiModel):
    """The source of one table: where it is, and how to read it."""

    uri: Uri | None = None
    """Address of the table: s3://bucket/key, https://host/path or pvc://claim/path. A claim is mounted read-only. In s3
    and pvc addresses, * matches any characters within one folder."""
    sql: SqlSource | None = None
    """SQL query that returns the table, instead of uri."""
    format: Literal["Auto", "Csv", "Parquet", "JsonLines"] = "Auto"
    """File format. Auto detects it from the first bytes of the file, then from its name. Files that are compressed with
    gzip or Zstandard are decompressed."""
    csv: CsvOptions | None = None
    """How to read the table if it is delimited text. Default: all properties are detected from the start of the
    file."""
    secret_ref: SecretRef | None = None
    """Secret with the credentials for uri. Default: the credentials of the storage."""
    requester_pays: bool | None = None
    """Whether you pay for the requests to the bucket, as a Requester Pays bucket requires. Default: false."""


class Data(Source):
    """One table: its source and the roles of its columns."""

    time: ColumnName | None = None
    """Column that contains the time of a row."""
    time_zone: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """IANA time zone of calendar days and of times without an offset, such as Europe/Paris. Default: UTC."""
    time_format: (
        Annotated[
            str, Field(min_length=2, max_length=64, pattern=r"^(.*%.*|ISO8601|DMY|MDY|Digits|Excel|Unix:(s|ms|us|ns))$")
        ]
        | None
    ) = None
    """Format of the times: ISO8601, a strftime format such as %d.%m.%Y %H:%M, or a keyword. DMY, MDY: order of day and
    month. Digits: 2026013108. Excel: day numbers. Unix:s, Unix:ms, Unix:us, Unix:ns: time since 1970. Default: detected
    from the data."""
    series: ColumnName | None = None
    """Column that identifies the series. Each value of this column is a separate series."""
    group: ColumnName | None = None
    """Column that identifies groups of rows. The split strategy Group keeps all rows of a group in the same part."""
    key: ColumnName | None = None
    """Column that identifies a row permanently. Its value alone determines the part of the split, so a corrected row
    stays in its part. Default: all values of the row determine the part."""
    target: ColumnName
    """Column to predict."""
    positive_class: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """The positive one of two classes. Precision, recall, F1 and the threshold refer to it. Default: the rarer
    class."""
    features: Columns | None = None
    """Columns to use as features. Default: all usable columns; with task Forecast, only the target."""
    static: Columns | None = None
    """With task Forecast, columns that describe a series, such as its region. Each series has one value. LightGBM uses
    them, also as a candidate of Auto."""
    exclude: Columns | None = None
    """Columns to ignore. Default: none."""
    covariates: Annotated[list[Covariate], Field(max_length=16)] | None = None
    """Additional tables that are joined by time."""
    validation: DataValidation | None = None
    """Requirements that the table must meet before the training starts."""

    rules = (
        Rule(
            "has(self.uri) != has(self.sql)",
            "data needs exactly one of uri and sql",
            lambda m: is_set(m, "uri") != is_set(m, "sql"),
        ),
        SCHEME_RULE,
        Rule(
            "!has(self.features) || !(self.target in self.features)",
            "target must not be one of the features",
            lambda m: m.target not in (m.features or ()),
            field="features",
        ),
        Rule(
            "!has(self.static) || has(self.series) && !(self.target in self.static) && !(self.series in self.static)",
            "static needs series, and must not contain the columns series and target",
            lambda m: not is_set(m, "static") or (is_set(m, "series") and not {m.target, m.series} & set(m.static)),
            field="static",
        ),
        Rule(
            "!has(self.time) || self.time != self.target",
            "time and target must be different columns",
            lambda m: m.time != m.target,
            field="time",
        ),
    )
