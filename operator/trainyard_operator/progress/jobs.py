"""What the endpoint needs from the runtime, as Protocols: look a job up, hand a report over."""

from datetime import datetime
from typing import Protocol

from trainyard_api.wire import ReportedStatus
from trainyard_operator.kinds.base import Key
from trainyard_operator.runtime.directory import JobFacts
from trainyard_operator.runtime.reports import Report


class JobDirectory(Protocol):
    """Look TrainingJobs up without an API call."""

    def find(self, namespace: str, name: str) -> JobFacts | None:
        """Return what is known of a TrainingJob, or ``None`` if there is none."""
        ...


class ReportSink(Protocol):
    """Take reports whose sender was authenticated."""

    def offer(self, key: Key, uid: str, attempt: int, reported: ReportedStatus, *, after: int, now: datetime) -> Report:
        """Keep a report, number it and return it as kept."""
        ...
