"""The latest progress report of each running job, in memory.

Progress is a hint and may be lost with the process. The result is in the termination message. A report replaces the
previous one and wakes the job's reconcile. The planner decides how often a report is written.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from trainyard_api.batch import TrainerStatus
from trainyard_api.wire import ReportedStatus
from trainyard_operator.core.times import to_rfc3339
from trainyard_operator.kinds.base import Key


@dataclass(frozen=True)
class Report:
    """One accepted report, with the object and the attempt that sent it."""

    uid: str
    attempt: int
    status: TrainerStatus


class Reports:
    """Keep and number one report per job. The numbers continue from ``status.trainerStatus`` after a restart."""

    def __init__(self, wake: Callable[[Key], None]) -> None:
        self._wake = wake
        self._latest: dict[Key, Report] = {}

    def offer(self, key: Key, uid: str, attempt: int, reported: ReportedStatus, *, after: int, now: datetime) -> Report:
        """Store a report that was authenticated for this attempt. ``after`` is the sequence number in the status."""
        before = self._latest.get(key)
        floor = before.status.sequence or 0 if before is not None and before.uid == uid else 0
        status = TrainerStatus(
            progress_percentage=reported.progress_percentage,
            estimated_remaining_seconds=reported.estimated_remaining_seconds,
            stage=reported.stage,
            message=reported.message,
            metrics=reported.metrics,
            last_updated_time=to_rfc3339(now),
            sequence=max(floor, after) + 1,
        )
        report = Report(uid, attempt, status)
        self._latest[key] = report
        self._wake(key)
        return report

    def latest(self, key: Key, uid: str, attempt: int) -> TrainerStatus | None:
        """Return the newest report of this attempt."""
        report = self._latest.get(key)
        return report.status if report is not None and report.uid == uid and report.attempt == attempt else None

    def forget(self, key: Key) -> None:
        """Remove the report of a job that ended or does not exist any more."""
        self._latest.pop(key, None)
