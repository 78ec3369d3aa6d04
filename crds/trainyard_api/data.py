"""The data part of a training specification: where the table lies, how to read it, and what its columns mean."""

from typing import Annotated, Literal

from pydantic import Field

from trainyard_api.base import ApiModel, ColumnName, Rule, Uri, has_scheme, is_set
from trainyard_api.pod import SecretRef

DATA_SCHEMES = ("s3", "https", "pvc")
"""Where a cluster can read from. ``file://`` exists in local runs alone, so only the API server refuses it."""

_SCHEME_RULE = Rule(
    "!has(self.uri) || self.uri.matches('^(s3|https|pvc)://.+')",
    "uri must start with s3://, https:// or pvc://",
    lambda m: m.uri is None or has_scheme(m.uri, *DATA_SCHEMES),
    field="uri",
)

Ratio = Annotated[float, Field(ge=0, le=1)]
Columns = Annotated[list[ColumnName], Field(max_length=2000)]


class CsvOptions(ApiModel):
    """How to read text tables. ``Auto`` looks at the head of the file."""

    separator: Annotated[str, Field(min_length=1, max_length=4)] = "Auto"
    """What stands between two fields: one character, Auto, or a blank for any number of blanks."""
    decimal: Literal["Auto", ".", ","] = "Auto"
    """What stands between a number and its fraction."""
    encoding: Annotated[str, Field(min_length=1, max_length=32)] = "utf-8"
    """Encoding of the text, by its Python name."""
    thousands: Literal["Auto", "None", ",", ".", " ", "'"] = "Auto"
    """What stands between thousands."""
    nulls: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=32)] | None = None
    """Words for a missing value, instead of NA, NULL and the like; a field with nothing in it is always missing."""
    skip_lines: Annotated[int, Field(ge=0, le=10_000)] | None = None
    """Lines above the one with the names; default: those above the first line that has all names that are needed."""
    header: Literal["Auto", "Present", "Absent"] = "Auto"
    """Whether a line has the names of the columns; where it is absent they are column1, column2, and so on."""
    comment: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """The character with which lines begin that are no rows; default: #, where such lines look like no row."""


class SqlSource(ApiModel):
    """A query on a database; the connection URL lies in the Secret under the key ``url``."""

    secret_ref: SecretRef
    """The Secret whose key url holds the connection URL."""
    query: Annotated[str, Field(min_length=1, max_length=16384)]
    """The query whose rows are the data."""


class Covariate(ApiModel):
    """A second table, joined by time: weather, traffic, prices."""

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
    """Name of the table; its columns are called by it."""
    uri: Uri
    """Where the table lies: s3://bucket/key, https://host/path, or pvc://claim/path."""
    time: ColumnName
    """The column of this table that is joined with the time of the data."""
    columns: Annotated[list[ColumnName], Field(min_length=1, max_length=100)]
    """The columns to take over."""
    required: bool = False
    """Whether the job fails when this table cannot be read; else it warns and goes on without."""
    timeout_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    """How many seconds to wait for the table."""
    known_in_future: bool = False
    """Whether the table also holds the time of the forecast."""

    rules = (_SCHEME_RULE,)


class DataValidation(ApiModel):
    """What a table must offer before anything is trained on it."""

    min_points: Annotated[int, Field(ge=1, le=1_000_000)] = 30
    """Rows that a series must have to be trained."""
    recommended_points: Annotated[int, Field(ge=1, le=1_000_000)] = 90
    """Rows of a series below which the report warns."""
    max_zero_ratio: Ratio = 0.9
    """Share of zeros in the target, from 0 to 1, above which a series is not trained."""
    min_series: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """How many series must be trained."""
    max_failed_ratio: Ratio = 0.2
    """Share of series, from 0 to 1, that may fail before the whole job does."""


class Data(ApiModel):
    """One table: its source and the roles of its columns."""

    uri: Uri | None = None
    """s3://bucket/key, https://host/path, or pvc://claim/path, mounted read-only."""
    sql: SqlSource | None = None
    format: Literal["Auto", "Csv", "Parquet", "JsonLines"] = "Auto"
    """Auto goes by the suffix; .gz and .zst are unpacked."""
    csv: CsvOptions | None = None
    """How to read the table where it is text; default: look at the head of the file."""
    secret_ref: SecretRef | None = None
    """A Secret with the credentials for uri; default: those of the storage."""
    requester_pays: bool | None = None
    """True: pay for the requests yourself, as some public buckets ask; default: false."""
    time: ColumnName | None = None
    """The column with the time of a row."""
    time_zone: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Zone of times without an offset, and of the days, by its IANA name, e.g. Europe/Paris; default: UTC."""
    time_format: (
        Annotated[
            str, Field(min_length=2, max_length=64, pattern=r"^(.*%.*|ISO8601|DMY|MDY|Digits|Excel|Unix:(s|ms|us|ns))$")
        ]
        | None
    ) = None
    """How times are written: a format such as %d.%m.%Y %H:%M, DMY or MDY for the order of day and month, Digits for
    2026013108, Excel for days of Excel, Unix:s (ms, us, ns) for time since 1970; default: found out."""
    series: ColumnName | None = None
    """The column that tells series apart: one model for each of its values."""
    group: ColumnName | None = None
    """The column whose rows of one value stay on one side of a split."""
    key: ColumnName | None = None
    """The column that names a row for good: its value alone decides on which side of a split the row stands, so that a
    corrected row stays there. Default: all values of the row decide."""
    target: ColumnName
    """The column to learn."""
    positive_class: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Of two classes the one that precision, recall, F1 and the threshold are of; default: the rarer one."""
    features: Columns | None = None
    """The columns to learn from; none: every usable one, and of a forecast the target alone."""
    static: Columns | None = None
    """Of a forecast the columns that say what a series is, such as its region: one value for each series. LightGBM and
    Auto learn from them."""
    exclude: Columns | None = None
    """Columns to leave out; default: none."""
    covariates: Annotated[list[Covariate], Field(max_length=16)] | None = None
    """Further tables, joined by time."""
    validation: DataValidation | None = None
    """What the table must offer before anything is trained on it."""

    rules = (
        Rule(
            "has(self.uri) != has(self.sql)",
            "data needs exactly one of uri and sql",
            lambda m: is_set(m, "uri") != is_set(m, "sql"),
        ),
        _SCHEME_RULE,
        Rule(
            "!has(self.features) || !(self.target in self.features)",
            "target must not be one of the features",
            lambda m: m.target not in (m.features or ()),
            field="features",
        ),
        Rule(
            "!has(self.static) || has(self.series) && !(self.target in self.static) && !(self.series in self.static)",
            "static needs series, and names neither series nor target",
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
