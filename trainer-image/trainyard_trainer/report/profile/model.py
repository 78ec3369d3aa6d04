"""The training profile: ``profile.json`` of a run. It is small and has no rows of the data."""

from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from trainyard_api.training import Task
from trainyard_api.wire import WireModel
from trainyard_trainer.artifacts.manifest import canonical_json
from trainyard_trainer.errors import DataError

PROFILE: Final = "profile.json"

MAX_BYTES: Final = 200 * 1024
"""Maximum size. The last columns are left out until the profile fits."""

MAX_COLUMNS: Final = 150
LEVELS: Final = tuple(round(0.05 * step, 2) for step in range(21))
"""The 21 levels of the quantiles."""

MAGNITUDE_LEVELS: Final = (0.25, 0.5, 0.75, 0.95)

Share = Annotated[float, Field(ge=0, le=1)]


class ColumnProfile(WireModel):
    """The profile of one column.

    ``quantiles`` are those at ``LEVELS``, ``magnitudes`` those at ``MAGNITUDE_LEVELS`` of the absolute values that are
    not 0. Both are empty for text. ``categories`` are the most frequent texts. ``cuts`` are the inner edges of the bins
    of numbers: bin ``i`` is from ``cuts[i - 1]`` (exclusive) to ``cuts[i]`` (inclusive).

    ``counts`` has the number of rows of each bin. For text, these are the categories, then all other texts. The last
    count is that of missing values. ``relation`` has the target in each bin: one number per entry of
    ``Profile.outcomes``. ``weight`` is the share of it that is more than chance.
    """

    name: str
    kind: Literal["number", "text"]
    missing: Share
    quantiles: list[float] = Field(default_factory=list)
    magnitudes: list[float] = Field(default_factory=list)
    mean: float | None = None
    deviation: float | None = None
    zeros: Share | None = None
    categories: list[str] = Field(default_factory=list)
    cuts: list[float] = Field(default_factory=list)
    counts: list[int]
    relation: list[list[float]] = Field(default_factory=list)
    weight: Share = 0


class Measured(WireModel):
    """A correlation, and its standard error."""

    value: float
    error: float


class SeriesProfile(WireModel):
    """The profile of all series of a forecast. Quantiles over the series are at ``LEVELS``.

    ``missing_steps`` is the share of steps between first and last rows that have no row. ``lag_one`` and ``seasonal``
    are rank autocorrelations. ``between`` is the correlation of the values with the means of their series.
    ``newest_season`` is the level of the newest season divided by that of the season before. A level is the mean of the
    absolute values. ``jump`` is the largest factor by which the newest season of a series, ``jump_series``, is outside
    of the range of all its earlier seasons.
    """

    series: int
    season: int
    rows: list[float]
    log_means: list[float]
    zeros: Share
    missing_steps: Share
    lag_one: Measured | None = None
    seasonal: Measured | None = None
    between: Measured | None = None
    newest_season: list[float] = Field(default_factory=list)
    jump: float = 1
    jump_series: str = ""


class Profile(WireModel):
    """The profile of the data of a training.

    Attributes
    ----------
    rows, sampled_rows
        Number of all rows, and of those from which the rest was computed.
    left_out
        Number of features without an entry in ``columns``, because the size is limited.
    outcomes
        The meaning of ``ColumnProfile.relation``: ``rank`` (the mean rank of the target, 0 the smallest and 1 the
        largest), or the names of the classes whose shares it has. Empty for forecasts.
    strength, fitted
        The correlation of the target with the scores from the relations: on other rows than those used for the
        relations, and on these rows.
    sketch
        The smallest hashes of the features of rows. The number of them in other data shows how many rows are common.
        Empty if rows are repeated.
    """

    schema_version: Literal[1] = 1
    task: Task
    rows: int
    sampled_rows: int
    target: ColumnProfile
    columns: list[ColumnProfile] = Field(default_factory=list)
    left_out: int = 0
    outcomes: list[str] = Field(default_factory=list)
    strength: Measured | None = None
    fitted: float = 0
    sketch: list[int] = Field(default_factory=list)
    forecast: SeriesProfile | None = None

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return canonical_json(self.model_dump(mode="json", by_alias=True, exclude_none=True))


def bounded(profile: Profile) -> Profile:
    """Return the profile with only so many columns that its size is at most ``MAX_BYTES``."""
    while len(profile.encode()) > MAX_BYTES and profile.columns:
        kept = profile.columns[: len(profile.columns) * 9 // 10]
        left_out = profile.left_out + len(profile.columns) - len(kept)
        profile = profile.model_copy(update={"columns": kept, "left_out": left_out})
    return profile


def parse_profile(body: bytes, address: str) -> Profile:
    """Parse a profile. Raises DataError if it is not one of this release."""
    try:
        return Profile.model_validate_json(body)
    except ValidationError as error:
        raise DataError(f"{address} is not a profile of this release: {error.errors()[0]['msg']}") from error
