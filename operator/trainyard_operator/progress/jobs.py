"""Protocols of the runtime that the endpoint needs: find a job, and store a report."""

from datetime import datetime
from typing import Protocol

from trainyard_api.wire import ReportedStatus
from trainyard_operator.kinds.base import Key
from trainyard_operator.runtime.directory import JobFacts
from trainyard_operator.runtime.reports import Report


class JobDirectory(Protocol):
    """Find the objects that pods report for, without an API call."""

    def find(self, plural: str, namespace: str, name: str) -> JobFacts | None:
        """Return the facts of an object, ``None`` if it does not exist. ``plural`` names its kind in the API."""
        ...


class ReportSink(Protocol):
    """Store reports of authenticated senders."""

    def offer(self, key: Key, uid: str, attempt: int, reported: ReportedStatus, *, after: int, now: datetime) -> Report:
        """Store and number a report, and return it as stored."""
        ...
