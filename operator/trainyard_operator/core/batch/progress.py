"""When a progress report is worth a write."""

from datetime import datetime

from trainyard_api.batch import TrainerStatus
from trainyard_operator.core.times import from_rfc3339

MIN_SECONDS = 5.0
"""At most one status write per job in this time."""
RESOLUTION_SECONDS = 1.0
"""Stored times have whole seconds: a write was up to so much later than it says."""


def newer(stored: TrainerStatus | None, reported: TrainerStatus | None) -> bool:
    """Tell whether a report was not stored yet."""
    return reported is not None and (reported.sequence or 0) > ((stored.sequence if stored else None) or 0)


def seconds_until_due(stored: TrainerStatus | None, reported: TrainerStatus, now: datetime) -> float | None:
    """Return how long to hold a report back: 0 to write it now, ``None`` while it says too little that is new.

    A whole percent, another stage or other metrics are new; a moving estimate or message alone is not. What is held
    back is not lost: a later report or the end of the attempt carries it. ``stored.last_updated_time`` is the time of
    the last write; one in the future (a clock was set back) delays by no more than one interval.
    """
    if stored is None or stored.last_updated_time is None:
        return 0.0
    same = (
        (reported.progress_percentage or 0) == (stored.progress_percentage or 0)
        and reported.stage == stored.stage
        and reported.metrics == stored.metrics
    )
    if same:
        return None
    elapsed = (now - from_rfc3339(stored.last_updated_time)).total_seconds()
    hold = MIN_SECONDS + RESOLUTION_SECONDS
    return min(max(0.0, hold - elapsed), hold)
