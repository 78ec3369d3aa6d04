"""Decide when a progress report is written to the status."""

from datetime import datetime

from trainyard_api.batch import TrainerStatus
from trainyard_operator.core.times import from_rfc3339

MIN_SECONDS = 5.0
"""Minimum time between two status writes of one job."""
RESOLUTION_SECONDS = 1.0
"""Resolution of stored times: whole seconds. A write may be this much later than its stored time."""


def newer(stored: TrainerStatus | None, reported: TrainerStatus | None) -> bool:
    """Return whether a report is newer than the stored one."""
    return reported is not None and (reported.sequence or 0) > ((stored.sequence if stored else None) or 0)


def seconds_until_due(stored: TrainerStatus | None, reported: TrainerStatus, now: datetime) -> float | None:
    """Return how long to delay a report: 0 to write it now, ``None`` if it contains no relevant change.

    A relevant change is a whole percent, another stage or other metrics. A new estimate or message alone is not. A
    delayed report is not lost: a later report or the end of the attempt includes it. ``stored.last_updated_time`` is
    the time of the last write. If it is in the future because a clock was set back, it delays by one interval at most.
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
