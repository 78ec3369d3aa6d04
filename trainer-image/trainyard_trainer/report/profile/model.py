"""The training profile: ``profile.json`` of a run. Small, bounded, and without a single row of the data."""

from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from trainyard_api.training import Task
from trainyard_api.wire import WireModel
from trainyard_trainer.artifacts.manifest import canonical_json
from trainyard_trainer.errors import DataError

PROFILE: Final = "profile.json"

MAX_BYTES: Final = 200 * 1024
"""Columns are left out, the last ones first, until a profile is no larger."""

MAX_COLUMNS: Final = 150
LEVELS: Final = tuple(round(0.05 * step, 2) for step in range(21))
"""Quantiles are kept at these 21 levels."""

MAGNITUDE_LEVELS: Final = (0.25, 0.5, 0.75, 0.95)

Share = Annotated[float, Field(ge=0, le=1)]


class ColumnProfile(WireModel):
    """One column.

    ``quantiles`` are those at ``LEVELS``, ``magnitudes`` those at ``MAGNITUDE_LEVELS`` of the absolute values that are
    not 0; both are empty for text. ``categories`` are the most frequent texts. ``cuts`` are the inner edges of the bins
    of numbers: bin ``i`` reaches from ``cuts[i - 1]`` (exclusive) to ``cuts[i]`` (inclusive).

    ``counts`` has the rows of each bin; of text those of each category, then those of all others; the last one is that
    of missing values. ``relation`` has for each bin what the target does there: one number per entry of
    ``Profile.outcomes``. ``weight`` tells how much of it is more than chance.
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
    """The series of a forecast together; quantiles over the series stand at ``LEVELS``.

    ``missing_steps`` is the share of steps between first and last rows that have no row. ``lag_one`` and ``seasonal``
    are rank autocorrelations, ``between`` is the correlation of the values with the means of their series.
    ``newest_season`` has the level of the newest season by that of the season before; a
    level is the mean of the absolute values. ``jump`` is the largest factor by which the newest season of a series,
    ``jump_series``, lies outside of the levels of all its seasons before.
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
    """What a training saw.

    Attributes
    ----------
    rows, sampled_rows
        All rows, and how many of them the rest was computed from.
    left_out
        How many features have no entry in ``columns``, so that the profile stays small.
    outcomes
        What ``ColumnProfile.relation`` tells: ``rank`` (the mean rank of the target, 0 the smallest and 1 the largest),
        or the names of the classes whose shares it has. Empty for forecasts.
    strength, fitted
        The correlation of the target with what the relations say: of rows that they were not made from, and of those
        that they were.
    sketch
        Hashes of the features of some rows, the smallest ones: how many of them there are in other data tells how many
        rows both have in common. Empty where rows repeat each other.
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
    """Return the profile with so many of its columns that it has at most ``MAX_BYTES``."""
    while len(profile.encode()) > MAX_BYTES and profile.columns:
        kept = profile.columns[: len(profile.columns) * 9 // 10]
        left_out = profile.left_out + len(profile.columns) - len(kept)
        profile = profile.model_copy(update={"columns": kept, "left_out": left_out})
    return profile


def parse_profile(body: bytes, address: str) -> Profile:
    """Read a profile back. Raises DataError if it is not one of this release."""
    try:
        return Profile.model_validate_json(body)
    except ValidationError as error:
        raise DataError(f"{address} is not a profile of this release: {error.errors()[0]['msg']}") from error
